"""Account readings, health pages and provider receipts in the database."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Index,
    Integer,
    RowMapping,
    Table,
    Text,
    Uuid,
    case,
    exists,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import (
    AccountReading,
    AccountState,
    Claim,
    ClaimKind,
    ProviderAttempt,
    Usage,
)
from monitor.rules.cause_sources import PageChange
from monitor.storage.observations import PARTITIONS_AHEAD
from monitor.storage.report_tables import health_readings
from monitor.storage.tables import INSTANT, MONEY, account_readings, metadata

_SAID = (
    "provider",
    "at",
    "state",
    "detail",
    "expires_at",
    "limit_usd",
    "remaining_usd",
    "spent_today_usd",
)


async def add(connection: AsyncConnection, reading: AccountReading) -> None:
    """Store a reading, including failures."""
    row = {name: getattr(reading, name) for name in _SAID}
    await connection.execute(insert(account_readings).values(row))


async def latest(
    connection: AsyncConnection, provider: str | None = None
) -> Sequence[AccountReading]:
    """The latest reading of each provider, or of one of them; empty if there is none."""
    each = (
        select(account_readings)
        .ext(distinct_on(account_readings.c.provider))
        .where(account_readings.c.at <= func.now() + PARTITIONS_AHEAD)
        .order_by(account_readings.c.provider, account_readings.c.at.desc())
    )
    if provider is not None:
        each = each.where(account_readings.c.provider == provider)
    return [_reading(row) for row in (await connection.execute(each)).mappings()]


async def spent(
    connection: AsyncConnection, provider: str, *, since: datetime
) -> Sequence[tuple[datetime, Decimal]]:
    """What a provider reported as spent since its UTC midnight, at each reading."""
    table = account_readings.c
    reported = (
        select(table.at, table.spent_today_usd)
        .where(
            table.provider == provider,
            table.at >= since,
            table.at <= func.now() + PARTITIONS_AHEAD,
        )
        .where(table.spent_today_usd.is_not(None))
        .order_by(table.at)
    )
    return [(row.at, row.spent_today_usd) for row in await connection.execute(reported)]


async def around(
    connection: AsyncConnection,
    providers: Collection[str],
    *,
    since: datetime,
    until: datetime,
) -> Sequence[AccountReading]:
    """The readings of a time, with the last good one of each provider before it, oldest first."""
    table = account_readings.c
    before = (
        select(table.id)
        .ext(distinct_on(table.provider))
        .where(table.provider.in_(providers), table.at < since, table.at > since - _AGO)
        .where(table.state.not_in(_NO_INFORMATION))
        .order_by(table.provider, table.at.desc())
    )
    read = select(account_readings).where(
        table.provider.in_(providers)
        & (table.at.between(since, until) | table.id.in_(before.scalar_subquery()))
    )
    rows = await connection.execute(read.order_by(table.at, table.id))
    return [_reading(row) for row in rows.mappings()]


_AGO = timedelta(days=2)
_NO_INFORMATION = (AccountState.THROTTLED.value, AccountState.FAILING.value)  # about a key


def _reading(row: RowMapping) -> AccountReading:
    reported = {name: row[name] for name in _SAID}
    return AccountReading(**reported | {"state": AccountState(row["state"])})


# Readings of health pages: one row per change, whose end moves while the page stays the same.


async def keep(
    connection: AsyncConnection,
    target: str,
    url: str,
    *,
    at: datetime,
    http_status: int | None,
    healthy: bool | None,
    unmet: Sequence[str],
    facts: Mapping[str, str | bool | None],
) -> bool:
    """Store one reading; True if the page says something else than before."""
    table = health_readings.c
    latest = (
        select(table.id, table.http_status, table.healthy, table.unmet, table.facts)
        .where(table.target == target, table.url == url)
        .order_by(table.at.desc(), table.id.desc())
        .limit(1)
        .with_for_update()
    )
    before = (await connection.execute(latest)).one_or_none()
    reported = (http_status, healthy, list(unmet), dict(facts))
    if before is not None and tuple(before[1:]) == reported:
        await connection.execute(
            update(health_readings)
            .where(table.id == before.id)
            .values(checked_at=func.greatest(table.checked_at, at))
        )
        return False
    await connection.execute(
        insert(health_readings).values(
            target=target,
            url=url,
            at=at,
            checked_at=at,
            http_status=http_status,
            healthy=healthy,
            unmet=list(unmet),
            facts=dict(facts),
        )
    )
    return True


async def checked_since(
    connection: AsyncConnection, target: str, url: str, span: timedelta
) -> bool:
    """Whether the page was read within this span."""
    table = health_readings.c
    age = func.clock_timestamp() - table.checked_at
    found = exists().where(
        table.target == target, table.url == url, age.between(timedelta(0), span)
    )
    return bool(await connection.scalar(select(found)))


async def changes(
    connection: AsyncConnection, target: str, *, since: datetime
) -> Sequence[PageChange]:
    """Changes of a target's health pages since then, oldest first."""
    table = health_readings.c

    def before(column: ColumnElement[Any]) -> ColumnElement[Any]:
        order = (table.at, table.id)
        return func.lag(column).over(partition_by=table.url, order_by=order)

    reported = (
        select(
            table.at,
            before(table.checked_at).label("before_at"),
            table.http_status,
            table.facts,
            before(table.http_status).label("status_before"),
            before(table.facts).label("facts_before"),
        )
        .where(table.target == target)
        .subquery()
    )
    recent = (
        select(reported)
        .where(reported.c.at >= since, reported.c.at <= func.now() + PARTITIONS_AHEAD)
        .where(reported.c.facts_before.is_not(None))
        .order_by(reported.c.at)
    )
    return [PageChange(*row) for row in await connection.execute(recent)]


