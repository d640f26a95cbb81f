"""However the bytes of a stream are cut, reply and event of the first token are the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.dialects import dialect_of, read
from monitor.domain import Dialect, Framing, Reply
from monitor.wire.hearing import Hearing
from monitor.wire.plain_text import TextParser
from monitor.wire.stamps import Stamps
from tests.cuts import CUTS, cut
from tests.streams import target, transcript

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
RECORDED = sorted(p for p in TRANSCRIPTS.glob("*/*") if p.suffix in (".txt", ".ndjson"))
PLAIN = {"body": {"q": "{query}"}, "framing": "text"}


def spoken(dialect: Dialect, framing: Framing, pieces: list[bytes]) -> tuple[Hearing, Reply]:
    """A body in segments, whole, and what is read of it."""
    hearing = Hearing(dialect, stop_after_chars=None)
    hearing.use(framing)
    for number, piece in enumerate(pieces):
        hearing.take(piece, Stamps(arrived_ns=number, read=number))
    hearing.close(Stamps(arrived_ns=len(pieces), read=len(pieces)))
    events = [(event.name, event.data) for event in hearing.events]
    return hearing, read(dialect, transcript(events))


def first_text(hearing: Hearing) -> int | None:
    return next((n for n, heard in enumerate(hearing.heard) if heard.text), None)


@pytest.mark.parametrize("path", RECORDED, ids=lambda p: f"{p.parent.name}/{p.stem}")
@settings(max_examples=8)
@given(at=CUTS)
def test_any_cut_of_any_transcript_gives_the_same_reply(path: Path, at: list[int]) -> None:
    options: dict[str, Any] = json.loads(path.with_suffix(".json").read_text()).get("options", {})
    dialect = dialect_of(target(path.parent.name, options=options))
    framing = Framing.NDJSON if path.suffix == ".ndjson" else dialect.framing
    body = path.read_bytes()
    whole, expected = spoken(dialect, framing, [body])
    parts, reply = spoken(dialect, framing, cut(body, at))
    assert reply == expected
    assert first_text(parts) == first_text(whole)
    assert parts.ending is whole.ending
    first = first_text(parts)
    if first is not None:  # the segment with the byte that completes the event, no other
        arrived = parts.events[first].arrived_ns
        before, _ = spoken(dialect, framing, cut(body, at)[:arrived])
        assert first_text(before) is None or before.events[first].arrived_ns == arrived


TEXTS = st.lists(st.sampled_from(["a", "ä", "€", "𝄞", "\n", "{", "<think>", "</think>", "\ufeff"]))


@given(texts=TEXTS, at=CUTS)
def test_any_cut_of_a_plain_text_gives_the_same_text(texts: list[str], at: list[int]) -> None:
    dialect = dialect_of(target("custom", options=PLAIN))
    body = "".join(texts).encode()
    _, expected = spoken(dialect, Framing.TEXT, [body])
    hearing, reply = spoken(dialect, Framing.TEXT, cut(body, at))
    assert reply.text == expected.text
    assert reply.malformed == 0
    assert hearing.ending is not None


@given(body=st.binary(max_size=60), at=CUTS)
def test_bytes_that_are_no_utf8_are_replaced_the_same_however_they_are_cut(
    body: bytes, at: list[int]
) -> None:
    def text(pieces: list[bytes]) -> tuple[str, int]:
        parser = TextParser()
        found = [said for piece in pieces for said in parser.feed(piece)] + parser.close()
        assert all(name == "" and data for name, data in found)
        return "".join(data for _, data in found), parser.malformed

    assert text(cut(body, at)) == text([body])
    assert text([body])[0] == body.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")


def test_the_first_token_of_a_plain_text_is_its_first_segment_with_a_character() -> None:
    dialect = dialect_of(target("custom", options=PLAIN))
    euro = "€".encode()
    hearing, reply = spoken(dialect, Framing.TEXT, [b"", euro[:1], euro[1:], b"!"])
    assert [(event.data, event.arrived_ns) for event in hearing.events] == [("€", 2), ("!", 3)]
    assert reply.text == "€!"
