"""The digest job: once a day, at a local hour, the last 24 hours as one notice in the outbox.

Looked at every minute by every worker: the notice's id follows from the day, so that it is
written once. It is no alert: mutes and maintenance windows do not hold it back.
"""

import logging
from datetime import datetime
from zoneinfo import ZoneInfo

from monitor import digest as digests
from monitor.digest import Figures
from monitor.jobs.watch import Watch
from monitor.rules import DailySpend, Ttft
from monitor.store import Connection, digesting, outbox, reports

log = logging.getLogger(__name__)


async def digest(watch: Watch) -> bool:
    """Write the day's digest if it is due; True when it is news. Raises Away."""
    section, now = watch.settings.file.digest, watch.now()
    due = digests.due(now, at=section.at, zone=ZoneInfo(section.timezone))
    if not section.enabled or due is None:
        return False
    day, hour = due
    async with watch.database.begin() as connection:
        if await digesting.written(connection, digests.key(day)):
            return False
        first = await reports.first(connection)
        if first is None or first >= hour:  # nothing had been seen by then: nothing to tell
            return False
        figures = await _figures(connection, watch, now)
        news = await outbox.add(connection, digests.notice(day, figures, at=now), incident=None)
    if news:
        log.info("digest written", extra={"day": str(day)})
    return news


async def _figures(connection: Connection, watch: Watch, now: datetime) -> Figures:
    settings, since = watch.settings, now - digests.SPAN
    ttft, spend = settings.rules.get("ttft"), settings.rules.get("spend")
    limit_ms = ttft.limit_ms if isinstance(ttft, Ttft) else None
    today = now.astimezone(await reports.zone(connection)).date()
    yesterday_cost, today_cost = await digesting.days(connection, today)
    return Figures(
        latencies=await digesting.latencies(
            connection, settings.targets, since=since, until=now, limit_ms=limit_ms
        ),
        served=await digesting.served(connection, since=since, until=now),
        yesterday=yesterday_cost,
        today=today_cost,
        saving=await digesting.saving(connection, today),
        incidents=await digesting.incidents(connection, since=since),
        own=await digesting.own(connection, watch.notifier.channel, since=since, until=now),
        limit_ms=limit_ms,
        limit_usd=spend.limit_usd if isinstance(spend, DailySpend) else None,
        budget_usd=settings.file.probes.daily_budget_usd,
    )
