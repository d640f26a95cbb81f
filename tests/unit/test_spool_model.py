"""The spool against a model, in the manner of Vector's disk buffer.

Processes that share a folder append, store, drop and take over, while they are killed at any system
call, the power fails, the disk fills up, and files are cut or damaged. Whatever happens: what was
acknowledged is stored in the end, once and in order, and everything that is missing was reported.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from monitor.domain import Observation
from monitor.storage import Database, DatabaseUnavailable, probe_rows, spool_file
from monitor.storage import spool as spools
from monitor.storage.batch import Batch
from monitor.storage.spool import Spool, SpoolFile
from monitor.worker import outage
from monitor.worker.spent_today import SpentToday
from tests.example_data import observation

T = TypeVar("T")
MOST, GARBAGE = 6, 4_000  # observations that may wait; bytes of obsolete records
PROCESSES = 2
ORDINARY = observation()
RECORD = len(spool_file.waiting(0, ORDINARY))
CALLS = ("open", "pwrite", "ftruncate", "fsync", "close", "unlink")


class Killed(BaseException):
    """The process ended within a system call, or before one."""


@dataclass(slots=True)
class Disk:
    """The system calls of the spool, which may end the process or fail.

    `kill_at`: the call at which it ends, counted from 0; a write has been done in part by then.
    """

    patch: pytest.MonkeyPatch
    full: bool = False
    kill_at: int | None = None
    share: float = 0.0
    dead: bool = False
    synced: dict[int, int] = field(default_factory=dict)  # size on the disk itself, by inode

    def install(self) -> None:
        for name in CALLS[:-1]:
            self.patch.setattr(spool_file.os, name, self._call(name, getattr(os, name)))
        self.patch.setattr(Path, "unlink", self._call("unlink", Path.unlink))

    def _call(self, name: str, real: Callable[..., T]) -> Callable[..., T]:
        def call(*given: Any, **named: Any) -> T:
            if self.dead:
                raise Killed
            if self.kill_at is not None:
                self.kill_at -= 1
                if self.kill_at < 0:
                    self.dead = True
                    if name == "pwrite":
                        fd, data, offset = given
                        real(fd, bytes(data)[: int(len(data) * self.share)], offset)
                    raise Killed
            creates = name == "open" and given[1] & os.O_CREAT
            if self.full and (creates or name == "pwrite"):
                if name == "pwrite":
                    real(given[0], bytes(given[1])[: int(len(given[1]) * self.share)], given[2])
                raise OSError(28, "No space left on device")
            if name == "fsync":
                found = os.fstat(given[0])
                self.synced[found.st_ino] = found.st_size
                return real  # type: ignore[return-value]
            return real(*given, **named)

        return call


DATABASE = Database("postgresql://127.0.0.1:1/none")  # `_store` takes its place


class Process:
    """A worker's spool. `alive` False: it was killed, and its locks are gone."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(MOST, file=SpoolFile(folder))
        self.context: Any = SimpleNamespace(
            state=SimpleNamespace(
                spool=self.spool, learnings={}, writes=Batch(), ends=[], spent=SpentToday()
            ),
            database=DATABASE,
            region="local",
            worker="w1",
            metrics=SimpleNamespace(rejected=lambda: None),
        )

    @property
    def waiting(self) -> list[int]:
        return ids(self.spool.oldest(MOST))

    def locks(self) -> list[tuple[Path, int]]:
        file = self.spool._file
        assert file is not None
        return [*file._former, *([file._held] if file._held else [])]


def ids(found: Sequence[Observation]) -> list[int]:
    return [one.id.int for one in found]


