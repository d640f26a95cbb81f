"""Replays recorded responses through the real client: `python -m benchmarks.streams DIR`.

DIR holds raw response bodies (server-sent events, JSON lines or text) and `expected.jsonl`, one
object a response: what somebody else read in it. They are replayed over loopback, and every figure
that differs from ours is printed. docs/benchmarks.md#recorded-streams describes the format.
Exit status 0: no difference; 1: some; 2: nothing to replay.
"""

import argparse
import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

from monitor.dialects import dialect_of, read
from monitor.domain import ClaimKind, ProbeRequest, Query, Reply, Target, Transcript
from monitor.probing.client import ProbeClient, exchange
from monitor.probing.timing import outcome

EXPECTED = "expected.jsonl"
PATIENCE = timedelta(seconds=60)  # a replay takes milliseconds; the machine may be busy
SHOWN = 60  # characters of a value in a difference
EVENT_END = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)|(?<=\r\r)")
LINE_END = re.compile(rb"(?<=\n)")


@dataclass(frozen=True, slots=True)
class Recording:
    """A response body and what was read in it elsewhere. `expected`: figures by name."""

    name: str
    body: bytes
    dialect: str
    status: int
    headers: Mapping[str, str]  # of the response
    options: Mapping[str, Any]  # of the target
    expected: Mapping[str, Any]

    def pieces(self) -> list[bytes]:
        """The body event by event, as a server would send it."""
        media = self.headers["content-type"]
        end = EVENT_END if "event-stream" in media else LINE_END
        return [piece for piece in end.split(self.body) if piece]


@dataclass(frozen=True, slots=True)
class Replay:
    """What the client and the dialect made of a recording."""

    transcript: Transcript
    reply: Reply


def _model(replay: Replay) -> str | None:
    named = (claim.value for claim in replay.reply.claims if claim.kind is ClaimKind.FIELD)
    return next(named, None)


def _first_text_event(replay: Replay) -> int | None:
    received = enumerate(replay.transcript.heard)
    return next((number for number, one in received if one.text), None)


FIGURES: dict[str, Callable[[Replay], object]] = {
    "outcome": lambda replay: outcome(replay.transcript, replay.reply)[0].value,
    "text": lambda replay: replay.reply.text,
    "reasoning": lambda replay: "".join(p.reasoning for p in replay.reply.final_pieces),
    "prompt_tokens": lambda replay: replay.reply.usage.prompt_tokens,
    "answer_tokens": lambda replay: replay.reply.usage.answer_tokens,
    "reasoning_tokens": lambda replay: replay.reply.usage.reasoning_tokens,
    "cached_tokens": lambda replay: replay.reply.usage.cached_tokens,
    "cache_write_tokens": lambda replay: replay.reply.usage.cache_write_tokens,
    "cost_usd": lambda replay: replay.reply.usage.cost_usd,
    "finish": lambda replay: replay.reply.finish,
    "model": _model,
    "first_text_event": _first_text_event,
    "error": lambda replay: replay.reply.error,
    "faults": lambda replay: list(replay.reply.faults),
}


def recordings(folder: Path) -> list[Recording]:
    """All responses that the expectation file names. Raises ValueError naming a bad line."""
    found = []
    for number, line in enumerate((folder / EXPECTED).read_text("utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_float=Decimal)
            unknown = sorted(row["expected"].keys() - FIGURES.keys())
            if unknown:
                raise ValueError(f"{', '.join(unknown)}: no figure; known: {', '.join(FIGURES)}")
            headers = {name.lower(): value for name, value in row.get("headers", {}).items()}
            found.append(Recording(
                name=row["file"], body=(folder / row["file"]).read_bytes(), dialect=row["dialect"],
                status=row.get("status", 200), options=row.get("options", {}),
                headers={"content-type": "text/event-stream"} | headers, expected=row["expected"],
            ))  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise ValueError(f"{EXPECTED} line {number}: {error}") from error
    return found


class Replays:
    """A server that answers request `/N` with recording N, one event a write."""

    def __init__(self, recorded: list[Recording]) -> None:
        self._recorded = recorded

    async def replay(self) -> list[Replay]:
        """Each recording in turn, over a connection of its own."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, ProbeClient("streams benchmark") as wire:
            return [await self._probe(wire, url, number) for number in range(len(self._recorded))]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        recording = self._recorded[int(head.split(b" ", 2)[1].lstrip(b"/"))]
        lines = [f"HTTP/1.1 {recording.status} Replayed",
                 *(f"{name}: {value}" for name, value in recording.headers.items()),
                 "transfer-encoding: chunked", "connection: close", "", ""]  # fmt: skip
        with suppress(OSError):
            writer.write("\r\n".join(lines).encode("latin-1"))
            for piece in recording.pieces():
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def _probe(self, wire: ProbeClient, url: str, number: int) -> Replay:
        recording, query = self._recorded[number], Query(id="q", text="")
        target = Target(
            name="replay", url=url, dialect=recording.dialect, queries=(query,), model="any",
            options=recording.options, first_token_deadline=PATIENCE, stall_deadline=PATIENCE,
            deadline=PATIENCE,
        )  # fmt: skip
        dialect = dialect_of(target)
        transcript = await exchange(
            ProbeRequest("GET", f"{url}/{number}"), dialect=dialect, target=target, query=query,
            probe=uuid4(), http=wire,
        )  # fmt: skip
        return Replay(transcript, read(dialect, transcript))


def differences(recording: Recording, replay: Replay) -> list[tuple[str, str]]:
    """Each figure that is not as expected, with both values."""
    found = {name: FIGURES[name](replay) for name in recording.expected}
    return [
        (name, f"expected {_shown(wanted, found[name])}, found {_shown(found[name], wanted)}")
        for name, wanted in recording.expected.items()
        if not _equal(wanted, found[name])
    ]


def _equal(wanted: object, found: object) -> bool:
    """Whether two values are one; a charge may be written as a number or as text."""
    if isinstance(found, Decimal) and isinstance(wanted, str | int | Decimal):
        return Decimal(wanted) == found
    return wanted == found


def _shown(value: object, other: object) -> str:
    """A value, of a long text the part from just before where it differs."""
    if isinstance(value, str) and isinstance(other, str):
        pairs = enumerate(zip(value, other, strict=False))
        at = next((n for n, (a, b) in pairs if a != b), min(len(value), len(other)))
        start = max(0, at - SHOWN // 2)
        dots = "…" if start else ""
        return f"{dots}{value[start : start + SHOWN]!r} ({len(value)} characters)"
    return repr(value) if not isinstance(value, Decimal) else format(value, "f")


def main() -> int:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("folder", type=Path, metavar="DIR")
    folder = options.parse_args().folder
    try:
        recorded = recordings(folder)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if not recorded:
        print(f"{folder / EXPECTED} names no responses", file=sys.stderr)
        return 2
    replays = asyncio.run(Replays(recorded).replay())
    differing: Counter[str] = Counter()
    for recording, replay in zip(recorded, replays, strict=True):
        for figure, text in differences(recording, replay):
            print(f"{recording.name} ({recording.dialect}) {figure}: {text}")
            differing[recording.name] += 1
    figures = sum(len(recording.expected) for recording in recorded)
    print(f"{len(recorded)} responses, {figures} figures: "
          f"{sum(differing.values())} differ, in {len(differing)} responses")  # fmt: skip
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