# Receipts: the provider's own records of answers, requested later and only a few times.
#
# An answer that discloses an OpenRouter id makes a row; the record fills it. An id belongs to the
# first answer that disclosed it: its reuse proves nothing about the second answer.


TRIES = 8  # each interval is twice the one before: the last try is within an hour and a half
FIRST_WAIT = timedelta(seconds=30)
PER_ANSWER = 3  # ids of one answer that are requested: no service has more

_TOKENS = ("prompt_tokens", "answer_tokens", "reasoning_tokens", "cached_tokens")
_CHARGES = ("cost_usd", "upstream_cost_usd")

receipts = Table(
    "receipts",
    metadata,
    Column(
        "generation",
        Text,
        primary_key=True,
        comment="the provider's id of the answer, from the response",
    ),
    Column("observation", Uuid, nullable=False, comment="observation with the answer"),
    Column("slot", INSTANT, nullable=False, comment="slot of the observation"),
    Column("due_at", INSTANT, nullable=False, comment="not requested before this time"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("settled_at", INSTANT, comment="when it was settled; NULL: to be requested"),
    Column("last_error", Text, comment="error of the latest attempt"),
    Column("source", Text, comment="address of the record; NULL: none received"),
    Column("model", Text, comment="model in the record; NULL: none received"),
    *(
        Column(name, Integer, comment="native tokens, as billed; NULL: not stated")
        for name in _TOKENS
    ),
    Column("cost_usd", MONEY, comment="the provider's charge, USD; NULL: not stated"),
    Column(
        "upstream_cost_usd",
        MONEY,
        comment="paid to the upstream provider with the user's own key, USD",
    ),
    Column(
        "attempts",
        JSONB(none_as_null=True),
        comment="attempts of the router in order: status, host, model; NULL: not stated",
    ),
    CheckConstraint("model IS NULL OR settled_at IS NOT NULL", "record_is_settled"),
    CheckConstraint("(model IS NULL) = (source IS NULL)", "record_has_source"),
    *(CheckConstraint(f"{name} >= 0 AND {name} < 'NaN'", name) for name in _CHARGES),
    *(CheckConstraint(f"{name} >= 0", name) for name in _TOKENS),
    Index("ix_receipts_slot_observation", "slot", "observation"),
    Index("ix_receipts_due", "due_at", postgresql_where=text("settled_at IS NULL")),
    comment=(
        "the provider's records of answers; they take precedence over what the answer disclosed"
    ),
)


class DueReceipt(NamedTuple):
    """A record to request now."""

    generation: str
    observation: UUID
    slot: datetime
    target: str


class ReceiptRecord(NamedTuple):
    """What the provider recorded about one answer."""

    claim: Claim
    usage: Usage
    attempts: Sequence[ProviderAttempt] | None = None


async def expect(connection: AsyncConnection, *, within: timedelta) -> int:
    """Add a row for each new id in the claims of recent observations; returns how many."""
    new = await connection.execute(_EXPECT, {"within": within, "most": PER_ANSWER})
    return len(new.all())


async def due(connection: AsyncConnection, *, most: int) -> Sequence[DueReceipt]:
    """Records that are due, those that have waited longest first."""
    found = await connection.execute(_DUE, {"most": most})
    return [DueReceipt(*row) for row in found]


async def keep_receipt(connection: AsyncConnection, generation: str, record: ReceiptRecord) -> None:
    """Fill a row with its record."""
    reported = {name: getattr(record.usage, name) for name in (*_TOKENS, *_CHARGES)}
    await connection.execute(
        update(receipts)
        .where(receipts.c.generation == generation)
        .values(
            settled_at=func.now(),
            tries=receipts.c.tries + 1,
            last_error=None,
            source=record.claim.source,
            model=record.claim.value,
            attempts=None
            if record.attempts is None
            else [asdict(attempt) for attempt in record.attempts],
            **reported,
        )
    )


async def postpone(
    connection: AsyncConnection, generation: str, *, reason: str, after_s: float | None
) -> None:
    """Try again later, twice as long after each try; after the last one, stop."""
    table = receipts.c
    spent = table.tries + 1 >= TRIES
    wait = FIRST_WAIT.total_seconds() * func.power(2, table.tries)
    wait = func.greatest(wait, after_s or 0) * literal_column("interval '1 second'")
    await connection.execute(
        update(receipts)
        .where(table.generation == generation)
        .values(
            tries=table.tries + 1,
            last_error=reason,
            due_at=func.now() + wait,
            settled_at=case((spent, func.now())),
        )
    )


async def give_up(connection: AsyncConnection, generation: str, *, reason: str) -> None:
    """Stop requesting it."""
    await connection.execute(
        update(receipts)
        .where(receipts.c.generation == generation)
        .values(tries=receipts.c.tries + 1, last_error=reason, settled_at=func.now())
    )


async def receipts_by_observation(
    connection: AsyncConnection, observations: Iterable[UUID], *, since: datetime
) -> Mapping[UUID, tuple[ReceiptRecord, ...]]:
    """The records of these observations, by id, whose rounds are no older than that."""
    table = receipts.c
    wanted = table.model.is_not(None) & table.observation.in_(list(observations))
    rows = await connection.execute(
        select(receipts).where(table.slot >= since, wanted).order_by(table.generation)
    )
    found: dict[UUID, tuple[ReceiptRecord, ...]] = {}
    for row in rows.mappings():
        claim = Claim(ClaimKind.RECEIPT, row["source"], row["model"])
        usage = Usage(**{name: row[name] for name in (*_TOKENS, *_CHARGES)})
        found[row["observation"]] = (
            *found.get(row["observation"], ()),
            ReceiptRecord(claim, usage),
        )
    return found


_EXPECT = text(r"""
    INSERT INTO receipts (generation, observation, slot, due_at)
    SELECT given.value, o.id, o.slot, now()
    FROM observations AS o CROSS JOIN LATERAL (
        SELECT DISTINCT claim.value
        FROM jsonb_to_recordset(o.claims) AS claim(source text, value text)
        WHERE claim.source = 'id' AND claim.value ~ '^gen-[0-9A-Za-z_-]{1,100}$'
        ORDER BY claim.value LIMIT :most
    ) AS given
    WHERE o.slot >= now() - CAST(:within AS interval)
    ORDER BY o.slot, o.started_at, o.id
    ON CONFLICT DO NOTHING RETURNING generation
""")
_DUE = text("""
    SELECT r.generation, r.observation, r.slot, o.target
    FROM receipts AS r JOIN observations AS o ON o.slot = r.slot AND o.id = r.observation
    WHERE r.settled_at IS NULL AND r.due_at <= now()
    ORDER BY r.due_at, r.generation LIMIT :most
""")
