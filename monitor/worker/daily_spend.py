"""The spend job: the cost of a day so far, computed from raw rows and stored for reports.

The current day is computed far more often than hours are rolled up, and once more before a page is
drawn: a report is as current as the rows.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cache, partial
from zoneinfo import ZoneInfo

from monitor.accounts import ACCOUNTS
from monitor.config import Settings
from monitor.domain import (
    AccountReading,
    AccountState,
    Incident,
    Spend,
    Verdict,
    VerdictState,
)
from monitor.pricing.book import PriceBook
from monitor.pricing.meters import AccountSpend, ProviderSpend, account_spend, day_of, fresh_for
from monitor.pricing.reconciliation import DAYS, ReconciledDay, uncertainty
from monitor.pricing.spend_day import RunningDay
from monitor.rules import SLICE, SpendRule, rule_of
from monitor.storage import (
    Connection,
    Database,
    account_readings,
    bills,
    report_data,
    spend_rows,
)
from monitor.worker.account_polling import providers
from monitor.worker.context import WorkerContext
from monitor.worker.spend_memory import STEP, SpendSettings
from monitor.worker.target_verdicts import isolated

Said = Callable[[str], str | None]


def zone_of(settings: Settings) -> ZoneInfo:
    """The zone in which the spend rule counts its days, and therefore everything else."""
    spend = rule_of(settings.rules, SpendRule)
    return ZoneInfo(spend.timezone if spend else "UTC")


def latest(now: datetime, zone: ZoneInfo) -> tuple[date, date]:
    """Yesterday, which late rows may still change, and today."""
    today, starts_at, _ = day_of(now, zone)
    yesterday, _, _ = day_of(starts_at - timedelta(hours=1), zone)
    return yesterday, today


async def compute_recent_days(
    database: Database, settings: Settings, book: PriceBook, *, now: datetime
) -> bool:
    """Compute today, and yesterday unless it is complete, up to now. Raises DatabaseUnavailable.

    False if our role may only read, or if the worker counts days in another zone than we would.
    """
    zone = zone_of(settings)
    async with database.begin() as connection:
        if not await spend_rows.may_keep(connection) or await report_data.zone(connection) != zone:
            return False
    yesterday, today = latest(now, zone)
    _, midnight, _ = day_of(now, zone)
    async with database.begin() as connection:
        over = await spend_rows.known_until(connection, yesterday) == midnight
    for on in (today,) if over else (yesterday, today):
        async with database.begin() as connection:
            await compute_day(connection, settings, book, on, zone=zone, now=now)
    return True


async def compute_day(
    connection: Connection,
    settings: Settings,
    book: PriceBook,
    on: date,
    *,
    zone: ZoneInfo,
    now: datetime,
) -> None:
    """Compute one day again, up to its end or to now, and replace its stored rows."""
    await spend_rows.alone(connection)
    _, midnight, ends_at = day_of(datetime(on.year, on.month, on.day, 12, tzinfo=zone), zone)
    begins_at = await spend_rows.begins_at(connection, on)
    starts_at, length = begins_at or midnight, ends_at - midnight
    provider_of = _provider_of(book, starts_at)
    day = await _summed(
        connection,
        RunningDay(
            starts_at=starts_at,
            ends_at=ends_at,
            daily_queries=_daily_queries(settings),
            provider_of=provider_of,
            length=length,
            zone=zone,
        ),
        now,
    )
    found = day.spent(
        await account_days(connection, settings, starts_at, ends_at, now=now),
        fresh_for=fresh_for(settings.file.accounts.every),
        billers=_billers(settings, day, provider_of),
    )
    await spend_rows.keep(
        connection,
        on,
        starts_at=starts_at,
        ends_at=ends_at,
        until=min(now, ends_at),
        zone=zone.key,
        begins_at=begins_at,
        hours=day.spent_hours(),
        providers=_rows(found.spend.lines, day.unpriced),
    )


async def _summed(connection: Connection, day: RunningDay, now: datetime) -> RunningDay:
    """A day up to now, read an hour at a time: between two hours other tasks run."""
    while day.closed_until + STEP < min(now, day.ends_at):
        until = day.closed_until + STEP
        received = await spend_rows.by_five_minutes(connection, since=day.closed_until, until=until)
        day.close(received, until)
    received = await spend_rows.by_five_minutes(
        connection, since=day.closed_until, until=day.ends_at
    )
    return day.so_far(received, now)


def _provider_of(book: PriceBook, at: datetime) -> Said:
    """Who bills for a model at an instant; called for every five minutes of every target."""
    return cache(lambda model: book.provider(model, at=at))


def _daily_queries(settings: Settings) -> dict[str, int]:
    return {target.name: target.daily_queries for target in settings.targets.values()}


def _billers(settings: Settings, day: RunningDay, provider_of: Said) -> dict[str, set[str | None]]:
    """The providers that bill for the declared models of targets with unknown ones.

    None among them: unknown.
    """
    targets = (settings.targets[name] for name in day.unknown if name in settings.targets)
    return {
        target.name: {provider_of(m) for m in (*target.expected_models, *target.fallback_models)}
        for target in targets
    }


async def account_days(
    connection: Connection,
    settings: Settings,
    starts_at: datetime,
    ends_at: datetime,
    *,
    now: datetime,
) -> dict[str, AccountSpend]:
    """What each provider reports as spent on a day.

    Of the current day only those whose keys are configured: the last reading of another says
    nothing about the rest of it. A finished day keeps its reported figures.
    """
    held = providers(settings.environment)
    known = {}
    for provider in ACCOUNTS:
        if provider not in held and now < ends_at:
            continue
        readings = await account_readings.spent(
            connection, provider, since=starts_at - timedelta(days=1)
        )
        spent = account_spend(readings, starts_at=starts_at, ends_at=ends_at)
        if spent is not None:
            known[provider] = spent
    return known


def _rows(
    lines: Sequence[ProviderSpend], unpriced: dict[str | None, int]
) -> list[spend_rows.SpendDayRow]:
    """One row per provider; a single row if nothing was spent at all."""
    return [_row(line, unpriced) for line in lines] or [spend_rows.NOTHING]


def _row(line: ProviderSpend, unpriced: dict[str | None, int]) -> spend_rows.SpendDayRow:
    spent = line.day
    return spend_rows.SpendDayRow(
        provider=spent.provider,
        probes_usd=spent.probes.usd,
        traffic_usd=spent.traffic.usd,
        unpriced=unpriced.get(spent.provider, 0),
        account_usd=spent.account.spent.usd if spent.account else None,
        spent_usd=line.spent.usd,
        at_least=line.spent.at_least,
        meter=line.meter,
        because=line.because,
        probes_margin_usd=spent.probes.margin_usd,
        traffic_margin_usd=spent.traffic.margin_usd,
        spent_margin_usd=line.spent.margin_usd,
    )


# The days of spend that the spend rule judges: yesterday's and today's, over every provider.


async def days(
    connection: Connection, context: WorkerContext, zone: tzinfo, now: datetime
) -> Sequence[Spend]:
    """Yesterday, which late rows may still change, and today."""
    _, today, _ = day_of(now, zone)
    return [
        await _day(connection, context, zone, at, now) for at in (today - timedelta(hours=1), now)
    ]


async def _day(
    connection: Connection, context: WorkerContext, zone: tzinfo, at: datetime, now: datetime
) -> Spend:
    _, starts_at, ends_at = day_of(at, zone)
    provider_of = _provider_of(context.book, at)
    day = await _summed(
        connection,
        RunningDay(
            starts_at=starts_at,
            ends_at=ends_at,
            daily_queries=_daily_queries(context.settings),
            provider_of=provider_of,
        ),
        now,
    )
    return await _judged(connection, context, day, provider_of, zone, now)


async def running_days(
    connection: Connection, context: WorkerContext, zone: tzinfo, now: datetime
) -> Sequence[Spend] | None:
    """The same by running sums; None while they are being read."""
    known = await context.state.spend.advance(connection, spend_settings(context, zone), now)
    if known is None:
        return None
    found = []
    for day in known:
        steps = day.running.in_pieces(day.open, now)
        running = next(steps)
        for running in steps:  # noqa: B007  the last one is the day
            await asyncio.sleep(0)  # let probes be read
        found.append(await _judged(connection, context, running, day.provider_of, zone, now))
    return found


def spend_settings(context: WorkerContext, zone: tzinfo) -> SpendSettings:
    return SpendSettings(zone, _daily_queries(context.settings), context.book)


async def _judged(
    connection: Connection,
    context: WorkerContext,
    day: RunningDay,
    provider_of: Said,
    zone: tzinfo,
    now: datetime,
) -> Spend:
    """A day as the spend rule judges it."""
    settings, starts_at, ends_at = context.settings, day.starts_at, day.ends_at
    found = day.spent(
        await account_days(connection, settings, starts_at, ends_at, now=now),
        fresh_for=fresh_for(settings.file.accounts.every),
        billers=_billers(settings, day, provider_of),
    )
    total = found.spend.total
    billed = await reconciled(connection, context)
    # How far a lower bound is from the bill is not known.
    within = None if total.at_least else uncertainty(billed, total.usd)
    return Spend(
        day=starts_at.astimezone(zone).date(),
        starts_at=starts_at,
        ends_at=ends_at,
        total_usd=total.usd,
        at_least=total.at_least,
        margin_usd=total.margin_usd,
        slices=found.slices,
        bill_within_usd=within.usd if within else None,
        reconciled_days=within.days if within else 0,
        of_probes=not any(_daily_queries(settings).values())
        and all(line.day.account is None for line in found.spend.lines),
    )


async def reconciled(connection: Connection, context: WorkerContext) -> Sequence[ReconciledDay]:
    """The latest days with a bill, oldest first; read once an hour."""
    hour = context.now().replace(minute=0, second=0, microsecond=0)
    if context.state.reconciled is None or context.state.reconciled[0] != hour:
        read = partial(bills.closed_days, connection, most=DAYS)
        found = await isolated(connection, "reconciliation", read)
        if found is None:
            return ()
        days = [ReconciledDay(day.stated_usd, day.billed_usd) for day in found]
        context.state.reconciled = hour, days
    return context.state.reconciled[1]


async def since_the_row(
    connection: Connection,
    verdict: Verdict,
    rule: SpendRule,
    today: Spend,
    before: Incident | None,
) -> Verdict:
    """A new breach, with the start of the first row that took the sum over the limit.

    The rule knows only slices of five minutes. Traffic counts in proportion to the probes.
    """
    if verdict.state is not VerdictState.BREACH or (before is not None and before.open):
        return verdict
    crossing = rule.crossing(today)
    if crossing is None:
        return verdict
    rows = await spend_rows.costs(connection, since=crossing.at, until=crossing.at + SLICE)
    probes_usd, so_far = sum(usd for _, usd in rows), Decimal(0)
    for at, usd in rows:
        so_far += usd
        if so_far * crossing.usd > crossing.left_usd * probes_usd:
            return replace(verdict, since=max(at, today.starts_at))
    return verdict


# The remaining credit and the daily spend of accounts.


DAY = timedelta(days=1)
LEAST = timedelta(hours=1)  # part of a day that is enough to extrapolate from


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCredit:
    """The rest of a key's limit, and the daily spend of its account."""

    provider: str
    left_usd: Decimal
    day_usd: Decimal


