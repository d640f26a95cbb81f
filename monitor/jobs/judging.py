"""The evaluation job: windows out of the database, verdicts, steps, all in one transaction.

One worker at a time: the lease row stays locked until the steps and their notices are
committed, so two workers never tell the same story.
"""

import logging
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from monitor.domain import ALL, Incident, Reading, Spend, Target, Verdict
from monitor.incidents import Change, Maintenance, Mute, Policy, Silence, Step, abandoned, plan
from monitor.jobs import answered, causing, crediting, polling
from monitor.jobs.spending import days
from monitor.jobs.watch import Watch
from monitor.pricing import day_of
from monitor.rules import (
    OF_TARGETS,
    SAMPLES,
    SPAN,
    Backlog,
    DailySpend,
    Probing,
    Rule,
    Window,
)
from monitor.store import (
    Connection,
    accounts,
    budget,
    identities,
    incidents,
    leases,
    mutes,
    observations,
    outbox,
)

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)  # three evaluations: whoever lives takes over from whoever died

Standing = dict[tuple[str, str], Incident]


async def evaluate(watch: Watch, *seen: Target) -> bool:
    """Judge once: of targets those just seen, or all; True when there is news to tell.

    In the middle of a round, too: of a round under way no rule judges the mean.
    """
    now = watch.now()
    async with watch.database.begin() as connection:
        if await leases.hold(connection, "evaluate", holder=watch.worker, span=LEASE) is None:
            return False
        latest = await incidents.standing(connection)
        standing = {incident.key: incident for incident in latest}
        readings = polling.fresh(await accounts.latest(connection), watch.settings, now)
        verdicts = [
            verdict async for verdict in _verdicts(connection, watch, standing, readings, now, seen)
        ]
        silence = await _silence(connection, watch)
        policy = _policy(watch)
        read = {("key", reading.provider) for reading in readings}
        stale = {key for key in standing if key[0] == "key" and key not in read}
        steps = plan(latest, verdicts, silence=silence, policy=policy, stale=stale, now=now)
        news = await _apply(connection, steps, latest)
    for step in steps:
        if step.incident is not None and step.change not in (Change.SEEN, Change.NONE):
            facts = {"rule": step.incident.rule, "target": step.incident.scope}
            facts["why"] = step.incident.ended or step.incident.because
            log.info(f"incident {step.change}", extra=facts)
    return news


async def _verdicts(
    connection: Connection,
    watch: Watch,
    standing: Standing,
    readings: Sequence[Reading],
    now: datetime,
    seen: Collection[Target],
) -> AsyncIterator[Verdict]:
    """Every rule's judgement of everything it judges; one that fails stops no other."""
    rules, targets = watch.settings.rules, watch.settings.targets
    for target in seen or watch.settings.targets.values():
        samples = await observations.samples(
            connection, target.name, since=now - SPAN, most=SAMPLES
        )
        window = Window.of(
            samples,
            scope=target.name,
            every=target.every,
            queries=len(target.queries),
            deadline=target.deadline,
            watched_since=watch.began_at,
            a_day=target.daily_queries or SPAN // target.every * len(target.queries),
            baseline_at=await identities.confirmed_at(connection, target.name),
        )
        for name in OF_TARGETS:
            before = standing.get((name, target.name))
            if verdict := _judged(rules.get(name), window, before, now):
                verdict = await causing.explained(connection, verdict, window, before, now)
                yield answered.slow(verdict, window, target, before)
    spent = await days(connection, watch, _zone(rules.get("spend")), now)
    for name, scope, judged in [
        ("spend", ALL, spent),
        ("probe_budget", ALL, await _probing(connection, now)),
        *[("key", reading.provider, reading) for reading in readings],
        *[("key", c.provider, c) for c in await crediting.credits(connection, readings, now)],
        ("delivery", watch.notifier.channel, await _backlog(connection, watch)),
    ]:
        before = standing.get((name, scope))
        if verdict := _judged(rules.get(name), judged, before, now):
            yield await answered.expensive(
                connection, verdict, targets.values(), before, since=spent[-1].starts_at
            )
    scopes: dict[str, Collection[str]] = dict.fromkeys(OF_TARGETS, targets)
    scopes["key"] = polling.providers(watch.settings.environment)
    scopes["delivery"] = {watch.notifier.channel}
    for verdict in abandoned(standing.values(), rules=rules, scopes=scopes, now=now):
        yield verdict


def _judged(
    rule: Rule | None, judged: object, incident: Incident | None, now: datetime
) -> Verdict | None:
    if rule is None:
        return None
    try:
        return rule.judge(judged, incident, now)
    except Exception:
        log.exception("rule failed", extra={"rule": rule.name})
        return None


def _zone(spend: Rule | None) -> ZoneInfo:
    return ZoneInfo(spend.timezone if isinstance(spend, DailySpend) else "UTC")


async def _backlog(connection: Connection, watch: Watch) -> Backlog:
    channel = watch.notifier.channel
    found = await outbox.backlog(connection, channel)
    return Backlog(channel=channel, **found._asdict())


async def _probing(connection: Connection, now: datetime) -> Probing:
    """The probes of the UTC day: the day the budget is counted by."""
    spent = await budget.today(connection)
    day, starts_at, ends_at = day_of(now)
    total = Spend(day=day, starts_at=starts_at, ends_at=ends_at, total_usd=spent.usd)
    return Probing(day=total, probes=spent.count)


async def _silence(connection: Connection, watch: Watch) -> Silence:
    by_people = [
        Mute(until=muted.until, reason=muted.reason, rule=muted.rule, scope=muted.target)
        for muted in await mutes.in_force(connection)
    ]
    windows = [
        Maintenance(
            days=tuple(window.days), start=window.start, end=window.end,
            timezone=window.timezone, reason=window.reason, rule=window.rule, scope=window.target,
        )
        for window in watch.settings.file.maintenance
    ]  # fmt: skip
    return [*by_people, *windows]


def _policy(watch: Watch) -> Policy:
    section = watch.settings.file.incidents
    return Policy(remind_after=section.remind_after, remind_every=section.remind_every)


async def _apply(connection: Connection, steps: Sequence[Step], latest: Sequence[Incident]) -> bool:
    """Write rows and notices; a new incident's notice takes the number the store gives."""
    changed = [step.incident for step in steps if step.incident is not None]
    numbers = await incidents.save(connection, changed, latest)
    news = False
    for step in steps:
        if step.notice is None:
            continue
        number = numbers[step.incident.key] if step.incident is not None else None
        notice = replace(step.notice, number=number)
        reported = [numbers[key] for key in step.reported]
        added = await outbox.add(connection, notice, incident=number, reported=reported)
        news = added or news
    return news
