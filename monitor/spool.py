"""Observations kept in memory while Postgres is away: bounded, in order, dropped oldest first."""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from monitor.domain import Observation
from monitor.store.budget import Probed

_ROW = 3_000  # bytes of an observation without its texts and chunk lengths, roughly
_A_CHARACTER, _A_LENGTH = 2, 8


class Spool:
    """At most `most` observations of about `most_bytes`; `dropped` counts those lost to it.

    Rounds of several targets fill it at once; whoever empties it holds `emptying`.
    """

    def __init__(self, most: int = 5_000, most_bytes: int = 16 << 20) -> None:
        self.dropped = 0
        self.emptying = asyncio.Lock()
        self._kept: deque[Observation] = deque()
        self._bytes = 0
        self._most, self._most_bytes = most, most_bytes

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, observations: Sequence[Observation]) -> None:
        for observation in observations:
            self._kept.append(observation)
            self._bytes += _weight(observation)
            while len(self._kept) > self._most or self._bytes > self._most_bytes:
                self._drop()
                self.dropped += 1

    def oldest(self, count: int) -> list[Observation]:
        return [self._kept[i] for i in range(min(count, len(self._kept)))]

    def spent(self, since: datetime) -> Probed:
        """How many probes of slots since then wait, and what they cost, as far as known."""
        held = [observation for observation in self._kept if observation.slot >= since]
        known = (item.cost_usd for item in held if item.cost_usd is not None)
        return Probed(sum(known, Decimal(0)), len(held))

    def forget(self, stored: Sequence[Observation]) -> None:
        """Let go of what was stored; some of it may have been dropped in the meantime."""
        ids = {observation.id for observation in stored}
        while self._kept and self._kept[0].id in ids:
            self._drop()

    def _drop(self) -> None:
        self._bytes -= _weight(self._kept.popleft())


def _weight(observation: Observation) -> int:
    """Bytes it holds, roughly: long answers have thousands of chunks."""
    texts = [observation.answer_excerpt, observation.error, observation.identity_reason]
    texts += [claim.value for claim in observation.claims]
    texts += [item.detail for item in observation.evidence]
    characters = sum(len(text) for text in texts if text)
    return _ROW + _A_CHARACTER * characters + _A_LENGTH * len(observation.chunk_lengths)
