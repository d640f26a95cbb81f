"""Tokenizers that the operator configured, read from files. The only module with tiktoken.

Nothing is downloaded and nothing is shipped: the files have ranks in tiktoken's format, as
published for Llama 3 and 4, GPT and Qwen, or Mistral's `tekken.json`.
"""

import base64
import binascii
import json
from collections.abc import Callable
from pathlib import Path

from monitor import bounded_io

Counter = Callable[[str], int]

# How a text is split before ranks are looked up, as the models' makers publish it.
PATTERNS = {
    "llama-3": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "o200k": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
MOST_BYTES = 128 << 20  # of a file; the largest published one has 15 MB
_LARGE = 150_000  # number of ranks; the older pattern goes with fewer
_LIBRARY = "pip install 'rag-monitor[tokens]', in a clone ./run install"


class BadTokenizer(Exception):
    """The file is not a tokenizer, or the library to read it is missing; the message says which."""


def counter(file: str, *, pattern: str | None = None) -> Counter:
    """A function that counts the tokens of a text by one file.

    `pattern`: a name of `PATTERNS`, or a pattern. Raises BadTokenizer.
    """
    try:
        content = bounded_io.content(Path(file), most=MOST_BYTES)
    except OSError as error:
        raise BadTokenizer(f"{file}: {error.strerror}") from error
    try:
        ranks, own = _tekken(content) if file.endswith(".json") else (_ranks(content), None)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise BadTokenizer(f"{file}: neither a tiktoken rank file nor a tekken.json") from error
    if not ranks:
        raise BadTokenizer(f"{file}: the file is empty")
    usual = own or PATTERNS["o200k" if len(ranks) > _LARGE else "llama-3"]
    return _counter(ranks, PATTERNS.get(pattern, pattern) if pattern else usual)


def _ranks(content: bytes) -> dict[bytes, int]:
    pairs = (line.split() for line in content.splitlines() if line)
    return {base64.b64decode(token, validate=True): int(rank) for token, rank in pairs}


def _tekken(content: bytes) -> tuple[dict[bytes, int], str]:
    """Ranks and pattern; the special tokens and the end of the vocabulary are not in use."""
    reported = json.loads(content)
    how = reported["config"]
    used = reported["vocab"][: how["default_vocab_size"] - how["default_num_special_tokens"]]
    return {base64.b64decode(v["token_bytes"]): int(v["rank"]) for v in used}, how["pattern"]


def _counter(ranks: dict[bytes, int], pattern: str) -> Counter:
    try:
        from tiktoken import Encoding
    except ImportError as error:
        raise BadTokenizer(f"tiktoken is not installed: {_LIBRARY}") from error
    try:
        encoding = Encoding("named", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    except ValueError as error:
        raise BadTokenizer(f"its pattern is invalid: {error}") from error
    return lambda text: len(encoding.encode_ordinary(text))
