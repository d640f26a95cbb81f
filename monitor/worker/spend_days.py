"""The days of spend that the spend rule judges: yesterday's and today's, over every provider."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cache

from monitor.domain import Incident, Spend, Verdict, VerdictState
from monitor.pricing import SpendSlice, day_of, fresh_for, spent_day
from monitor.rules import SLICE, SpendRule
from monitor.storage import Connection, spend_slices
from monitor.worker.context import WorkerContext
from monitor.worker.daily_spend import account_days, billers


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
    day, starts_at, ends_at = day_of(at, zone)
    received = await spend_slices.by_five_minutes(connection, since=starts_at, until=ends_at)
    known = await account_days(connection, context.settings, starts_at, ends_at, now=now)
    targets = context.settings.targets.values()

    @cache
    def provider_of(model: str) -> str | None:
        return context.book.provider(model, at=at)

    found = spent_day(
        [SpendSlice(**item._asdict()) for item in received],
        starts_at=starts_at,
        ends_at=ends_at,
        now=now,
        daily_queries={t.name: t.daily_queries for t in targets},
        provider_of=provider_of,
        accounts=known,
        fresh_for=fresh_for(context.settings.file.accounts.every),
        billers=billers(targets, provider_of),
    )
    total = found.spend.total
    return Spend(
        day=day,
        starts_at=starts_at,
        ends_at=ends_at,
        total_usd=total.usd,
        at_least=total.at_least,
        margin_usd=total.margin_usd,
        slices=found.slices,
    )


async def since_the_row(
    connection: Connection, verdict: Verdict, rule: SpendRule, today: Spend,
    before: Incident | None,
) -> Verdict:  # fmt: skip
    """A breach that opens, with the start of the first row that carried the sum over the limit.

    The rule knows the five minutes only. Traffic counts beside the probes, in proportion.
    """
    if verdict.state is not VerdictState.BREACH or (before is not None and before.open):
        return verdict
    crossing = rule.crossing(today)
    if crossing is None:
        return verdict
    rows = await spend_slices.costs(connection, since=crossing.at, until=crossing.at + SLICE)
    probes_usd, so_far = sum(usd for _, usd in rows), Decimal(0)
    for at, usd in rows:
        so_far += usd
        if so_far * crossing.usd > crossing.left_usd * probes_usd:
            return replace(verdict, since=max(at, today.starts_at))
    return verdict
