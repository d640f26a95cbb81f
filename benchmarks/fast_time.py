"""Fast time: a clock that jumps over waiting, for an event loop and for a Postgres server.

The clock is real time plus an offset. When the loop has nothing to do, and neither a statement nor
a thread is in progress, the offset grows by the time until the next timer. Work takes as long as it
takes; waiting takes no time. `time_machine` shows the clock to this process, and libfaketime shows
it to the server, which reads the offset from a file.

Only local services on the same loop can be waited for in fast time: they have no work of their own.
"""

import asyncio
import os
import selectors
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import psycopg
import time_machine

from monitor.embedded_postgres import run_as
from monitor.embedded_postgres.run_as import RunAs, programs
from monitor.embedded_postgres.server import ensure
from monitor.network_settings import looking_up_names
from monitor.probing import resources

PULSE_S = 0.05  # the period of the loop monitor, which would end every jump after 2 ms
_LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def faketime() -> Path | None:
    """The library of Debian's package `libfaketime`; None: it is not installed."""
    return next((path for at in _LIBRARIES for path in Path("/").glob(at[1:])), None)


class FastClock:
    """Real time plus an offset. `file` has the offset of the wall clock, for libfaketime.

    `step_s`: the least jump while no exchange with a local service is in progress.
    """

    def __init__(self, file: Path, *, start: datetime, step_s: float) -> None:
        self.file, self.step_s = file, step_s
        self._start = start
        self._skipped = 0.0
        self._wall = 0.0
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the clock to this process while the body runs."""
        steady: dict[str, Callable[..., Any]] = {
            name: getattr(time, name) for name in ("monotonic", "monotonic_ns", "clock_gettime")
        }
        kernel, period = resources.KernelClock, (resources.PERIOD_S, resources.PERIOD_NS)
        continuing = {time.CLOCK_MONOTONIC, getattr(time, "CLOCK_BOOTTIME", None)}

        def clock_gettime(clock: int) -> float:
            read: float = steady["clock_gettime"](clock)
            return read + self._skipped if clock in continuing else read

        with time_machine.travel(self._start, tick=True) as self._travel:
            self._wall = time.time() - time_machine.escape_hatch.time.time()
            self._write()
            time.monotonic = lambda: steady["monotonic"]() + self._skipped
            time.monotonic_ns = lambda: steady["monotonic_ns"]() + int(self._skipped * 1e9)
            time.clock_gettime = clock_gettime
            resources.KernelClock = _KernelClock  # type: ignore[misc,assignment]
            resources.PERIOD_S, resources.PERIOD_NS = PULSE_S, int(PULSE_S * 1e9)
            try:
                yield
            finally:
                for name, function in steady.items():
                    setattr(time, name, function)
                resources.KernelClock = kernel  # type: ignore[misc]
                resources.PERIOD_S, resources.PERIOD_NS = period
                os.close(self._descriptor)

    def skip(self, seconds: float) -> None:
        """Jump ahead."""
        self._skipped += seconds
        self._write()
        self._travel.shift(seconds)

    def _write(self) -> None:
        os.pwrite(self._descriptor, f"{self._wall + self._skipped:+020.6f}\n".encode(), 0)


class _KernelClock(resources.KernelClock):
    """Kernel timestamps are in real time. No jump lies between an arrival and its read."""

    def __init__(self) -> None:
        super().__init__(wall_ns=lambda: int(time_machine.escape_hatch.time.time_ns()))

    def compare(self) -> None:
        """Nothing steps this clock."""

    def arrival(self, stamp_ns: int, now_ns: int) -> int | None:
        age = int(time_machine.escape_hatch.time.time_ns()) - stamp_ns
        return now_ns - max(age, 0)


class _Threads(ThreadPoolExecutor):
    """The loop's threads; `busy` are their calls in progress."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: set[Future[Any]] = set()

    def submit(
        self,
        fn: Callable[Parameters, Result],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Future[Result]:
        future = super().submit(fn, *args, **kwargs)
        self.busy.add(future)
        future.add_done_callback(self.busy.discard)
        return future


class _Selector(selectors.EpollSelector):
    """Jumps over waiting when there is nothing to wait for in real time."""

    def __init__(self, clock: FastClock, threads: _Threads) -> None:
        super().__init__()
        self._clock, self._threads = clock, threads
        self._statements: set[int] = set()  # descriptors: psycopg watches one during a statement
        self._exchanges: set[int] = set()  # descriptors of connections to and from local services

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = super().register(fileobj, events, data)
        match _peer(key.fd):
            case str() | bytes():
                self._statements.add(key.fd)
            case tuple():
                self._exchanges.add(key.fd)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = super().unregister(fileobj)
        self._statements.discard(key.fd)
        self._exchanges.discard(key.fd)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        others = threading.active_count() - 1 - len(self._threads._threads)
        if timeout is None or self._statements or self._threads.busy or others:
            return super().select(timeout)
        self._clock.skip(timeout if self._exchanges else max(timeout, self._clock.step_s))
        return []


def _peer(descriptor: int) -> Any:
    """The peer of a connected socket: a path, or host and port; None: there is none."""
    with suppress(OSError):
        sock = socket.socket(fileno=descriptor)
        try:
            with suppress(OSError):
                return sock.getpeername() or None
        finally:
            sock.detach()
    return None


def run(clock: FastClock, main: Callable[[], Any]) -> Any:
    """The result of a coroutine on a loop in fast time."""
    threads = _Threads()

    def loop() -> asyncio.AbstractEventLoop:
        kind: Any = looking_up_names(asyncio.SelectorEventLoop)
        made: asyncio.AbstractEventLoop = kind(_Selector(clock, threads))
        made.set_default_executor(threads)
        return made

    with clock.running(), asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main())


