"""How busy the machine was with other things while we measured on it, and making it so."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

STAT = Path("/proc/stat")
IDLE, STEAL = (3, 4), 7  # columns of the first line: idle and iowait; taken by the host
COUNTED = 8  # what follows is contained in these


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`others` and `steal` are in cores, on average; `load` is the last minute's at the end.

    `beside`: processes of ours that did nothing but keep the machine busy.
    """

    cores: int
    kernel: str
    others: float
    steal: float
    load: float
    day: date
    beside: int = 0


class Watch:
    """From its making to `machine`: what the processors did, and how much of it was for us."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._ticks = _ticks()
        self._own_s = _own_s()

    def machine(self, beside: int = 0) -> Machine:
        wall_s = time.monotonic() - self._begun
        spent = [now - then for now, then in zip(_ticks(), self._ticks, strict=True)]
        second = os.sysconf("SC_CLK_TCK")
        steal_s = spent[STEAL] / second
        busy_s = (sum(spent) - sum(spent[n] for n in IDLE)) / second - steal_s
        return Machine(
            cores=os.cpu_count() or 1,
            kernel=os.uname().release,
            others=max(busy_s - (_own_s() - self._own_s), 0) / wall_s,
            steal=steal_s / wall_s,
            load=os.getloadavg()[0],
            day=datetime.now(UTC).date(),
            beside=beside,
        )


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes at normal priority that never rest, until the end."""
    work = (sys.executable, "-c", "while True: sum(range(10_000))")
    running = [subprocess.Popen(work) for _ in range(processes)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


def _ticks() -> list[int]:
    return [int(value) for value in STAT.read_text().split("\n", 1)[0].split()[1 : COUNTED + 1]]


def _own_s() -> float:
    """CPU time of this process and of the children it has waited for."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    spent = [resource.getrusage(who) for who in whose]
    return sum(one.ru_utime + one.ru_stime for one in spent)
