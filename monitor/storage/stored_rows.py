"""What any worker has stored or derived again since: samples, what the latest retrieved, costs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    TIMESTAMP,
    ColumnElement,
    Select,
    Uuid,
    all_,
    cast,
    func,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Outcome, Sample
from monitor.rules.source_losses import LOOKED_AT, RetrievedAnswer
from monitor.storage.observations import PARTITIONS_AHEAD, judged, sample_of
from monitor.storage.row_feed import Look
from monitor.storage.tables import observations


class TargetSample(NamedTuple):
    """A sample of a target, and when the database stored it."""

    target: str
    sample: Sample
    stored_at: datetime


async def stored_samples(
    connection: AsyncConnection, look: Look[UUID], *, since: datetime
) -> Sequence[TargetSample]:
    """Scheduled and burst observations that any worker has stored since, in order of their start.

    What was stored while the database's clock was ahead is read again. `since`: the earliest slot
    that matters.
    """
    table = observations.c
    new = judged(table.target).where(table.slot >= since)
    look = await _needed(connection, look, new)
    new = new.where(*stored_after(look))
    ordered = new.order_by(table.started_at, table.id)
    rows = (await connection.execute(ordered)).mappings()
    return [TargetSample(row["target"], sample_of(row), row["recorded_at"]) for row in rows]


async def _needed(connection: AsyncConnection, look: Look[UUID], new: Select[Any]) -> Look[UUID]:
    """The same look, or the shorter one if all earlier rows of the statement are known."""
    if look.latest is None:
        return look
    since, until = look.counted
    recorded_at = observations.c.recorded_at
    counted = new.with_only_columns(func.count(), func.now(), maintain_column_froms=True)
    found = await connection.execute(counted.where(recorded_at > since, recorded_at <= until))
    stored, now = found.one()
    # After the clock was set back, rows are stored before the counted time.
    return look.latest if stored == look.expected and now >= until else look


def stored_after(look: Look[UUID]) -> Sequence[ColumnElement[bool]]:
    """The condition of `stored_samples`."""
    # `now()` may be earlier: rows are stored after it while the database's clock is set back.
    recorded_at = observations.c.recorded_at
    # One parameter, however many they are. As an array Postgres looks them up by hash; a text would
    # be converted again for each row.
    ids = cast(list(look.known), ARRAY(Uuid))
    return (
        recorded_at > func.least(look.after, func.now()) - look.span,
        observations.c.id != all_(ids),
    )


async def derived_samples(
    connection: AsyncConnection, look: Look[datetime], *, since: datetime
) -> Sequence[TargetSample]:
    """Scheduled and burst observations that were derived again or restored since.

    `stored_at` is when they were: a key of the feed.
    """
    table = observations.c
    new = judged(table.target, table.derived_at)
    wanted = new.where(*derived_after(look), table.slot >= since)
    rows = (await connection.execute(wanted)).mappings()
    return [TargetSample(row["target"], sample_of(row), row["derived_at"]) for row in rows]


def derived_after(look: Look[datetime]) -> Sequence[ColumnElement[bool]]:
    """The condition of `derived_samples`."""
    derived_at = observations.c.derived_at
    times = cast(list(look.known), ARRAY(TIMESTAMP(timezone=True)))
    return (derived_at > func.least(look.after, func.now()) - look.span, derived_at != all_(times))


async def latest_retrieved(
    connection: AsyncConnection, target: str, queries: Sequence[str], *, of: int
) -> Mapping[str, Sequence[RetrievedAnswer]]:
    """The latest good answers of the last day to some queries of a target, oldest first.

    `of`: how many queries the target has, so that enough of its latest rows are read.
    Queries whose answers have no sources at all are left out.
    """
    values = {
        "target": target,
        "queries": list(queries),
        "good": [outcome.value for outcome in Outcome if outcome.good],
        "ahead": PARTITIONS_AHEAD,
        "most": LOOKED_AT,
        "read": LOOKED_AT * (of + 1),  # one more for extra probes
    }
    found: dict[str, list[RetrievedAnswer]] = {}
    for query, *retrieved in await connection.execute(_LATEST_RETRIEVED, values):
        found.setdefault(query, []).append(RetrievedAnswer(*retrieved))
    return found


# The latest rows of the target are read once, in the order of the index, for all queries.
_LATEST_RETRIEVED = text("""
    WITH latest AS MATERIALIZED (
        SELECT query, coalesce(source_count, 0) AS sources, source_best_score, source_newest_at,
            slot, origin = 'burst' AS extra, started_at, id
        FROM observations
        WHERE target = :target AND outcome = ANY(:good)
            AND origin <> 'manual' AND slot > now() - interval '25 hours'
            AND started_at > now() - interval '1 day' AND started_at <= now() + :ahead
        ORDER BY started_at DESC LIMIT :read
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY query ORDER BY started_at DESC, id DESC) AS nth,
            max(sources) OVER (PARTITION BY query) AS found
        FROM latest WHERE query = ANY(CAST(:queries AS text[]))
    )
    SELECT query, sources, source_best_score, source_newest_at, slot, extra FROM ranked
    WHERE nth <= :most AND found > 0
    ORDER BY query, started_at, id
""")


class StoredCost(NamedTuple):
    """A probe that was stored, and what it cost."""

    id: UUID
    target: str
    slot: datetime
    stored_at: datetime
    usd: Decimal
    margin_usd: Decimal


async def stored_costs(
    connection: AsyncConnection, look: Look[UUID], *, since: datetime
) -> Sequence[StoredCost]:
    """The probes that any worker has stored since. Arguments as in `stored_samples`."""
    table = observations.c
    low, high = table.cost_low_usd, table.cost_high_usd
    new = select(
        table.id,
        table.target,
        table.slot,
        table.recorded_at,
        func.coalesce(table.cost_usd, low, Decimal(0)),
        func.coalesce(high - low, Decimal(0)),
    ).where(table.slot >= since)
    look = await _needed(connection, look, new)
    new = new.where(*stored_after(look))
    return [StoredCost(*row) for row in await connection.execute(new)]


class DerivedCost(NamedTuple):
    """A probe that was derived again or restored, and when."""

    target: str
    slot: datetime
    at: datetime


async def derived_costs(
    connection: AsyncConnection, look: Look[datetime], *, since: datetime
) -> Sequence[DerivedCost]:
    """The probes that were derived again or restored since. As `derived_samples`."""
    table = observations.c
    found = select(table.target, table.slot, table.derived_at).where(
        *derived_after(look), table.slot >= since
    )
    return [DerivedCost(*row) for row in await connection.execute(found)]


async def with_reason(
    connection: AsyncConnection, targets: Iterable[str], reason: str, *, span: timedelta
) -> dict[str, int]:
    """By target, how many of the latest observations have this reason of their identity."""
    table = observations.c
    within = (
        table.target.in_([*targets])
        & (table.started_at > func.now() - span)
        & (table.slot > func.now() - span - timedelta(hours=1))
        & (table.started_at <= func.now() + PARTITIONS_AHEAD)
        & (table.identity_reason == reason)
    )
    counted = select(table.target, func.count()).where(within).group_by(table.target)
    return {row[0]: row[1] for row in await connection.execute(counted)}
