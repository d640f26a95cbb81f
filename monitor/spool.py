"""Observations kept in memory while Postgres is away: bounded, in order, dropped oldest first."""

from collections import deque
from collections.abc import Sequence

from monitor.domain import Observation


class Spool:
    """At most `most` observations; `dropped` counts those lost to the bound."""

    def __init__(self, most: int = 5_000) -> None:
        self.dropped = 0
        self._kept: deque[Observation] = deque()
        self._most = most

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, observations: Sequence[Observation]) -> None:
        for observation in observations:
            if len(self._kept) >= self._most:
                self._kept.popleft()
                self.dropped += 1
            self._kept.append(observation)

    def oldest(self, count: int) -> list[Observation]:
        return [self._kept[i] for i in range(min(count, len(self._kept)))]

    def forget(self, count: int) -> None:
        for _ in range(count):
            self._kept.popleft()
