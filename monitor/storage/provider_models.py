"""What a provider's public list and statistics say about the models of the targets."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Date,
    Double,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    case,
    delete,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Outcome
from monitor.rules.cause_sources import HostStatistics, ListedModel, ModelStatistics
from monitor.storage.tables import INSTANT, metadata, observations

model_listings = Table(
    "model_listings",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("provider", Text, nullable=False, comment="provider of the list"),
    Column("model", Text, nullable=False, comment="model as the configuration names it"),
    Column("listed_as", Text, comment="model as the provider names it; NULL: not listed"),
    Column("at", INSTANT, nullable=False, comment="when this content was first read"),
    Column("checked_at", INSTANT, nullable=False, comment="when this content was last read"),
    Column("expires_on", Date, comment="announced end of the model; NULL: none"),
    Column(
        "rates",
        JSONB,
        nullable=False,
        server_default="{}",
        comment="list price, USD per million tokens (request: USD per request), decimals as text",
    ),
    CheckConstraint("checked_at >= at", "checked_after_at"),
    Index("ix_model_listings_model_at", "provider", "model", "at"),
    comment="models of the targets in a provider's public list: one row per change",
)

model_statistics = Table(
    "model_statistics",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("provider", Text, nullable=False, comment="provider of the statistics"),
    Column("model", Text, nullable=False, comment="model as the configuration names it"),
    Column("at", INSTANT, nullable=False, comment="when it was read"),
    Column(
        "hosts",
        JSONB,
        nullable=False,
        comment=(
            "of each host that serves the model: host, uptime_percent of the last 5 or 30 "
            "minutes, ttft_ms (median of 30 minutes)"
        ),
    ),
    Index("ix_model_statistics_model_at", "provider", "model", "at"),
    comment="a provider's own statistics of a model, read while an incident of a target is open",
)


model_list_doubts = Table(
    "model_list_doubts",
    metadata,
    Column("provider", Text, primary_key=True, comment="provider of the list"),
    Column("at", INSTANT, nullable=False, comment="when it was last read"),
    Column("lost", ARRAY(Text), nullable=False, comment="known models that the list lacks, sorted"),
    Column(
        "lacked_s",
        Double,
        nullable=False,
        comment="for how long readings lacked the same models, seconds",
    ),
    comment="lists of models that look incomplete and are not believed yet",
)


@dataclass(frozen=True, slots=True)
class ModelListing:
    """A model in a provider's list. `listed_as` None: the provider does not list it."""

    model: str
    listed_as: str | None
    expires_on: date | None = None
    rates: Mapping[str, str] | None = None  # USD per million tokens


async def keep_listing(
    connection: AsyncConnection, provider: str, listing: ModelListing, *, at: datetime
) -> bool:
    """Store one model of a list; True if the list says something else than before."""
    table = model_listings.c
    latest = (
        select(table.id, table.listed_as, table.expires_on, table.rates)
        .where(table.provider == provider, table.model == listing.model)
        .order_by(table.at.desc(), table.id.desc())
        .limit(1)
        .with_for_update()
    )
    before = (await connection.execute(latest)).one_or_none()
    said = (listing.listed_as, listing.expires_on, dict(listing.rates or {}))
    if before is not None and tuple(before[1:]) == said:
        await connection.execute(
            update(model_listings)
            .where(table.id == before.id)
            .values(checked_at=func.greatest(table.checked_at, at))
        )
        return False
    await connection.execute(
        insert(model_listings).values(
            provider=provider,
            model=listing.model,
            listed_as=listing.listed_as,
            at=at,
            checked_at=at,
            expires_on=listing.expires_on,
            rates=dict(listing.rates or {}),
        )
    )
    return True


async def listed_names(connection: AsyncConnection, provider: str) -> Mapping[str, str | None]:
    """The provider's latest name of each model; None: the model is not listed."""
    table = model_listings.c
    latest = select(table.model, table.listed_as).order_by(table.at, table.id)
    rows = await connection.execute(latest.where(table.provider == provider))
    return {row.model: row.listed_as for row in rows}


async def listed_at(connection: AsyncConnection, provider: str) -> datetime | None:
    """When the list was last read."""
    table = model_listings.c
    latest = select(func.max(table.checked_at)).where(table.provider == provider)
    found: datetime | None = await connection.scalar(latest)
    return found


async def listings(
    connection: AsyncConnection, model: str, *, until: datetime, most: int = 4
) -> Sequence[ListedModel]:
    """The latest contents of a provider's list about a model, oldest first."""
    table = model_listings.c
    latest = (
        select(table.at, table.checked_at, table.listed_as.is_not(None), table.expires_on)
        .where(table.model == model, table.at <= until)
        .order_by(table.at.desc(), table.id.desc())
        .limit(most)
    )
    rows = (await connection.execute(latest)).all()
    return [
        ListedModel(at, checked_at, listed, str(expires_on or ""))
        for at, checked_at, listed, expires_on in reversed(rows)
    ]


