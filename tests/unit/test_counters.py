"""Tokenizers read from the files that the operator named."""

import base64
import json
from pathlib import Path

import pytest

from monitor.tokenizers import BadTokenizer, counter

PIECES = [bytes([byte]) for byte in range(256)] + [b"he", b"ll", b"hell", b"hello", b" w", b"12"]


def ranks(path: Path) -> str:
    lines = (f"{base64.b64encode(piece).decode()} {n}" for n, piece in enumerate(PIECES))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def tekken(path: Path) -> str:
    vocabulary = [
        {"rank": n, "token_bytes": base64.b64encode(piece).decode(), "token_str": None}
        for n, piece in enumerate([*PIECES, b"never used"])
    ]
    config = {"pattern": r"\p{N}{1,3}|[^\p{N}]+", "default_num_special_tokens": 1000,
              "default_vocab_size": 1000 + len(PIECES)}  # fmt: skip
    path.write_text(json.dumps({"config": config, "vocab": vocabulary}))
    return str(path)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("hello", 1), ("hello world", 6), ("hellohello", 2), ("1212", 3), ("é", 2), ("", 0)],
)
def test_ranks_are_counted_as_the_model_counts(tmp_path: Path, text: str, tokens: int) -> None:
    assert counter(ranks(tmp_path / "tokenizer.model"))(text) == tokens


def test_a_pattern_of_ones_own_cuts_the_text(tmp_path: Path) -> None:
    file = ranks(tmp_path / "tokenizer.model")
    assert counter(file, pattern="o200k")("1212") == 3  # digits by three: 121, 2
    assert counter(file, pattern=r"\p{N}{2}|.")("1212") == 2


def test_mistrals_file_brings_its_own_pattern_and_more_than_is_used(tmp_path: Path) -> None:
    count = counter(tekken(tmp_path / "tekken.json"))
    assert (count("hello"), count("never used"), count("1212")) == (1, 10, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("", "the file is empty"),
        ("a line of text\n", "neither a tiktoken rank file nor a tekken.json"),
        ("%%% 1\n", "neither a tiktoken rank file nor a tekken.json"),
        ("aGVsbG8= one\n", "neither a tiktoken rank file nor a tekken.json"),
    ],
)
def test_what_is_no_tokenizer_is_refused_with_a_reason(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    file = tmp_path / "tokenizer.model"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadTokenizer, match=reason):
        counter(str(file))


@pytest.mark.parametrize("content", ["{}", "[]", "not json", '{"config": {}, "vocab": 1}'])
def test_a_json_that_is_no_tekken_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text(content)
    with pytest.raises(BadTokenizer, match="neither"):
        counter(str(file))


def test_a_pattern_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTokenizer, match="pattern"):
        counter(ranks(tmp_path / "tokenizer.model"), pattern="(")
