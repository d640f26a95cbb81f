"""The digest job: once a day, at a local hour, the last 24 hours as one notice in the outbox.

Every worker checks each minute. The notice's id follows from the day, so it is written once. It is
not an alert: mutes and maintenance windows do not suppress it.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from monitor.domain.report import DaySpend
from monitor.incidents import digest as digests
from monitor.incidents.digest import DigestFigures
from monitor.pricing.reconciliation import ReconciledDay, uncertainty
from monitor.rules import CalendarRule, SpendRule, TtftRule, rule_of
from monitor.rules.calendar import coming_up
from monitor.storage import Connection, calendar_rows, outbox, report_data
from monitor.worker import daily_spend
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)


async def digest(context: WorkerContext) -> bool:
    """Write the day's digest if it is due; True if it was written. Raises DatabaseUnavailable."""
    section, now = context.settings.file.digest, context.now()
    due = digests.due(now, at=section.at, zone=ZoneInfo(section.timezone))
    if not section.enabled or due is None:
        return False
    day, hour = due
    async with context.database.begin() as connection:
        if await report_data.written(connection, digests.key(day)):
            return False
        first = await report_data.first(connection)
        if first is None or first >= hour:  # there were no rows by then: nothing to report
            return False
        figures = await _figures(connection, context, now)
        notice = digests.notice(day, figures, at=now)
        news = await outbox.add(connection, notice, channels=context.takers(notice), incident=None)
    if news:
        log.info("digest written", extra={"day": str(day)})
    return news


async def _figures(connection: Connection, context: WorkerContext, now: datetime) -> DigestFigures:
    settings, since = context.settings, now - digests.SPAN
    ttft, spend = rule_of(settings.rules, TtftRule), rule_of(settings.rules, SpendRule)
    limit_ms = ttft.limit_ms if ttft else None
    calendar = rule_of(settings.rules, CalendarRule) or CalendarRule()
    ahead = timedelta(days=max(calendar.days, default=0))
    dates = await calendar_rows.entries(connection)
    today = now.astimezone(await report_data.zone(connection)).date()
    yesterday_cost, today_cost = await report_data.days(connection, today)
    bills = await daily_spend.reconciled(connection, context)
    return DigestFigures(
        latencies=await report_data.latencies(
            connection, settings.targets, since=since, until=now, limit_ms=limit_ms
        ),
        served=await report_data.served(connection, since=since, until=now),
        yesterday=_with_bill(yesterday_cost, bills),
        today=_with_bill(today_cost, bills),
        saving=await report_data.saving(connection, today),
        incidents=await report_data.incidents(connection, since=since),
        own=await report_data.own(connection, context.channels, since=since, until=now),
        limit_ms=limit_ms,
        limit_usd=spend.limit_usd if spend else None,
        budget_usd=settings.file.probes.daily_budget_usd,
        coming_up=coming_up(dates, now, within=ahead),
    )


def _with_bill(day: DaySpend | None, bills: Sequence[ReconciledDay]) -> DaySpend | None:
    """A day with how near its bill is, if enough days are reconciled; a lower bound has no bill."""
    within = uncertainty(bills, day.total_usd) if day and not day.at_least else None
    if day is None or within is None:
        return day
    return replace(day, bill_within_usd=within.usd, reconciled_days=within.days)
