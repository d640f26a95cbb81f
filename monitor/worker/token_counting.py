"""The token counts of answers: kept with each probe, measured by what is known of the models."""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.cpu_limit import limited
from monitor.domain import Query, Reply, Target
from monitor.identity import same
from monitor.identity.token_counts.comparison import (
    REMEMBERED,
    Fitted,
    TokenCounts,
    calibrations_from,
    fitting,
    yardsticks,
)
from monitor.identity.token_counts.counts import (
    Counter,
    RatioCalibration,
    TokenCount,
    counted,
    recounted,
)
from monitor.storage import Connection, Database, DatabaseUnavailable, baseline_answers
from monitor.storage.rederive import StoredObservation

log = logging.getLogger(__name__)


Learnt = Mapping[str, RatioCalibration | str]


@dataclass(frozen=True, slots=True)
class ConfirmedCounts:
    """What a target's confirmed answers teach, in memory; `key` says which answers."""

    key: tuple[object, ...]
    learnt: Learnt


async def accounts(
    database: Database,
    known: dict[str, ConfirmedCounts],
    counters: Mapping[str, Counter],
    target: Target,
    query: Query,
    reply: Reply,
    *,
    at: datetime,
) -> TokenCounts | None:
    """What one whole answer's count is measured with; None where it came without one.

    With the database away the count itself is kept all the same. Raises CpuLimitExceeded.
    """
    now = limited(counted, reply, query.id, _own(counters, target))
    if now is None:
        return None
    try:
        async with database.begin() as connection:
            earlier = await baseline_answers.before(connection, target.name, at=at, most=REMEMBERED)
            held = await _learnt(connection, known, target)
            seen = await baseline_answers.seen_to_fit(connection, target.name)
            made = _accounts(now, earlier, held, seen)
            await baseline_answers.fits(connection, target.name, fitting(made) - seen)
    except DatabaseUnavailable as unavailable:
        log.warning(
            "token comparison skipped", extra={"target": target.name, "reason": str(unavailable)}
        )
        return TokenCounts(now)
    return made


def _own(counters: Mapping[str, Counter], target: Target) -> dict[str, Counter]:
    """The tokenizers of a target's models, by their declared names."""
    return {
        model: counter
        for model in _declared(target)
        for name, counter in counters.items()
        if same(name, model)
    }


def _declared(target: Target) -> tuple[str, ...]:
    return (*target.expected_models, *target.fallback_models)


async def _learnt(
    connection: Connection, known: dict[str, ConfirmedCounts], target: Target
) -> Learnt:
    """What confirmed answers teach; learnt again only when there are others."""
    key = (await baseline_answers.newest(connection, target.name), target.queries)
    held = known.get(target.name)
    if held is None or held.key != key:
        confirmed = await baseline_answers.confirmed(connection, target.name, target.queries)
        held = known[target.name] = ConfirmedCounts(
            key, calibrations_from(_declared(target), confirmed)
        )
    return held.learnt


def _accounts(
    now: TokenCount, earlier: Sequence[TokenCount], held: Learnt, seen: frozenset[Fitted]
) -> TokenCounts:
    fitted = {model for model, query in seen if query == now.query}
    found, missing = yardsticks(held, now.exact, fitted)
    return TokenCounts(now, tuple(earlier), found, missing, seen)


@dataclass(slots=True)
class StoredCounts:
    """The accounts of stored observations of one target, one after another in order of time."""

    learnt: Learnt
    seen: frozenset[Fitted]
    earlier: deque[tuple[datetime, TokenCount]]

    @classmethod
    async def opened(
        cls, connection: Connection, target: Target, *, at: datetime
    ) -> "StoredCounts":
        """What observations from this instant on are measured with, by what is known now."""
        before = await baseline_answers.before(connection, target.name, at=at, most=REMEMBERED)
        held = await _learnt(connection, {}, target)
        seen = await baseline_answers.seen_to_fit(connection, target.name)
        return cls(held, seen, deque(((at, count) for count in before), REMEMBERED))

    def of(self, stored: StoredObservation) -> TokenCounts | None:
        """The accounts of the next observation; None where it came without a count."""
        now, at = recounted(stored.claims, stored.query), stored.started_at
        if now is None:
            return None
        fresh = [count for then, count in self.earlier if at - then <= baseline_answers.FRESH]
        if stored.origin != "manual":
            self.earlier.appendleft((at, now))
        return _accounts(now, fresh, self.learnt, self.seen)
