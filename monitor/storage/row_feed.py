"""Which rows the next look at the latest ones must return: those stored since, and no known one.

`recorded_at` is when a transaction began, and it may commit up to a minute later. So a look goes
back beyond the latest known row: for more than a minute where few rows are known. Where many are,
most looks go back a few seconds, and one in ten seconds for more than a minute.
Source: docs/adr/0025-incremental-evaluation.md
"""

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from typing import Generic, NamedTuple, TypeVar

COMMITTED = timedelta(seconds=60)  # no transaction that stores observations lasts longer
QUICK = timedelta(seconds=5)  # hardly one lasts longer
WHOLE_AGAIN_S = 10.0
WHOLE = COMMITTED + timedelta(seconds=2 * WHOLE_AGAIN_S)  # so that none is missed between two
FEW = 500  # known rows

Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row")


class Look(NamedTuple, Generic[Key]):
    """Rows later than `after` minus `span`, without the `known` ones, whose keys these are."""

    after: datetime
    known: tuple[Key, ...] = ()
    span: timedelta = WHOLE


@dataclass(slots=True)
class RowFeed(Generic[Key]):
    """`until`: when the latest known row was stored. `known`: when each of the latest was.

    The keys are ids of rows, or instants at which rows were derived again.
    """

    until: datetime
    known: dict[Key, datetime] = field(default_factory=dict)
    _whole_s: float = -inf  # when a look last went back so far (monotonic)
    _whole: bool = True  # whether the latest look did

    def look(self) -> Look[Key]:
        """What to read now."""
        now_s = time.monotonic()
        self._whole = len(self.known) <= FEW or now_s - self._whole_s >= WHOLE_AGAIN_S
        if self._whole:
            self._whole_s = now_s
            return Look(self.until, tuple(self.known))
        # Others that the look returns, after the clock was set back, are left out by `take`.
        since = self.until - 2 * QUICK
        keys = tuple(key for key, at in self.known.items() if at >= since)
        return Look(self.until, keys, QUICK)

    def take(self, rows: Iterable[Row], of: Callable[[Row], tuple[Key, datetime]]) -> list[Row]:
        """The rows that are new; they are known from now on. `of`: key and instant of a row."""
        new = [row for row in rows if of(row)[0] not in self.known]
        for row in new:
            key, at = of(row)
            self.known[key] = at
            self.until = max(self.until, at)
        return new

    def forget(self, now: datetime) -> None:
        """Forget what no look will return again. `now`: of the database."""
        if self._whole:
            oldest = min(self.until, now) - WHOLE - QUICK
            for key in [key for key, at in self.known.items() if at < oldest]:
                del self.known[key]
