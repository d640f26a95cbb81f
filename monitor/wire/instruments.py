"""What exchanges share: who we say we are, clock, pulse and turns, and who is under way."""

from collections.abc import Iterator
from contextlib import contextmanager

from monitor.domain import Ending
from monitor.wire.clock import Clock
from monitor.wire.limit import Limit
from monitor.wire.memory import Memory
from monitor.wire.pulse import Pulse
from monitor.wire.turns import Turns

CROWD = 100  # probes at once, beyond which work is gathered


class Instruments:
    """One set per process. `kernel`: ask the kernel for receive stamps."""

    def __init__(self, version: str, *, kernel: bool = True) -> None:
        self.version = version
        self.kernel = kernel
        self.clock = Clock()
        self.pulse = Pulse()
        self.turns = Turns()
        self.memory = Memory()
        self._running: set[Limit] = set()

    @contextmanager
    def stoppable(self, limit: Limit) -> Iterator[None]:
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
