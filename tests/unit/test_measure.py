"""Outcomes by the table of endings, latencies by their definitions, stamps by their quality."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from monitor.domain import (
    Ending,
    Outcome,
    Reply,
    StampSource,
    TextDelta,
    Timing,
    Transcript,
    Usage,
)
from monitor.probing.timing import INSTRUMENT, outcome, timing
from tests.case_tables import each

MS = 1_000_000
NOTHING = Usage()


def transcript(ending: Ending = Ending.END, **more: Any) -> Transcript:
    """Begun at 0 ms, connected at 20, asked at 100, head at 150."""
    stamps: dict[str, Any] = {
        "dns_ns": 5 * MS, "connected_ns": 20 * MS, "sent_ns": 100 * MS, "head_ns": 150 * MS,
        "status": 200, "stamp": StampSource.KERNEL,
    }  # fmt: skip
    return Transcript(
        id=UUID(int=1),
        started_at=datetime(2025, 11, 6, tzinfo=UTC),
        started_ns=0,
        ended_ns=10_000 * MS,
        ending=ending,
        **(stamps | more),
    )


def reply(
    marks: str = "", *, error: str | None = None, ended: bool = True, usage: Usage = NOTHING
) -> Reply:
    """One piece per mark, each 100 ms after the one before, the first at 200 ms.

    `t` is text, `r` reasoning, `.` nothing.
    """
    reported = {"t": {"text": "word"}, "r": {"reasoning": "hm"}}
    pieces = tuple(TextDelta(at * 100 * MS, read=at, **reported[mark])
                   for at, mark in enumerate(marks, start=2) if mark in reported)  # fmt: skip
    return Reply(pieces=pieces, error=error, ended=ended, usage=usage)


def bursts(first_ms: int, gap_ms: int, *sizes: int) -> Reply:
    """Texts in reads of the given sizes, the first so long after the request, then with a gap."""
    pieces = (TextDelta((100 + first_ms + n * gap_ms) * MS, "word", read=n)
              for n, size in enumerate(sizes) for _ in range(size))  # fmt: skip
    return Reply(pieces=tuple(pieces), ended=True)


@each(
    ("ending", "status", "received", "expected", "has_ttft"),
    [
        (Ending.END, 200, reply("tt"), Outcome.ANSWERED, True),
        (Ending.CUT, 200, reply("tt", ended=False), Outcome.ANSWERED, True),
        (Ending.END, 200, reply(), Outcome.EMPTY, False),
        (Ending.END, 200, reply("rr"), Outcome.EMPTY, False),
        (Ending.END, 200, reply(error="no"), Outcome.ERROR_EVENT, False),
        (Ending.END, 200, reply("t", error="no"), Outcome.ERROR_EVENT, True),
        (Ending.EOF, 200, reply("t", error="no"), Outcome.ERROR_EVENT, True),
        (Ending.EOF, 200, reply("t"), Outcome.ANSWERED, True),  # the end came, then the hang-up
        (Ending.EOF, 200, reply("t", ended=False), Outcome.TRUNCATED, True),
        (Ending.EOF, 200, reply(ended=False), Outcome.TRUNCATED, False),
        (Ending.SILENT, 200, reply(ended=False), Outcome.TIMEOUT_FIRST_TOKEN, False),
        (Ending.SILENT, None, reply(ended=False), Outcome.TIMEOUT_FIRST_TOKEN, False),
        (Ending.SILENT, 200, reply("t", ended=False), Outcome.TIMEOUT_FIRST_TOKEN, False),
        (Ending.STALLED, 200, reply("t", ended=False), Outcome.STALLED, True),
        (Ending.DEADLINE, 200, reply("t", ended=False), Outcome.DEADLINE, True),
        (Ending.DEADLINE, 200, reply(ended=False), Outcome.DEADLINE, False),
        (Ending.TOO_LARGE, 200, reply("t", ended=False), Outcome.TOO_LARGE, True),
        (Ending.TOO_LARGE, 200, reply(ended=False), Outcome.TOO_LARGE, False),
        (Ending.STATUS, 307, reply(ended=False), Outcome.HTTP_STATUS, False),
        (Ending.STATUS, 401, reply(ended=False), Outcome.HTTP_STATUS, False),
        (Ending.STATUS, 429, reply(ended=False), Outcome.RATE_LIMITED, False),
        (Ending.STATUS, 500, reply(ended=False), Outcome.HTTP_STATUS, False),
        (Ending.STATUS, 503, reply(ended=False), Outcome.UNAVAILABLE, False),
        (Ending.CONTENT_TYPE, 200, reply(ended=False), Outcome.CONTENT_TYPE, False),
        (Ending.PROTOCOL, 200, reply("t", ended=False), Outcome.PROTOCOL, False),
        (Ending.REFUSED, None, reply(ended=False), Outcome.REFUSED, False),
        (Ending.CONNECT, None, reply(ended=False), Outcome.CONNECT, False),
        (Ending.DNS, None, reply(ended=False), Outcome.DNS, False),
        (Ending.TLS, None, reply(ended=False), Outcome.TLS, False),
        (Ending.ABORTED, 200, reply("t", ended=False), Outcome.ABORTED, False),
    ],
)
def test_outcome_follows_the_table(
    ending: Ending, status: int | None, received: Reply, expected: Outcome, has_ttft: bool
) -> None:
    seen = transcript(ending, status=status)
    kind, text = outcome(seen, received)
    assert kind is expected
    assert (text is None) is (expected is Outcome.ANSWERED)
    measured = timing(seen, received)
    assert (measured.ttft_ms is not None) is has_ttft
    assert (measured.total_ms is not None) is has_ttft


def test_every_ending_has_an_outcome_with_words() -> None:
    for ending in Ending:
        kind, text = outcome(transcript(ending, status=None), reply(ended=False))
        assert isinstance(kind, Outcome)
        assert text


@pytest.mark.parametrize(
    ("seen", "received", "text"),
    [
        (transcript(), reply(error="Error code: 529"), "Error code: 529"),
        (transcript(Ending.EOF), reply(ended=False), "the connection ended before the stream"),
        (transcript(Ending.DNS, detail="no such host"), reply(), "no such host"),
        (transcript(Ending.STATUS, status=503), reply(), "HTTP 503"),
        (
            transcript(Ending.STATUS, status=429, body='{"error":"Rate\n limit"}'),
            reply(),
            "HTTP 429: Rate limit",
        ),
        (
            transcript(
                Ending.CONTENT_TYPE, headers=(("content-type", "text/html"),), body="<p>\x1b[1m"
            ),
            reply(),
            "content type text/html: <p>",
        ),
    ],
)
def test_words_say_why(seen: Transcript, received: Reply, text: str) -> None:
    assert outcome(seen, received)[1] == text


def test_latencies_count_from_the_last_byte_of_the_request() -> None:
    measured = timing(
        transcript(tls_ns=60 * MS), reply("r.t.t", usage=Usage(answer_tokens=4, reasoning_tokens=1))
    )
    assert measured == Timing(
        dns_ms=5,
        connect_ms=60,
        tls_ms=40,
        ttfb_ms=50,
        ttft_ms=300,
        ttft_any_ms=100,
        total_ms=500,
        tpot_ms=100,  # 200 ms between first and last, three tokens of text
        stamp=StampSource.KERNEL,
    )


def test_first_token_is_first_text_not_first_event() -> None:
    assert timing(transcript(), reply("..t")).ttft_ms == 300


@pytest.mark.parametrize(
    ("stamps", "connect_ms", "tls_ms", "ttfb_ms"),
    [
        ({}, 20, None, 50),  # plain TCP
        ({"tls_ns": 60 * MS}, 60, 40, 50),
        ({"sent_ns": None, "head_ns": None}, None, None, None),  # the handshake never ended
        ({"dns_ns": None, "connected_ns": None}, None, None, 50),  # a connection kept open
        ({"head_ns": 99 * MS}, 20, None, None),  # before the request: no figure
    ],
)
def test_phases_that_did_not_happen_are_none(
    stamps: dict[str, Any], connect_ms: float | None, tls_ms: float | None, ttfb_ms: float | None
) -> None:
    measured = timing(transcript(**stamps), reply())
    assert (measured.connect_ms, measured.tls_ms, measured.ttfb_ms) == (connect_ms, tls_ms, ttfb_ms)


@each(
    ("marks", "usage", "tpot_ms"),
    [
        ("ttt", Usage(answer_tokens=3), 100),
        ("ttt", Usage(answer_tokens=5), 50),  # tokens, not chunks
        ("ttt", Usage(answer_tokens=2), 200),
        ("ttt", Usage(answer_tokens=1), None),
        ("ttt", Usage(), None),  # chunks are not counted as tokens
        ("ttt", Usage(answer_tokens=13, reasoning_tokens=10), 100),
        ("ttt", Usage(answer_tokens=11, reasoning_tokens=10), None),
        ("rttt", Usage(answer_tokens=13), None),  # how many of them were reasoning?
        ("t", Usage(answer_tokens=3), None),  # all came at once
        ("rr", Usage(answer_tokens=3), None),
    ],
)
def test_time_per_output_token(marks: str, usage: Usage, tpot_ms: float | None) -> None:
    assert timing(transcript(), reply(marks, usage=usage)).tpot_ms == tpot_ms


def test_time_per_output_token_is_unknown_where_reasoning_was_withheld_and_not_counted() -> None:
    withheld = replace(reply("ttt", usage=Usage(answer_tokens=400)), hidden_reasoning=True)
    assert timing(transcript(), withheld).tpot_ms is None
    counted = replace(withheld, usage=Usage(answer_tokens=400, reasoning_tokens=390))
    assert timing(transcript(), counted).tpot_ms == pytest.approx(200 / 9)


@each(
    ("received", "stamp"),
    [
        (bursts(300, 0, 1), StampSource.KERNEL),  # short and honest
        (bursts(300, 0, 4), StampSource.KERNEL),
        (bursts(300, 0, 5), StampSource.DEGRADED),  # five texts, one read
        (bursts(300, 5, 1, 4), StampSource.KERNEL),  # the first came by itself
        (bursts(1000, 5, 4, 4, 4, 4), StampSource.DEGRADED),  # out of a buffer
        (bursts(1000, 5, 4, 4, 4, 3), StampSource.KERNEL),  # fifteen texts say nothing
        (bursts(1000, 5, 4, 4, 4, 3, 1), StampSource.KERNEL),  # sixteen, in more reads
        (bursts(1000, 5, 40, 6), StampSource.DEGRADED),
        (bursts(9000, 15, *[1] * 40), StampSource.KERNEL),  # slow to begin, then steady
        (bursts(900, 100, 8, 8), StampSource.KERNEL),  # nine tenths exactly
        (bursts(901, 100, 8, 8), StampSource.DEGRADED),
        (bursts(-1, 5, 1, 1), StampSource.DEGRADED),  # before the request: the clock stepped
        (bursts(100, -20, 1, 1), StampSource.DEGRADED),
        (reply(), StampSource.KERNEL),
    ],
)
def test_stamp_is_degraded_where_text_was_held_back(received: Reply, stamp: StampSource) -> None:
    assert timing(transcript(), received).stamp is stamp


def test_stamp_of_the_exchange_is_never_made_better() -> None:
    assert timing(transcript(stamp=StampSource.USER), reply("tt")).stamp is StampSource.USER
    assert timing(transcript(stamp=StampSource.DEGRADED), reply("tt")).stamp is StampSource.DEGRADED


def test_the_version_of_the_definitions_is_explained() -> None:
    document = (Path(__file__).parents[2] / "docs/metrics.md").read_text(encoding="utf-8")
    versions = document.split("## Versions of the definitions")[1]
    assert [int(n) for n in re.findall(r"^\| (\d+) \|", versions, re.MULTILINE)] == list(
        range(1, INSTRUMENT + 1)
    )
    assert f"(now {INSTRUMENT})" in document