class FastPostgres:
    """A Postgres server whose clock is a `FastClock`; it is stopped and started as one likes.

    Its settings are Postgres' own, except that vacuum looks for work every second of real time.
    """

    def __init__(self, home: Path, clock: FastClock) -> None:
        library = faketime()
        if library is None:
            raise FileNotFoundError("libfaketime is not installed (Debian: apt install faketime)")
        self._wheel = programs()
        self.data = home / "postgres"
        ensure(self.data, self._wheel)
        self._as: RunAs = run_as.owner_of_data(self.data)
        self._environment = (
            f"LD_PRELOAD={library}",
            f"FAKETIME_TIMESTAMP_FILE={clock.file}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",
        )
        self._log = (home / "postgres.log").open("wb")
        self.url = f"postgresql://monitor@/monitor?host={self.data}"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when the server accepts connections."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": self.data,
            "max_connections": "20",
            "shared_buffers": "32MB",
            "wal_compression": "on",
            "max_wal_size": "128MB",
            "min_wal_size": "32MB",
            "autovacuum_naptime": "1s",
        }
        settings = [f"--{name}={value}" for name, value in options.items()]
        postgres = (str(self._wheel.postgres), "-D", str(self.data), *settings)
        found = shutil.which("env") or "/usr/bin/env"
        command = self._as.command(self.data, Path(found), *self._environment, *postgres)
        self._child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        for _ in range(3000):
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.url).close()
                return
            if self._child.poll() is not None:
                break
            threading.Event().wait(0.02)
        raise OSError(f"Postgres did not start: see {self._log.name}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT rolls transactions back, SIGQUIT is a crash."""
        if self._child is not None:
            self._child.send_signal(how)
            self._child.wait(60)
            self._child = None

    @property
    def pids(self) -> list[int]:
        """The server and its processes; none while it is stopped."""
        if self._child is None:
            return []
        at = Path(f"/proc/{self._child.pid}/task/{self._child.pid}/children")
        return [self._child.pid, *map(int, at.read_text().split())]

    def close(self) -> None:
        self.stop()
        self._log.close()