class SpoolMachine(RuleBasedStateMachine):
    """`acknowledged`: what must not be lost. `excused`: reported as dropped, or damaged by us."""

    def __init__(self) -> None:
        super().__init__()
        self.place = TemporaryDirectory()
        self.folder = Path(self.place.name)
        self.patch = pytest.MonkeyPatch()
        self.disk = Disk(self.patch)
        self.runner = asyncio.Runner()
        self.stored: list[int] = []
        self.up = True
        self.next = 0
        self.acknowledged: set[int] = set()
        self.excused: set[int] = set()
        self.processes: list[Process] = []

    @initialize(up=st.sampled_from([False, False, True]))
    def begin(self, up: bool) -> None:
        async def here(work: Callable[..., Any], *given: Any, **named: Any) -> Any:
            return work(*given, **named)

        self.patch.setattr(asyncio, "to_thread", here)
        self.patch.setattr(spools, "RETRY_S", 0.0)
        self.patch.setattr(spool_file, "_GARBAGE", GARBAGE)
        self.patch.setattr(probe_rows, "store", self._store)
        numbers = count()  # the same names in each run
        self.patch.setattr(spool_file, "token_hex", lambda size: f"{next(numbers):08x}")
        self.runner.get_loop().set_exception_handler(lambda loop, what: None)
        self.disk.install()
        self.processes = [Process(self.folder) for _ in range(PROCESSES)]
        self.up = up

    def teardown(self) -> None:
        self.patch.undo()
        for process in self.processes:
            for _, fd in process.locks():
                os.close(fd)
        self.runner.close()
        self.place.cleanup()

    async def _store(
        self, database: object, new: Sequence[Observation], learnings: object, **ends: object
    ) -> tuple[int, tuple[()]]:
        """The database: a row for each id, in the order in which they came first."""
        if self.disk.dead:
            raise Killed
        if not self.up:
            raise DatabaseUnavailable("away")
        fresh = [one for one in ids(new) if one not in self.stored]
        self.stored += fresh
        return len(fresh), ()

    def _do(
        self, which: int, work: Callable[[Process], Any], new: Sequence[int], fault: Any
    ) -> None:
        """One operation of a process, killed within it if there is a `fault`."""
        process = self.processes[which]
        before = {*process.waiting, *new, *self._on_disk(besides=process)}
        dropped = process.spool.dropped
        self.disk.kill_at, self.disk.share = fault or (None, 0.5)
        try:
            self.runner.run(work(process))
        except Killed:
            pass
        finally:
            self.disk.kill_at = None
        gone = before - {*process.waiting, *self.stored}
        if self.disk.dead:
            if process.spool.dropped > dropped:
                self.excused |= gone
            self._killed(which)
            return
        gone -= self._on_disk(besides=process)
        lost = gone & self.acknowledged | gone & set(new)
        assert len(lost) <= process.spool.dropped - dropped, "a loss that is not reported"
        self.excused |= gone
        if process.spool.on_disk:
            self.acknowledged |= set(process.waiting)

    def _on_disk(self, *, besides: Process | None = None) -> set[int]:
        ours = {path for path, _ in besides.locks()} if besides else set()
        paths = set(self.folder.glob("*.spool")) - ours
        return {one for path in paths for one in ids(spool_file.parse(path.read_bytes()).waiting)}

    def _killed(self, which: int) -> None:
        self.disk.dead = False
        for _, fd in self.processes[which].locks():
            os.close(fd)
        self._close_leaks()
        self.processes[which] = Process(self.folder)

    def _close_leaks(self) -> None:
        """What a killed process had open besides: a file that it was creating or taking over."""
        held = {fd for process in self.processes for _, fd in process.locks()}
        for entry in list(Path("/proc/self/fd").iterdir()):
            fd = int(entry.name)
            try:
                inside = str(entry.readlink()).startswith(f"{self.folder}/")
            except OSError:
                continue
            if inside and fd not in held:
                os.close(fd)

    FAULT = st.none() | st.none() | st.tuples(st.integers(0, 12), st.floats(0, 1))
    WHICH = st.integers(0, PROCESSES - 1)

    @rule(which=WHICH, many=st.integers(1, 4), fault=FAULT)
    def append(self, which: int, many: int, fault: Any) -> None:
        new = range(self.next, self.next + many)
        self.next += many
        rows = [replace(ORDINARY, id=UUID(int=number)) for number in new]
        self._do(which, lambda process: outage.keep(process.context, rows), new, fault)

    @rule(which=WHICH, fault=FAULT)
    def retry(self, which: int, fault: Any) -> None:
        self._do(which, lambda process: outage.keep(process.context, []), (), fault)

    @rule(which=WHICH, fault=FAULT)
    def take_over(self, which: int, fault: Any) -> None:
        self._do(which, lambda process: outage.adopt(process.context), (), fault)

    @rule(up=st.sampled_from([False, False, True]))
    def database(self, up: bool) -> None:
        self.up = up

    @rule(full=st.booleans())
    def fill(self, full: bool) -> None:
        self.disk.full = full

    @rule(which=WHICH)
    def kill(self, which: int) -> None:
        self._killed(which)

    @rule(which=WHICH, full=st.booleans(), fault=FAULT)
    def hand_over(self, which: int, full: bool, fault: Any) -> None:
        """One process ends, another takes its file over, and ends, too."""
        other = (which + 1) % PROCESSES
        self._killed(which)
        self.disk.full = full
        self.take_over(other, fault)
        self._killed(other)

    @rule(share=st.floats(0, 1))
    def power_fails(self, share: float) -> None:
        """What was not synchronised may be missing from anywhere on."""
        for which in range(PROCESSES):
            self._killed(which)
        for path in self.folder.glob("*.spool"):
            found = path.stat()
            kept = min(self.disk.synced.get(found.st_ino, 0), found.st_size)
            os.truncate(path, kept + int((found.st_size - kept) * share))

    @rule(which=st.integers(0, 9), at=st.floats(0, 1), length=st.integers(1, 2 * RECORD),
          junk=st.none() | st.binary(min_size=1, max_size=3))  # fmt: skip
    def damage(self, which: int, at: float, length: int, junk: bytes | None) -> None:
        """Overwrite some bytes of a file, or cut its end: only the records hit are lost."""
        found = sorted(path for path in self.folder.glob("*.spool") if path.stat().st_size)
        if not found:
            return
        path = found[which % len(found)]
        content = path.read_bytes()
        place = int(at * (len(content) - 1))
        hurt = content[:place]
        if junk is not None:
            hurt = (hurt + junk * length)[: place + length] + content[place + length :]
        path.write_bytes(hurt)
        before, after = spool_file.parse(content), spool_file.parse(hurt)
        missing = set(ids(before.waiting)) - set(ids(after.waiting))
        assert junk is None or len(missing) <= length // RECORD + 2
        assert not missing or junk is None or after.damaged or after.torn, "it is not noticed"
        self.excused |= missing

    @invariant()
    def nothing_acknowledged_is_gone(self) -> None:
        memory = {one for process in self.processes for one in process.waiting}
        have = {*self.stored, *memory, *self._on_disk()}
        assert self.acknowledged <= have | self.excused

    @invariant()
    def nothing_is_stored_twice_and_the_order_is_kept(self) -> None:
        assert len(self.stored) == len(set(self.stored))

    @invariant()
    def the_files_are_bounded(self) -> None:
        largest = (2 * MOST + 4) * (RECORD + 100) + GARBAGE
        assert all(path.stat().st_size <= largest for path in self.folder.glob("*.spool"))


class SpoolMachineThatEndsWell(SpoolMachine):
    """In the end everything works: one process takes over and stores all."""

    def teardown(self) -> None:
        try:
            if self.processes:
                self.up, self.disk.full = True, False
                for which in range(PROCESSES):
                    self.retry(which, None)
                    self._killed(which)
                for _ in range(3):
                    self.take_over(0, None)
                assert self.acknowledged <= {*self.stored} | self.excused
                self.processes[0].spool.close()
                self.processes[0] = Process(self.folder)
                assert not self._on_disk()
        finally:
            super().teardown()


@pytest.mark.search
def test_whatever_happens_what_was_acknowledged_is_stored_once_or_reported_as_lost() -> None:
    run_state_machine_as_test(
        SpoolMachineThatEndsWell,
        settings=settings(max_examples=120, stateful_step_count=30, deadline=None),
    )
