"""What exchanges share: who we say we are, clock, pulse and turns, and who is under way."""

from collections.abc import Iterator
from contextlib import contextmanager

from monitor.domain import Ending
from monitor.probing.deadline import ProbeDeadline
from monitor.probing.fair_queue import FairQueue
from monitor.probing.kernel_clock import KernelClock
from monitor.probing.loop_lag import LoopLagMonitor
from monitor.probing.stream_memory import StreamMemory

CROWD = 100  # probes at once, beyond which work is gathered


class ProbeResources:
    """One set per process. `kernel`: ask the kernel for receive stamps."""

    def __init__(self, version: str, *, kernel: bool = True) -> None:
        self.version = version
        self.kernel = kernel
        self.clock = KernelClock()
        self.pulse = LoopLagMonitor()
        self.turns = FairQueue()
        self.memory = StreamMemory()
        self._running: set[ProbeDeadline] = set()

    @contextmanager
    def stoppable(self, limit: ProbeDeadline) -> Iterator[None]:
        """Let `abort` reach this limit's exchange while the body runs."""
        self._running.add(limit)
        try:
            yield
        finally:
            self._running.discard(limit)

    @property
    def crowded(self) -> bool:
        """Whether so many probes are under way that work had better be gathered."""
        return len(self._running) > CROWD

    def abort(self) -> None:
        """End every exchange under way as ABORTED. Later ones are not touched."""
        for limit in self._running:
            limit.end(Ending.ABORTED)
