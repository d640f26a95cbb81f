"""The reckoning job: what a day has cost so far, from raw rows, kept for reports to show.

The running day is reckoned far more often than hours are rolled up, and once more before a
page is drawn: a report does not lag behind the rows there are.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from monitor.accounts import ACCOUNTS
from monitor.domain import Target
from monitor.jobs.polling import providers
from monitor.pricing import Book, Slice, account_spend, day_of, fresh_for, spent_day
from monitor.pricing.hours import spent_hours
from monitor.pricing.meters import Account, Line
from monitor.settings import Settings
from monitor.store import Connection, Database, accounts, reckoned, reports, spending

Said = Callable[[str], str | None]


def zone_of(settings: Settings) -> ZoneInfo:
    """The zone in which the spend rule counts its days: everything else counts likewise."""
    return ZoneInfo(getattr(settings.rules.get("spend"), "timezone", "UTC"))


def latest(now: datetime, zone: ZoneInfo) -> tuple[date, date]:
    """Yesterday, which late rows may still change, and today."""
    today, starts_at, _ = day_of(now, zone)
    yesterday, _, _ = day_of(starts_at - timedelta(hours=1), zone)
    return yesterday, today


async def so_far(database: Database, settings: Settings, book: Book, *, now: datetime) -> bool:
    """Bring today, and yesterday unless it is known to its end, up to now. Raises Away.

    False where our role may only read, or the worker counts days in another zone than we would.
    """
    zone = zone_of(settings)
    async with database.begin() as connection:
        if not await reckoned.may_keep(connection) or await reports.zone(connection) != zone:
            return False
    yesterday, today = latest(now, zone)
    _, midnight, _ = day_of(now, zone)
    async with database.begin() as connection:
        over = await reckoned.known_until(connection, yesterday) == midnight
    for on in (today,) if over else (yesterday, today):
        async with database.begin() as connection:
            await day(connection, settings, book, on, zone=zone, now=now)
    return True


async def day(
    connection: Connection, settings: Settings, book: Book, on: date, *,
    zone: ZoneInfo, now: datetime,
) -> None:  # fmt: skip
    """Reckon one day anew, up to its end or to now, and replace all that is kept of it."""
    await reckoned.alone(connection)
    _, midnight, ends_at = day_of(datetime(on.year, on.month, on.day, 12, tzinfo=zone), zone)
    begins_at = await reckoned.begins_at(connection, on)
    starts_at, length = begins_at or midnight, ends_at - midnight
    rows = await spending.by_five_minutes(connection, since=starts_at, until=ends_at)
    heard = [Slice(**item._asdict()) for item in rows]
    queries = {target.name: target.daily_queries for target in settings.targets.values()}

    @cache  # asked for every five minutes of every target
    def provider_of(model: str) -> str | None:
        return book.provider(model, at=starts_at)

    found = spent_day(
        heard, starts_at=starts_at, ends_at=ends_at, now=now, daily_queries=queries,
        provider_of=provider_of,
        accounts=await account_days(connection, settings, starts_at, ends_at, now=now),
        fresh_for=fresh_for(settings.file.accounts.every),
        billers=billers(settings.targets.values(), provider_of), length=length,
    )  # fmt: skip
    hours = spent_hours(heard, starts_at=starts_at, ends_at=ends_at, now=now,
                        daily_queries=queries, provider_of=provider_of, zone=zone,
                        length=length)  # fmt: skip
    await reckoned.keep(
        connection, on, starts_at=starts_at, ends_at=ends_at, until=min(now, ends_at),
        zone=zone.key, begins_at=begins_at,
        hours=[
            reckoned.HourRow(hour=h.starts_at, until=h.until, target=h.target, model=h.model,
                             provider=h.provider, meter=h.meter, usd=h.spent.usd,
                             at_least=h.spent.at_least, margin_usd=h.spent.margin_usd)
            for h in hours
        ],
        providers=_rows(found.spend.lines, heard, provider_of),
    )  # fmt: skip


def billers(targets: Iterable[Target], provider_of: Said) -> dict[str, set[str | None]]:
    """Who bills for the declared models of each target; None among them: nobody can tell."""
    return {
        target.name: {provider_of(m) for m in (*target.expected_models, *target.fallback_models)}
        for target in targets
    }


async def account_days(
    connection: Connection, settings: Settings, starts_at: datetime, ends_at: datetime, *,
    now: datetime,
) -> dict[str, Account]:  # fmt: skip
    """What each provider says was spent on a day.

    Of a running day only those whose keys we hold: the last word of another says nothing of the
    rest of it. A day that is over keeps what was said of it.
    """
    held = providers(settings.environment)
    known = {}
    for provider in ACCOUNTS:
        if provider not in held and now < ends_at:
            continue
        readings = await accounts.spent(connection, provider, since=starts_at - timedelta(days=1))
        spent = account_spend(readings, starts_at=starts_at, ends_at=ends_at)
        if spent is not None:
            known[provider] = spent
    return known


def _rows(
    lines: Sequence[Line], heard: Sequence[Slice], provider_of: Said
) -> list[reckoned.DayRow]:
    """A row a provider; one that says so where nothing was spent at all."""
    unpriced: dict[str | None, int] = {}
    for item in heard:
        provider = provider_of(item.model) if item.model else None
        unpriced[provider] = unpriced.get(provider, 0) + item.unpriced
    return [_row(line, unpriced) for line in lines] or [reckoned.NOTHING]


def _row(line: Line, unpriced: dict[str | None, int]) -> reckoned.DayRow:
    spent = line.day
    return reckoned.DayRow(
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
