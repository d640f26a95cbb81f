"""The edges of a worker: forwarders that see each step that leaves it, and can end it there.

Everything that a worker does and others can see is a statement to Postgres, a request to Slack, or
a probe. So the named points at which a worker can die are found from outside: before such a step
reaches the other side, and after the other side has answered, but before the worker hears of it. Or
it is stopped there for a while. A production worker contains nothing for this, and new statements
are found without a change here.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

When = Literal["before", "after", "pause"]
Place = Path | tuple[str, int]  # of a server: its Unix socket, or host and port
_NO_TYPE = {80877102, 80877103, 80877104}  # cancel, TLS and GSS requests come before the start
_WRITES = re.compile(r"\b(INSERT INTO|UPDATE(?! SET| SKIP)|DELETE FROM|MERGE INTO|COPY)\s+([\w.]+)")
_READS = re.compile(r"\bFROM\s+([\w.]+)")


@dataclass(slots=True)
class Points:
    """The steps seen, by name, and the one at which the next worker dies, or pauses."""

    seen: Counter[str] = field(default_factory=Counter)
    armed: tuple[str, When] | None = None
    fired: asyncio.Event = field(default_factory=asyncio.Event)

    def arm(self, name: str, when: When) -> None:
        self.fired.clear()
        self.armed = name, when

    def disarm(self) -> None:
        self.armed = None

    def reached(self, name: str) -> When | None:
        """Record a step; says whether its worker is to die, which is asked of one worker only."""
        self.seen[name] += 1
        if self.armed is None or self.armed[0] != name:
            return None
        when = self.armed[1]
        self.armed = None
        return when


class Steps(Protocol):
    """Splits what a connection sends into pieces, each with the name of its step, or None."""

    def cut(self, data: bytes) -> Iterator[tuple[bytes, str | None]]: ...


class HttpSteps:
    """Requests by their path; a body belongs to its head."""

    def __init__(self, service: str) -> None:
        self._service = service

    def cut(self, data: bytes) -> Iterator[tuple[bytes, str | None]]:
        first = re.match(rb"(?:GET|POST) (?:/api)?/(\S*)", data)
        yield data, f"{self._service} {first[1].decode('latin-1')}" if first else None


class PostgresSteps:
    """Statements by verb and table; a COMMIT by what its transaction wrote.

    Source: PostgreSQL's documentation, "Message Formats".
    """

    def __init__(self) -> None:
        self._buffer, self._begun = b"", False
        self._statements: dict[bytes, str] = {}
        self._written: list[str] = []

    def cut(self, data: bytes) -> Iterator[tuple[bytes, str | None]]:
        self._buffer += data
        while (frame := self._frame()) is not None:
            yield frame, self._name(frame)

    def _frame(self) -> bytes | None:
        offset = 1 if self._begun else 0
        if len(self._buffer) < offset + 4:
            return None
        length = offset + int.from_bytes(self._buffer[offset : offset + 4])
        if len(self._buffer) < length:
            return None
        frame, self._buffer = self._buffer[:length], self._buffer[length:]
        if not self._begun:
            self._begun = int.from_bytes(frame[4:8]) not in _NO_TYPE
        return frame

    def _name(self, frame: bytes) -> str | None:
        match frame[:1]:
            case b"P":
                name, _, rest = frame[5:].partition(b"\0")
                self._statements[name] = rest.partition(b"\0")[0].decode("utf-8", "replace")
            case b"B":
                name = frame[5:].partition(b"\0")[2].partition(b"\0")[0]
                return self._step(self._statements.get(name, ""))
            case b"Q":
                return self._step(frame[5:-1].decode("utf-8", "replace"))
        return None

    def _step(self, statement: str) -> str | None:
        verb = statement.split(maxsplit=1)[0].upper() if statement.strip() else ""
        if verb == "BEGIN":
            self._written = []
            return None
        if verb == "COMMIT":
            written, self._written = list(dict.fromkeys(self._written)), []
            return f"commit of {', '.join(written)}" if written else None
        if verb in ("ROLLBACK", "SAVEPOINT", "RELEASE"):
            return None
        if found := _WRITES.search(statement):
            name = f"{found[1].split()[0].lower()} {found[2]}"
            self._written.append(name)
            return name
        read = _READS.search(statement)
        return f"select {read[1]}" if read else None


class Edge:
    """Forwards each connection to a server. `kill` ends the worker on this side of it."""

    def __init__(
        self,
        place: Place,
        steps: Callable[[], Steps],
        points: Points,
        kill: Callable[[str, When], None],
    ) -> None:
        self.place, self.port = place, 0
        self._steps, self._points, self._kill = steps, points, kill
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def begin(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def end(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def point_at(self, place: Place) -> None:
        """Send new connections there; what is open stays open."""
        self.place = place

    def cut(self) -> None:
        """Break what is open."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        far: asyncio.StreamWriter | None = None
        try:
            with suppress(OSError, asyncio.CancelledError):
                far_reader, far = await _connected(self.place)
                self._open |= {writer, far}
                doom: list[str] = []
                ways = [
                    asyncio.ensure_future(self._up(reader, far, doom)),
                    asyncio.ensure_future(self._down(far_reader, writer, doom)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                    if not ways[1].done():  # the worker is gone; the server may still answer
                        await asyncio.wait(ways, timeout=1)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
        finally:
            for each in filter(None, (writer, far)):
                self._open.discard(each)
                each.transport.abort()

    async def _up(
        self, reader: asyncio.StreamReader, far: asyncio.StreamWriter, doom: list[str]
    ) -> None:
        steps = self._steps()
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                for piece, name in steps.cut(data):
                    when = self._points.reached(name) if name else None
                    if name and when == "before":
                        self._kill(name, when)
                        self._points.fired.set()
                        return
                    if name and when == "pause":
                        self._kill(name, when)
                        self._points.fired.set()
                    far.write(piece)
                    if name and when == "after":
                        doom.append(name)
                await far.drain()
            far.write_eof()

    async def _down(
        self, far: asyncio.StreamReader, writer: asyncio.StreamWriter, doom: list[str]
    ) -> None:
        with suppress(OSError):
            while data := await far.read(1 << 16):
                if doom:
                    self._kill(doom[0], "after")
                    self._points.fired.set()
                    return
                writer.write(data)
                await writer.drain()


async def _connected(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(place, Path):
        return await asyncio.open_unix_connection(str(place))
    return await asyncio.open_connection(*place)
