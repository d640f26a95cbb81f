"""The evaluation job: windows out of the database, verdicts, steps, all in one transaction.

One worker at a time: the lease row is locked while the steps and their notices are written, and
its fencing number tells whether another worker took over meanwhile. So two workers never send the
same notice, and a suspended one does not block the others.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from monitor.domain import (
    ALL,
    AccountReading,
    Incident,
    Notice,
    NoticeStatus,
    Spend,
    Subject,
    Target,
    Verdict,
)
from monitor.incidents.notices import Inhibitions
from monitor.incidents.planner import IncidentStep, plan
from monitor.incidents.silences import abandoned
from monitor.incidents.state_machine import IncidentChange, ReminderPolicy
from monitor.pricing.meters import day_of
from monitor.rules import (
    DEFAULT_RULES,
    RULES,
    ProbeUsage,
    SpendRule,
    SpendUpperBound,
    is_literal,
)
from monitor.storage import (
    Connection,
    account_readings,
    clock_repair,
    incident_rows,
    leases,
    limit_statements,
    observations,
    outbox,
    spend_rows,
)
from monitor.worker import (
    account_polling,
    daily_spend,
    delivery_job,
    lease_keeper,
    target_verdicts,
)
from monitor.worker.context import WorkerContext
from monitor.worker.daily_spend import days, since_the_row
from monitor.worker.target_verdicts import isolated

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)  # three evaluations: without a successful one the lease lapses
LEASE_TRIES = 5
DEADLINE_S, READING_S = 30, 15  # of a whole evaluation; of reading the targets' windows

Judgement = tuple[str, Callable[[], Awaitable[Sequence[Verdict]]]]  # its name, and how to get it
# Of a notice and the incidents it reports: every channel, and whether it takes the notice.
Takers = Callable[[Notice, Iterable[tuple[str, str]]], Mapping[str, bool]]


async def evaluate(context: WorkerContext, *seen: Target) -> bool:
    """Evaluate once, the targets just probed or all; True if there are notices to send.

    A target is judged as it is configured now, and not at all if it was removed meanwhile.
    Also during a round: no rule judges the mean of an unfinished round.
    """
    # Within a process they queue here, not for the lease's row.
    async with context.state.evaluating, context.metrics.evaluation():
        now = context.now()
        async with context.database.begin(deadline_s=DEADLINE_S) as connection:
            await limit_statements(connection, lock_s=1, statement_s=5)
            fence = await leases.available(
                connection, "evaluate", holder=context.worker, longest=LEASE
            )
            if fence is None:
                lease_keeper.forget(context, "evaluate")
                return False
            latest = await incident_rows.latest_incidents(connection)
            if any(incident.turned_at > now + observations.PARTITIONS_AHEAD for incident in latest):
                # otherwise every instant would be before their turn
                await isolated(connection, "clock", partial(clock_repair.correct, connection))
                latest = await incident_rows.latest_incidents(connection)
            latest_incident = {incident.key: incident for incident in latest}
            readings, unread = await _readings(connection, context, now)
            verdicts = await _verdicts(connection, context, latest_incident, readings, now, seen)
            silence = await delivery_job.silence(connection, context)
            policy = _policy(context)
            # A reading that could not be fetched is not an old reading.
            known = {*(reading.provider for reading in readings), *unread}
            stale = {i.key for i in latest if _of_provider(i) and i.scope not in known}
            steps = plan(
                latest,
                verdicts,
                inhibitions=Inhibitions({**DEFAULT_RULES, **context.settings.rules}),
                silence=silence,
                policy=policy,
                stale=stale,
                now=now,
            )
            if await _held(connection, context) != fence:
                return False  # another worker took over while we read
            news = await _apply(connection, steps, latest, context.takers)
            context.state.breaches = _breaches(latest, steps)
    for step in steps:
        if step.incident is not None and step.change not in (
            IncidentChange.SEEN,
            IncidentChange.NONE,
        ):
            facts = {"rule": step.incident.rule, "target": step.incident.scope}
            facts["reason"] = step.incident.ended or step.incident.current_reason
            log.info(f"incident {step.change}", extra=facts)
    return news


def _breaches(
    latest: Sequence[Incident], steps: Sequence[IncidentStep]
) -> dict[str, tuple[str, ...]]:
    """The rules whose incidents are open after these steps, by scope."""
    now = {i.key: i for i in latest} | {s.incident.key: s.incident for s in steps if s.incident}
    found: dict[str, tuple[str, ...]] = {}
    for incident in now.values():
        if incident.open:
            scope = incident.scope.partition("/")[0]  # of one query, with `mode = "immediate"`
            found[scope] = (*found.get(scope, ()), incident.rule)
    return found


def _of_provider(incident: Incident) -> bool:
    rule = RULES.get(incident.rule)
    return rule is not None and rule.subject is Subject.PROVIDER


async def _readings(
    connection: Connection, context: WorkerContext, now: datetime
) -> tuple[list[AccountReading], set[str]]:
    """The current reading of each configured account, and the accounts that could not be read."""
    readings: list[AccountReading] = []
    unread = set()
    for provider in account_polling.providers(context.settings.environment):
        latest = partial(account_readings.latest, connection, provider)
        read = await isolated(connection, f"account {provider}", latest)
        if read is None:
            unread.add(provider)
        readings += account_polling.fresh(read or (), context.settings, now)
    return readings, unread


async def _held(connection: Connection, context: WorkerContext) -> int | None:
    """Take the lease and lock its row, now that nothing slow follows; its fencing number.

    The lease keeper locks the row for a moment, so one try is not enough.
    """
    for _ in range(LEASE_TRIES):
        fence = await lease_keeper.hold(context, connection, "evaluate", keep=LEASE)
        if fence is not None:
            return fence
        await asyncio.sleep(0.05)
    return None


async def _verdicts(
    connection: Connection,
    context: WorkerContext,
    latest_incident: target_verdicts.Standing,
    readings: Sequence[AccountReading],
    now: datetime,
    seen: Collection[Target],
) -> list[Verdict]:
    """Every rule's judgement of its subjects; a failure affects only its own verdict."""
    rules = context.settings.rules

    def judged(subject: Subject, scope: str, facts: object) -> list[Verdict]:
        found = (
            target_verdicts.judged(rule, facts, latest_incident.get((name, scope)), now)
            for name, rule in rules.items()
            if rule.subject is subject
        )
        return [verdict for verdict in found if verdict]

    async def spend() -> list[Verdict]:
        spent = await days(connection, context, daily_spend.zone_of(context.settings), now)
        found = []
        for verdict in (
            *judged(Subject.DAY, ALL, spent),
            *judged(Subject.DAY, ALL, SpendUpperBound(spent)),
        ):
            rule, before = rules[verdict.rule], latest_incident.get((verdict.rule, ALL))
            if isinstance(rule, SpendRule):
                since = partial(since_the_row, connection, verdict, rule, spent[-1], before)
                verdict = await isolated(connection, f"since of {rule.name}", since) or verdict
            added = partial(
                target_verdicts.expensive,
                connection,
                verdict,
                context.settings.targets.values(),
                before,
                since=spent[-1].starts_at,
            )
            found.append(await isolated(connection, f"answers of {rule.name}", added) or verdict)
        return found

    async def probe_budget() -> list[Verdict]:
        return judged(Subject.PROBES, ALL, await _probing(connection, now))

    async def delivery(channel: str) -> list[Verdict]:
        return judged(Subject.CHANNEL, channel, await outbox.backlog(connection, channel))

    async def key(reading: AccountReading) -> list[Verdict]:
        return judged(Subject.PROVIDER, reading.provider, reading)

    async def credits(reading: AccountReading) -> list[Verdict]:
        found = await daily_spend.credits(connection, [reading], now)
        return [verdict for one in found for verdict in judged(Subject.PROVIDER, one.provider, one)]

    overall: list[Judgement] = [
        ("spend", spend),
        ("probe_budget", probe_budget),
        *((f"key {reading.provider}", partial(key, reading)) for reading in readings),
        *((f"credit {reading.provider}", partial(credits, reading)) for reading in readings),
        *((f"delivery {name}", partial(delivery, name)) for name in context.channels),
    ]
    chosen = current_targets(context, seen)
    last = [
        verdict for subject in overall for verdict in await isolated(connection, *subject) or ()
    ]
    read = partial(target_verdicts.confirmed, connection, chosen)
    confirmed = await isolated(connection, "baselines", read)
    judge_target = partial(
        target_verdicts.of_target, connection, context, latest_incident, now, confirmed=confirmed
    )
    of_targets: list[Judgement] = [
        (f"target {target.name}", partial(judge_target, target)) for target in chosen
    ]
    first: list[Verdict] = []
    began = time.monotonic()
    for subject in of_targets:
        if time.monotonic() - began > READING_S:
            log.warning(
                "evaluation skipped", extra={"subject": subject[0], "reason": "no time left"}
            )
        else:
            first += await isolated(connection, *subject) or ()
    targets = context.settings.targets
    by_query = {f"{t.name}/{query.id}" for t in targets.values() for query in t.queries}
    names: dict[Subject, Collection[str]] = {
        Subject.TARGET: targets,
        Subject.PROVIDER: account_polling.providers(context.settings.environment),
        Subject.CHANNEL: context.channels,
    }
    scopes = {
        name: by_query if is_literal(rule) else names[rule.subject]
        for name, rule in rules.items()
        if rule.subject in names
    }
    gone = abandoned(latest_incident.values(), rules=rules, scopes=scopes, now=now)
    return [*first, *last, *gone]


