"""The rolling job: hours and days computed once they are over, spend reckoned, old rows let go.

Every step is a transaction of its own under one lease, and each leaves reports right: the job
may be killed anywhere, and late rows make it compute their hour and day again.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from monitor.accounts import ACCOUNTS
from monitor.domain import Target
from monitor.jobs.watch import Watch
from monitor.pricing import Projection, Slice, account_spend, day_of, projected, spent_day
from monitor.pricing.hours import spent_hours
from monitor.pricing.meters import Account, Line
from monitor.store import Connection, accounts, leases, reckoned, retention, rollups, spending

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)
STRETCH_S = 1.0  # far below any deadline, and many times what a step takes


class _Busy(Exception):
    """Another worker rolls up."""


async def roll_up(watch: Watch) -> None:
    """Roll up what is over, reckon its spend, forget what is old. One worker at a time."""
    zone = _zone(watch)
    try:
        async with _turn(watch) as connection:
            await rollups.configure(connection, zone.key, await _told(connection, watch))
        async with _turn(watch) as connection:
            late = await rollups.notice_late(connection)
        steps = 0
        while taken := await _steps(watch):
            steps += taken
        await _reckon(watch, zone)
        gone = await _forget(watch)
    except _Busy:
        return
    log.info("rolled up", extra={"late_hours": late, "steps": steps, "forgotten": gone})


@asynccontextmanager
async def _turn(watch: Watch) -> AsyncIterator[Connection]:
    """A transaction that holds the lease to its end, so that no two workers' steps overlap."""
    async with watch.database.begin() as connection:
        held = await leases.hold(connection, "roll_up", holder=watch.worker, span=LEASE)
        if held is None:
            raise _Busy
        yield connection


async def _steps(watch: Watch) -> int:
    """As many hours and days as fit a short transaction; how many."""
    taken, begun = 0, time.monotonic()
    async with _turn(watch) as connection:
        while time.monotonic() - begun < STRETCH_S and await rollups.advance(connection):
            taken += 1
    return taken


def _zone(watch: Watch) -> ZoneInfo:
    """The zone in which the spend rule counts its days: everything else counts likewise."""
    return ZoneInfo(getattr(watch.settings.rules.get("spend"), "timezone", "UTC"))


async def _told(connection: Connection, watch: Watch) -> list[rollups.Told]:
    return [await _about(connection, watch, target) for target in watch.settings.targets.values()]


async def _about(connection: Connection, watch: Watch, target: Target) -> rollups.Told:
    """A target as reports must know it, its query priced at what answers have been like."""
    tokens = await rollups.answer_tokens(connection, target.name)
    forecast = projected(target, book=watch.book, at=watch.now(), answer_tokens=tokens)
    costs = {model: f.query.usd for model, f in forecast.items() if isinstance(f, Projection)}
    expected = next(iter(target.expected_models), None)
    fallback = next(iter(target.fallback_models), None)
    return rollups.Told(
        target=target.name,
        every_s=target.every.total_seconds(),
        daily_queries=target.daily_queries,
        expected_model=expected,
        fallback_model=fallback,
        expected_usd=costs.get(expected) if expected else None,
        fallback_usd=costs.get(fallback) if fallback else None,
    )


async def _reckon(watch: Watch, zone: ZoneInfo) -> None:
    """The spend of days whose rollups say otherwise, of yesterday, and of today so far."""
    now = watch.now()
    today, starts_at, _ = day_of(now, zone)
    yesterday, _, _ = day_of(starts_at - timedelta(hours=1), zone)
    async with _turn(watch) as connection:
        stale = await reckoned.stale_days(connection)
    for day in sorted({*stale, yesterday, today}):
        async with _turn(watch) as connection:
            await _day(connection, watch, day, zone, now)


async def _day(
    connection: Connection, watch: Watch, day: date, zone: ZoneInfo, now: datetime
) -> None:
    _, starts_at, ends_at = day_of(datetime(day.year, day.month, day.day, 12, tzinfo=zone), zone)
    rows = await spending.by_five_minutes(connection, since=starts_at, until=ends_at)
    heard = [Slice(**item._asdict()) for item in rows]
    queries = {target.name: target.daily_queries for target in watch.settings.targets.values()}

    @cache  # asked for every five minutes of every target
    def provider_of(model: str) -> str | None:
        return watch.book.provider(model, at=starts_at)

    found = spent_day(
        heard, starts_at=starts_at, ends_at=ends_at, now=now, daily_queries=queries,
        provider_of=provider_of, accounts=await _accounts(connection, starts_at, ends_at),
    )  # fmt: skip
    hours = spent_hours(heard, starts_at=starts_at, ends_at=ends_at, now=now,
                        daily_queries=queries, provider_of=provider_of)  # fmt: skip
    unpriced: dict[str | None, int] = {}
    for item in heard:
        provider = provider_of(item.model) if item.model else None
        unpriced[provider] = unpriced.get(provider, 0) + item.unpriced
    await reckoned.keep(
        connection, day, starts_at=starts_at, ends_at=ends_at, until=min(now, ends_at),
        hours=[
            reckoned.HourRow(hour=h.starts_at, until=h.until, target=h.target, provider=h.provider,
                             meter=h.meter, usd=h.spent.usd, at_least=h.spent.at_least)
            for h in hours
        ],
        providers=[_row(line, unpriced) for line in found.spend.lines] or [reckoned.NOTHING],
    )  # fmt: skip


async def _accounts(
    connection: Connection, starts_at: datetime, ends_at: datetime
) -> dict[str, Account]:
    known = {}
    for provider in ACCOUNTS:
        readings = await accounts.spent(connection, provider, since=starts_at - timedelta(days=1))
        spent = account_spend(readings, starts_at=starts_at, ends_at=ends_at)
        if spent is not None:
            known[provider] = spent
    return known


def _row(line: Line, unpriced: dict[str | None, int]) -> reckoned.DayRow:
    day = line.day
    return reckoned.DayRow(
        provider=day.provider,
        probes_usd=day.probes.usd,
        traffic_usd=day.traffic.usd,
        unpriced=unpriced.get(day.provider, 0),
        account_usd=day.account.spent.usd if day.account else None,
        spent_usd=line.spent.usd,
        at_least=line.spent.at_least,
        meter=line.meter,
        because=line.because,
    )


async def _forget(watch: Watch) -> int:
    """Retention: months first, then rows in batches, then excerpts; returns rows forgotten."""
    keep = watch.settings.file.storage
    async with _turn(watch) as connection:
        await retention.set_limit(connection, keep.keep_raw)
    async with _turn(watch) as connection:
        if dropped := await retention.drop_months(connection):
            log.info("months dropped", extra={"partitions": dropped})

    async def excerpts(connection: Connection) -> int:
        return await retention.forget_excerpts(
            connection, good=keep.keep_excerpts, failed=keep.keep_failed_excerpts
        )

    return (
        await _batches(watch, retention.forget_observations)
        + await _batches(watch, retention.forget_rounds)
        + await _batches(watch, excerpts)
    )


async def _batches(watch: Watch, forget: Callable[[Connection], Awaitable[int]]) -> int:
    total = 0
    while True:
        async with _turn(watch) as connection:
            gone = await forget(connection)
        total += gone
        if gone < retention.BATCH:
            return total