async def credits(
    connection: Connection, readings: Sequence[AccountReading], now: datetime
) -> Sequence[KeyCredit]:
    """The credit of each account that reports it and whose daily spend is known."""
    found = []
    for reading in readings:
        if reading.state is not AccountState.OK or reading.remaining_usd is None:
            continue
        # One day more: the spend at the start shows how much of its UTC day came later.
        spent = await account_readings.spent(connection, reading.provider, since=now - 2 * DAY)
        day = day_spend(spent, reading, now)
        if day is not None:
            found.append(
                KeyCredit(
                    provider=reading.provider,
                    left_usd=reading.remaining_usd,
                    day_usd=day,
                )
            )
    return found


def day_spend(
    spent: Sequence[tuple[datetime, Decimal]], reading: AccountReading, now: datetime
) -> Decimal | None:
    """What an account spends in a day; None while unknown.

    `spent`: since UTC midnight, at each reading, oldest first. The last 24 hours according to the
    readings; if they do not reach back that far, today extrapolated.
    """
    known = account_spend(spent, starts_at=now - DAY, ends_at=now)
    if known is not None and spent[0][0] <= now - DAY:
        return known.spent.usd
    gone = reading.at - day_of(reading.at)[1]
    if gone < LEAST or reading.spent_today_usd is None:
        return None
    return reading.spent_today_usd * Decimal(DAY.total_seconds()) / Decimal(gone.total_seconds())