def current_targets(context: WorkerContext, seen: Collection[Target]) -> list[Target]:
    """The targets just probed, or all, as configured now; a round may outlast its configuration."""
    targets = context.settings.targets
    if not seen:
        return list(targets.values())
    return [targets[target.name] for target in seen if target.name in targets]


async def _probing(connection: Connection, now: datetime) -> ProbeUsage:
    """The probes of the UTC day, by which the budget is counted."""
    spent = await spend_rows.today(connection)
    day, starts_at, ends_at = day_of(now)
    total = Spend(
        day=day,
        starts_at=starts_at,
        ends_at=ends_at,
        total_usd=spent.usd,
        margin_usd=spent.margin_usd,
    )
    return ProbeUsage(day=total, probes=spent.count)


def _policy(context: WorkerContext) -> ReminderPolicy:
    section = context.settings.file.incidents
    return ReminderPolicy(remind_after=section.remind_after, remind_every=section.remind_every)


async def _apply(
    connection: Connection,
    steps: Sequence[IncidentStep],
    latest: Sequence[Incident],
    takers: Takers,
) -> bool:
    """Write all steps; if one cannot be written, write the others without it."""
    write = partial(_written, connection, takers=takers)
    written = await isolated(connection, "incidents", partial(write, steps, latest))
    if written is not None:
        return written.news
    news, known = False, list(latest)
    for step in sorted(steps, key=lambda step: bool(step.incident and step.incident.part_of)):
        what = f"incident {step.incident.key}" if step.incident else "notice"
        one = await isolated(connection, what, partial(write, [step], known))
        if one is not None:
            news = one.news or news
            if step.incident is not None:
                number = one.numbers[step.incident.key]
                known.append(replace(step.incident, number=number))
    return news


class WrittenSteps(NamedTuple):
    """What was written. `news`: there is something to send."""

    news: bool
    numbers: Mapping[tuple[str, str], int]


async def _written(
    connection: Connection,
    steps: Sequence[IncidentStep],
    latest: Sequence[Incident],
    *,
    takers: Takers,
) -> WrittenSteps:
    """Write rows and notices; a new incident's notice gets the number that the database assigns.

    A notice is queued under the number it announces: messages of one number stay in order. A NOTICE
    has none, even if there is an incident.
    """
    changed = [step.incident for step in steps if step.incident is not None]
    numbers = await incident_rows.save(connection, changed, latest)
    news = False
    for step in steps:
        if step.notice is None:
            continue
        number = step.notice.number
        if step.incident is not None and step.notice.status is not NoticeStatus.NOTICE:
            number = number or numbers[step.incident.key]
        notice = replace(step.notice, number=number)
        reported = [numbers[key] for key in step.reported if key in numbers]
        added = await outbox.add(
            connection,
            notice,
            channels=takers(notice, step.reported),
            incident=number,
            reported=reported,
        )
        news = added or news
    return WrittenSteps(news, numbers)
