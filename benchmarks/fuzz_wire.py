"""Feeds the wire what nobody would send, for as long as one likes.

    python -m benchmarks.fuzz_wire --seconds 600

Guided by coverage where `atheris` is installed; else a loop that mutates recorded streams and
pieces of the grammars. Checked on every input: nothing is raised but what is announced; any
cutting of the same bytes gives the same events, and in every dialect the same reply and the same
first text; events are those of a slow reading of the rules, bodies those of h11; a whole exchange
over a socket ends; in a crowd, where work is gathered, it ends as it does alone and has heard the
same. An input that fails is kept in a file.
"""

import argparse
import asyncio
import importlib
import importlib.util
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import h11

from benchmarks.fuzz_inputs import HEAD, chunked, cut, made_up, recorded
from monitor.dialects import DIALECTS, dialect_of, read
from monitor.domain import Dialect, Ending, ProbeRequest, Query, Reply, Target, Transcript
from monitor.probing.client import ProbeClient, exchange
from monitor.probing.http_message import (
    ChunkedBody,
    encoded,
    excess,
    fields,
    media_type,
    retry_after_s,
)
from monitor.probing.limits import LINE_BYTES, ProbeError, TooLarge
from monitor.probing.resources import PROBE_CROWD
from monitor.probing.stream_reader import NdjsonParser, SseParser, StreamReader
from monitor.probing.timestamped_socket import ConnectionTimes

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SPOKEN = [dialect for dialect in DIALECTS.values() if isinstance(dialect, Dialect)]
DESCRIBED = {
    "body": {"q": "{query}"},
    "text": "text || delta.text",
    "done": "done || _data == '[DONE]'",
    "usage": {"prompt_tokens": "usage.prompt_tokens", "total_tokens": "usage.total_tokens"},
}
READ = [
    dialect_of(
        Target(
            name="fuzz",
            url="http://h",
            dialect=name,
            queries=(),
            model="m",
            options=DESCRIBED if name == "custom" else {},
        )
    )
    for name in DIALECTS
]  # as probes read them: with tags of thoughts, errors wherever they stand, and keep-alives

Events = list[tuple[str, str]]


def parsed(parser: SseParser | NdjsonParser, pieces: Iterable[bytes]) -> tuple[Events, int]:
    """Events and malformed ones; of a stream over a cap, those before it."""
    events: Events = []
    try:
        for piece in pieces:
            events += parser.feed(piece)
    except TooLarge as cap:
        return events + cap.events, parser.malformed
    return events + parser.close(), parser.malformed


def slowly(data: bytes) -> Events:
    """Server-sent events by the letter of our rules, the whole stream at once.

    Beside the rules of browsers: a name without data, a field `error`, a line that begins with `{`,
    and what stands at the end without a blank line are events.
    """
    events: Events = []
    name, lines = "", list[str]()
    text = data.decode(errors="replace").removeprefix("\ufeff")
    for line in [*re.split("\r\n|\n|\r", text), ""]:
        field, colon, value = line.partition(":")
        value = value.removeprefix(" ") if colon else ""
        if not line:
            events += [(name, "\n".join(lines))] if lines or name else []
            name, lines = "", []
        elif line.startswith("{"):
            events.append(("", line))
        elif field == "event":
            name = value
        elif field == "error":
            events.append(("error", value))
        elif field == "data":
            lines.append(value)
    return events


def check_sse(data: bytes, chance: random.Random) -> None:
    whole = parsed(SseParser(), [data])
    assert parsed(SseParser(), cut(data, chance)) == whole
    if len(data) <= LINE_BYTES:
        assert whole[0] == slowly(data)


def check_ndjson(data: bytes, chance: random.Random) -> None:
    assert parsed(NdjsonParser(), cut(data, chance)) == parsed(NdjsonParser(), [data])


def unchunked(pieces: Iterable[bytes]) -> tuple[bytes, bool] | str:
    body = ChunkedBody()
    try:
        return b"".join([body.feed(piece) for piece in pieces]), body.ended
    except ProbeError as error_reason:
        return error_reason.detail


