"""Which rows the next look at the latest ones must return: those stored since, and no known one.

`recorded_at` is when a transaction began, and it may commit up to a minute later. So a look goes
back beyond the latest known row: for more than a minute where few rows are known. Where many are,
most looks go back a few seconds, and one in ten seconds goes back for more than a minute, unless
as many rows are stored as are known.
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
    """Rows later than `after` minus `span`, without the `known` ones, whose keys these are.

    `expected`: so many of the known rows were stored in the `counted` time, before the last few
    seconds. If the database has as many, and its clock was not set back, the look `latest` finds
    the same. None: nothing is counted.
    """

    after: datetime
    known: tuple[Key, ...] = ()
    span: timedelta = WHOLE
    expected: int | None = None
    latest: "Look[Key] | None" = None

    @property
    def counted(self) -> tuple[datetime, datetime]:
        """After the first instant, until the second one."""
        return self.after - WHOLE, self.after - QUICK


@dataclass(slots=True)
class RowFeed(Generic[Key]):
    """`until`: when the latest known row was stored. `known`: when each of the latest was.

    The keys are ids of rows, or instants at which rows were derived again: not `by_row`.
    """

    until: datetime
    known: dict[Key, datetime] = field(default_factory=dict)
    by_row: bool = True
    _whole_s: float = -inf  # when a look that was answered last went back so far (monotonic)
    _began_s: float = -inf  # when the latest look began (monotonic)
    _whole: bool = True  # whether it goes back so far

    def look(self) -> Look[Key]:
        """What to read now."""
        self._began_s = time.monotonic()
        many, ago_s = len(self.known) > FEW, self._began_s - self._whole_s
        self._whole = not many or ago_s >= WHOLE_AGAIN_S
        if not self._whole:
            return self._latest()
        whole = Look(self.until, tuple(self.known))
        if not self.by_row or len(self.known) <= FEW:
            return whole
        since, until = whole.counted
        expected = sum(since < at <= until for at in self.known.values())
        return whole._replace(expected=expected, latest=self._latest())

    def _latest(self) -> Look[Key]:
        """A look at what was stored within the last few seconds."""
        # Others that it returns, after the clock was set back, are left out by `take`.
        since = self.until - 2 * QUICK
        return Look(self.until, tuple(k for k, at in self.known.items() if at >= since), QUICK)

    def take(self, rows: Iterable[Row], of: Callable[[Row], tuple[Key, datetime]]) -> list[Row]:
        """The rows that are new; they are known from now on. `of`: key and instant of a row."""
        new = [row for row in rows if of(row)[0] not in self.known]
        for row in new:
            key, at = of(row)
            self.known[key] = at
            self.until = max(self.until, at)
        if self._whole:
            self._whole_s = self._began_s
        return new

    def forget(self, now: datetime) -> None:
        """Forget what no look will return again. `now`: of the database."""
        if self._whole:
            oldest = min(self.until, now) - WHOLE - QUICK
            for key in [key for key, at in self.known.items() if at < oldest]:
                del self.known[key]