async def keep_statistics(
    connection: AsyncConnection, provider: str, model: str, read: ModelStatistics
) -> None:
    """Store one reading of the statistics of a model."""
    await connection.execute(
        insert(model_statistics).values(
            provider=provider, model=model, at=read.at, hosts=[asdict(host) for host in read.hosts]
        )
    )


async def statistics(
    connection: AsyncConnection, model: str, *, since: datetime, until: datetime, most: int = 50
) -> Sequence[ModelStatistics]:
    """The readings of the statistics of a model in this time, oldest first."""
    table = model_statistics.c
    rows = await connection.execute(
        select(table.at, table.hosts)
        .where(table.model == model, table.at.between(since, until))
        .order_by(table.at, table.id)
        .limit(most)
    )
    return [ModelStatistics(at, [HostStatistics(**host) for host in hosts]) for at, hosts in rows]


async def statistics_read_since(connection: AsyncConnection, model: str, span: timedelta) -> bool:
    """Whether the statistics of a model were read within this span."""
    table = model_statistics.c
    age = func.clock_timestamp() - table.at
    found = select(table.id).where(table.model == model, age.between(timedelta(0), span)).limit(1)
    return await connection.scalar(found) is not None


async def keep_doubt(
    connection: AsyncConnection,
    provider: str,
    lost: Collection[str],
    *,
    at: datetime,
    gap: timedelta,
) -> timedelta:
    """Store that a reading of the list lacked these models; returns for how long readings did.

    A time of `gap` or more without a reading does not count, nor does one of a clock that went
    back.
    """
    values = {"provider": provider, "at": at, "lost": sorted(lost), "lacked_s": 0}
    kept = insert(model_list_doubts).values(values)
    before, new = model_list_doubts.c, kept.excluded
    since = new.at - before.at
    counted = case(((since > timedelta(0)) & (since < gap), func.extract("epoch", since)), else_=0)
    kept = kept.on_conflict_do_update(
        index_elements=[before.provider],
        set_={
            "at": new.at,
            "lost": new.lost,
            "lacked_s": case((before.lost == new.lost, before.lacked_s + counted), else_=0),
        },
    )
    lacked_s = await connection.scalar(kept.returning(before.lacked_s))
    return timedelta(seconds=lacked_s or 0)


async def forget_doubt(connection: AsyncConnection, provider: str) -> None:
    """Delete what `keep_doubt` stored."""
    await connection.execute(
        delete(model_list_doubts).where(model_list_doubts.c.provider == provider)
    )


# For the calendar: what the list said over time, and the tokens that answers take.


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredListing:
    """A model in a provider's list, unchanged from `at` to `checked_at`. Rates: as stored."""

    model: str
    listed_as: str | None
    at: datetime
    checked_at: datetime
    expires_on: date | None
    rates: Mapping[str, str]


async def stored_listings(connection: AsyncConnection, provider: str) -> Sequence[StoredListing]:
    """What the list said about each model, by model, oldest first."""
    table = model_listings.c
    columns = [table[name] for name in StoredListing.__dataclass_fields__]
    found = select(*columns).where(table.provider == provider)
    rows = await connection.execute(found.order_by(table.model, table.at, table.id))
    return [StoredListing(**row) for row in rows.mappings()]


async def loss_unconfirmed(connection: AsyncConnection, provider: str) -> bool:
    """Whether a model was missing when the list was last read, for the first time."""
    table = model_listings.c
    latest = (
        select(table.listed_as, table.at, table.checked_at)
        .ext(distinct_on(table.model))
        .where(table.provider == provider)
        .order_by(table.model, table.at.desc(), table.id.desc())
        .subquery()
    )
    lost = latest.c.listed_as.is_(None) & (latest.c.at == latest.c.checked_at)
    return bool(await connection.scalar(select(exists().where(lost))))


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredTokens:
    """Complete answers of a model to one query, and the mean tokens of one; unknown ones are 0."""

    target: str
    model: str | None
    answers: int
    prompt: int
    answer: int
    cached: int
    written: int
    reasoning: int


async def answered_tokens(
    connection: AsyncConnection, targets: Sequence[str], *, since: datetime
) -> Sequence[AnsweredTokens]:
    """The answers of these targets since then, by target, model and query: prompts of different
    sizes may have different prices."""
    row = observations.c

    def mean(column: ColumnElement[Any]) -> ColumnElement[int]:
        return func.coalesce(func.round(func.avg(column)), 0).cast(Integer)

    found = (
        select(
            row.target,
            row.model_detected.label("model"),
            func.count().label("answers"),
            mean(row.prompt_tokens).label("prompt"),
            mean(row.answer_tokens).label("answer"),
            mean(row.cached_tokens).label("cached"),
            mean(row.cache_write_tokens).label("written"),
            mean(row.reasoning_tokens).label("reasoning"),
        )
        .where(row.target.in_(targets), row.slot >= since - timedelta(hours=1))
        .where(row.started_at >= since, row.started_at <= func.now())
        .where(row.outcome == Outcome.ANSWERED.value)
        .group_by(row.target, row.model_detected, row.query)
        .order_by(row.target, row.model_detected, row.query)
    )
    rows = await connection.execute(found)
    return [AnsweredTokens(**row) for row in rows.mappings()]