def by_h11(data: bytes) -> bytes | None:
    """The body by h11; None where it refuses the chunks or wants more."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(HEAD + data)
    body = b""
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return None
            body += bytes(event.data) if isinstance(event, h11.Data) else b""
    except h11.RemoteProtocolError:
        return None
    return body


def check_chunks(data: bytes, chance: random.Random) -> None:
    whole = unchunked([data])
    assert unchunked(cut(data, chance)) == whole
    if (body := by_h11(data)) is not None:
        assert whole == (body, True)


def check_hearing(data: bytes, chance: random.Random) -> None:
    for dialect in SPOKEN:
        hearing, stamps = (
            StreamReader(dialect, stop_after_chars=chance.choice([None, 5])),
            ConnectionTimes(),
        )
        for piece in cut(data, chance):
            if hearing.ending is None:
                hearing.take(piece, stamps)
        hearing.close(stamps)


def check_dialects(data: bytes, chance: random.Random) -> None:
    """However a stream is cut, each dialect reads the same reply, and the same first text."""
    for dialect in READ:
        parts, whole = replied(dialect, cut(data, chance)), replied(dialect, [data])
        broken = {parts[1], whole[1]} & {Ending.PROTOCOL, Ending.TOO_LARGE}
        assert broken or parts == whole  # a cap may end a broken stream an event sooner or later


def replied(dialect: Dialect, pieces: Iterable[bytes]) -> tuple[Reply, Ending | None, int | None]:
    hearing, stamps = StreamReader(dialect, stop_after_chars=None), ConnectionTimes()
    for piece in pieces:
        if hearing.ending is None:
            hearing.take(piece, stamps)
    hearing.close(stamps)
    received = hearing.heard
    until_end = hearing.events[: len(received)]  # of what follows, as much came as the read brought
    transcript = Transcript(
        id=UUID(int=0), started_at=NOW, started_ns=0, ended_ns=1, ending=Ending.END,
        events=tuple(until_end), heard=tuple(received),
    )  # fmt: skip
    first = next((number for number, one in enumerate(received) if one.text), None)
    return read(dialect, transcript), hearing.ending, first


def check_head(data: bytes, chance: random.Random) -> None:
    lines = [line.partition(b": ") for line in data.split(b"\r\n")]
    raw = [(name, value) for name, _, value in lines]
    head = fields(raw)
    excess(raw)
    media_type(head), encoded(head)
    values = [data.decode("latin-1"), *(value for _, value in head[:9])]
    for value in values:
        wait = retry_after_s((("retry-after", value),), NOW)
        assert wait is None or 0 <= wait <= 3600


CHECKS = (check_sse, check_ndjson, check_chunks, check_hearing, check_dialects, check_head)


class Exchanges:
    """Whole exchanges with a server that answers with the input, in pieces, and hangs up."""

    def __init__(self) -> None:
        self.endings: Counter[str] = Counter()
        self.crowds = 0
        self._answers: list[list[bytes]] = []  # by the number that is asked for
        self._loop = asyncio.new_event_loop()
        self._wire = self._loop.run_until_complete(ProbeClient("fuzz").__aenter__())
        server = asyncio.start_server(self._answer, "127.0.0.1", 0)
        self._server = self._loop.run_until_complete(server)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requested = await reader.readuntil(b"\r\n\r\n")
        number = int(requested.split(b" ", 2)[1].lstrip(b"/"))
        with suppress(OSError):
            for piece in self._answers[number]:
                if writer.transport.is_closing():
                    break
                writer.write(piece)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

    def check(self, data: bytes, chance: random.Random) -> None:
        """Most answers have a sound head and sound chunks, or they would not get past them."""
        self._answers = [self._answered(data, chance)]
        asking = self._ask(0, chance.choice(SPOKEN), timedelta(seconds=2))
        self.endings[self._loop.run_until_complete(asking).ending] += 1

    def check_crowd(self, inputs: Iterable[bytes], chance: random.Random) -> None:
        """More exchanges at once than are worked through one by one, and each by itself."""
        self._answers = [self._answered(data, chance) for data in inputs]
        spoken = [chance.choice(SPOKEN) for _ in self._answers]
        patient = timedelta(seconds=20)  # what is told apart here is no deadline

        def asking() -> list[Coroutine[None, None, Transcript]]:
            return [self._ask(n, dialect, patient) for n, dialect in enumerate(spoken)]

        async def at_once() -> list[Transcript]:
            return await asyncio.gather(*asking())

        crowd = self._loop.run_until_complete(at_once())
        for number, (one, ask) in enumerate(zip(crowd, asking(), strict=True)):
            alone = self._loop.run_until_complete(ask)
            assert told(one) == told(alone), f"answer {number}: {self._answers[number]!r}"
        self.crowds += 1

    def _answered(self, data: bytes, chance: random.Random) -> list[bytes]:
        sound = HEAD + chunked(data, chance)
        return cut(chance.choice([data, HEAD + data, sound, sound, sound]), chance)

    def _ask(
        self, number: int, dialect: Dialect, deadline: timedelta
    ) -> Coroutine[None, None, Transcript]:
        url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        query = Query(id="q", text="")
        target = Target(name="fuzz", url=url, dialect="", queries=(query,), deadline=deadline)
        request = ProbeRequest("GET", f"{url}/{number}")
        return exchange(
            request, dialect=dialect, target=target, query=query, probe=UUID(int=number),
            http=self._wire,
        )  # fmt: skip


def told(transcript: Transcript) -> tuple[object, ...]:
    """What an exchange says, whenever its bytes arrived."""
    events = [(event.name, event.data) for event in transcript.events]
    return transcript.ending, transcript.detail, transcript.status, events


def one_input(data: bytes, checks: Iterable[Callable[[bytes, random.Random], None]]) -> None:
    """All checks on one input. Its own bytes decide how it is cut."""
    for check in checks:
        check(data, random.Random(data))


def by_chance(seconds: float, seed: int) -> int:
    """Inputs until the time is up; 1 and a file if one of them fails."""
    chance = random.Random(seed)
    seeds = recorded()
    exchanges, inputs = Exchanges(), 0
    recent: list[bytes] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data, inputs = made_up(seeds, chance), inputs + 1
        try:
            one_input(data, [*CHECKS, exchanges.check] if inputs % 10 == 0 else CHECKS)
            recent.append(data)
            if len(recent) == 12 * (PROBE_CROWD + 20):
                exchanges.check_crowd(recent[::12], chance)
                recent.clear()
        except Exception as error:
            path = Path(f"fuzz-{seed}-{inputs}.bin")
            path.write_bytes(data)
            print(f"input {inputs} of seed {seed} fails, kept as {path}: {error!r}")
            return 1
    print(f"seed {seed}: {inputs} inputs, {exchanges.endings.total()} exchanges, "
          f"{exchanges.crowds} crowds of {PROBE_CROWD + 20}, no failure")  # fmt: skip
    print(", ".join(f"{ending} {count}" for ending, count in exchanges.endings.most_common()))
    return 0


def main() -> int:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = options.parse_args()
    if importlib.util.find_spec("atheris") is None:
        return by_chance(given.seconds, given.seed)
    atheris = importlib.import_module("atheris")
    checks = [*CHECKS, Exchanges().check]
    atheris.instrument_all()
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={given.seconds:.0f}", f"-seed={given.seed}"],
        lambda data: one_input(data, checks),
    )
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
