"""However the bytes of a stream are cut, reply and event of the first token are the same."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.dialects import DIALECTS, dialect_of, read
from monitor.dialects.reader import separated
from monitor.domain import Dialect, Ending, Framing, Reply
from monitor.probing.stream_reader import StreamReader, TextParser
from monitor.probing.timestamped_socket import ConnectionTimes
from tests.byte_chunks import CUTS, cut_bytes
from tests.case_tables import each
from tests.example_transcripts import target, transcript

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
RECORDED = sorted(p for p in TRANSCRIPTS.glob("*/*") if p.suffix in (".txt", ".ndjson"))
PLAIN = {"body": {"q": "{query}"}, "framing": "text"}


def spoken(dialect: Dialect, framing: Framing, pieces: list[bytes]) -> tuple[StreamReader, Reply]:
    """A body in segments, whole, and what is read of it."""
    hearing = StreamReader(dialect, stop_after_chars=None)
    hearing.use(framing)
    for number, piece in enumerate(pieces):
        hearing.take(piece, ConnectionTimes(arrived_ns=number, read=number, doubt_ns=number))
    hearing.close(ConnectionTimes(arrived_ns=len(pieces), read=len(pieces), doubt_ns=len(pieces)))
    events = [(event.name, event.data) for event in hearing.events]
    came = replace(
        transcript(events), events=tuple(hearing.events), heard=tuple(hearing.heard),
        ending=hearing.ending or Ending.EOF, body_complete=True,
    )  # fmt: skip
    reply = read(dialect, came)
    # The stamp that is kept while the stream arrives is that of the first answer text.
    first = next((piece.arrived_ns for piece in reply.pieces if piece.text), None)
    assert first == (None if hearing.first_text is None else hearing.first_text[1])
    return hearing, read(dialect, transcript(events))


def first_text(hearing: StreamReader) -> int | None:
    return next((n for n, (text, _) in enumerate(separated(hearing.heard)) if text), None)


@pytest.mark.parametrize("path", RECORDED, ids=lambda p: f"{p.parent.name}/{p.stem}")
@settings(max_examples=8)
@given(at=CUTS)
def test_any_cut_of_any_transcript_gives_the_same_reply(path: Path, at: list[int]) -> None:
    options: dict[str, Any] = json.loads(path.with_suffix(".json").read_text()).get("options", {})
    dialect = dialect_of(target(path.parent.name, options=options))
    framing = Framing.NDJSON if path.suffix == ".ndjson" else dialect.framing
    body = path.read_bytes()
    whole, expected = spoken(dialect, framing, [body])
    parts, reply = spoken(dialect, framing, cut_bytes(body, at))
    assert reply == expected
    assert first_text(parts) == first_text(whole)
    assert parts.ending is whole.ending
    first = first_text(parts)
    if first is not None:  # the segment with the byte that completes the event, no other
        arrived = parts.events[first].arrived_ns
        before, _ = spoken(dialect, framing, cut_bytes(body, at)[:arrived])
        assert first_text(before) is None or before.events[first].arrived_ns == arrived


def data(value: object, name: str = "") -> bytes:
    event = f"event: {name}\n" if name else ""
    return f"{event}data: {json.dumps(value)}\n\n".encode()


# How each dialect writes a piece of text, and its end.
WRITERS: dict[str, tuple[Callable[[str], bytes], bytes]] = {
    "bali_zero": (lambda text: data({"text": text}), data({"done": True})),
    "bali_zero_typed": (
        lambda text: data({"type": "token", "data": text}),
        data({"type": "done"}),
    ),
    "openai_chat": (
        lambda text: data({"choices": [{"delta": {"content": text}}]}),
        data({"choices": [{"delta": {}, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n",
    ),
    "openai_responses": (
        lambda text: data({"type": "response.output_text.delta", "delta": text}),
        data({"type": "response.completed", "response": {}}),
    ),
    "anthropic_messages": (
        lambda text: data({"type": "content_block_delta",
                           "delta": {"type": "text_delta", "text": text}}),
        data({"type": "message_stop"}),
    ),
    "ollama": (
        lambda text: json.dumps({"message": {"content": text}}).encode() + b"\n",
        b'{"done": true}\n',
    ),
    "gemini": (
        lambda text: data({"candidates": [{"content": {"parts": [{"text": text}]}}]}),
        data({"candidates": [{"finishReason": "STOP"}]}),
    ),
    "cohere": (
        lambda text: data({"type": "content-delta",
                           "delta": {"message": {"content": {"text": text}}}}),
        data({"type": "message-end", "delta": {}}),
    ),
    "vercel_ai": (lambda text: data({"type": "text-delta", "delta": text}), b"data: [DONE]\n\n"),
    "langgraph": (
        lambda text: data([{"type": "AIMessageChunk", "content": text}, {}], "messages"),
        b"",
    ),
    "dify": (
        lambda text: data({"event": "message", "answer": text}),
        data({"event": "message_end"}),
    ),
    "ragflow": (
        lambda text: data({"data": {"answer": text, "final": False}}),
        data({"data": True}),
    ),
    "custom": (lambda text: data({"text": text}), data({"done": True})),
}  # fmt: skip
TAGS = st.lists(
    st.sampled_from([
        "<think>", "</think>", "<thi", "nk>", "</th", "ink>", "hm", "\n", "Four", "<",
        "<|channel|>", "analysis", "<answer>", "</answer>", "final",
        "<|message|>", "<|end|>", "[THINK]", "[/THINK]", "`",
        "<details>", "<summary>Thinking...</summary>", "</details>",
    ]), max_size=12,
)  # fmt: skip


@each("name", DIALECTS)
def test_every_dialect_has_a_writer(name: str) -> None:
    assert name in WRITERS, (
        f"add to WRITERS in tests/unit/test_chunking.py how {name} writes a text, and its end"
    )


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=15)
@given(texts=TAGS, at=CUTS)
def test_any_cut_of_thoughts_in_the_text_gives_the_same_reply(
    name: str, texts: list[str], at: list[int]
) -> None:
    write, end = WRITERS[name]
    dialect = dialect_of(target(name))
    body = b"".join(map(write, texts)) + end
    _, expected = spoken(dialect, dialect.framing, [body])
    hearing, reply = spoken(dialect, dialect.framing, cut_bytes(body, at))
    assert reply == expected
    assert hearing.ending is not None or name == "gemini"


TEXTS = st.lists(st.sampled_from(["a", "ä", "€", "𝄞", "\n", "{", "<think>", "</think>", "\ufeff"]))


@given(texts=TEXTS, at=CUTS)
def test_any_cut_of_a_plain_text_gives_the_same_text(texts: list[str], at: list[int]) -> None:
    dialect = dialect_of(target("custom", options=PLAIN))
    body = "".join(texts).encode()
    _, expected = spoken(dialect, Framing.TEXT, [body])
    hearing, reply = spoken(dialect, Framing.TEXT, cut_bytes(body, at))
    assert reply.text == expected.text
    assert reply.malformed == 0
    assert hearing.ending is not None


@given(body=st.binary(max_size=60), at=CUTS)
def test_bytes_that_are_no_utf8_are_replaced_the_same_however_they_are_cut(
    body: bytes, at: list[int]
) -> None:
    def text(pieces: list[bytes]) -> tuple[str, int]:
        parser = TextParser()
        found = [reported for piece in pieces for reported in parser.feed(piece)] + parser.close()
        assert all(name == "" and data for name, data in found)
        return "".join(data for _, data in found), parser.malformed

    assert text(cut_bytes(body, at)) == text([body])
    assert text([body])[0] == body.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")


def test_the_first_token_of_a_plain_text_is_its_first_segment_with_a_character() -> None:
    dialect = dialect_of(target("custom", options=PLAIN))
    euro = "€".encode()
    hearing, reply = spoken(dialect, Framing.TEXT, [b"", euro[:1], euro[1:], b"!"])
    assert [(event.data, event.arrived_ns) for event in hearing.events] == [("€", 2), ("!", 3)]
    assert reply.text == "€!"
