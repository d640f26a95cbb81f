"""The evaluation job: windows out of the database, verdicts, steps, all in one transaction.

One worker at a time: the lease row is locked while the steps and their notices are written, and
its fencing number tells whether another worker took over meanwhile. So two workers never send the
same notice, and a suspended one does not block the others.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial

from monitor.domain import (
    ALL,
    AccountReading,
    Incident,
    Spend,
    Subject,
    Target,
    Verdict,
    VerdictState,
)
from monitor.incidents.planner import IncidentStep, plan
from monitor.incidents.silences import abandoned
from monitor.incidents.state_machine import IncidentChange, ReminderPolicy
from monitor.metrics import EvaluationTime
from monitor.pricing.meters import day_of
from monitor.rules import (
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
    reading_ahead,
    standby,
    target_verdicts,
)
from monitor.worker.context import WorkerContext, inhibitions
from monitor.worker.daily_spend import days, since_the_row
from monitor.worker.reading_ahead import ReadAhead
from monitor.worker.step_writing import write_steps as _apply
from monitor.worker.target_verdicts import LARGE, isolated
from monitor.worker.window_memory import WindowMemory

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)  # three evaluations: without a successful one the lease lapses
LEASE_TRIES = 5
DEADLINE_S = 30  # of a whole evaluation
EVERY_S = 1.0  # from the start of one evaluation to that of the next
READING = 0.8  # of that time, windows may be read that are not in memory
VERY_LARGE = 2_000  # more targets are evaluated twice as often, each time half of them
IDLE_S = 10.0  # system-wide subjects are evaluated that often, if no target has changed

Judgement = tuple[str, Callable[[], Awaitable[Sequence[Verdict]]]]  # its name, and how to get it


async def evaluate(context: WorkerContext, *seen: Target) -> bool:
    """Evaluate these targets or all from the rows of the database; True if there are notices.

    A target is judged as it is configured now, and not at all if it was removed meanwhile.
    """
    names = [target.name for target in current_targets(context, seen)]
    async with context.state.evaluating, context.metrics.evaluation() as timed:
        return await _evaluate(context, WindowMemory(), lambda _: names, timed)


def pause_s(context: WorkerContext) -> float:
    """From the start of one evaluation of what changed to that of the next, s."""
    return EVERY_S / 2 if len(context.settings.targets) > VERY_LARGE else EVERY_S


async def evaluate_changed(context: WorkerContext) -> bool:
    """Evaluate the targets of which any worker has stored something; True if there are notices.

    Also those whose verdict time may have changed. If nothing changed, only that is found out,
    unless the last evaluation is `IDLE_S` ago.
    """
    memory, large = context.state.windows, len(context.settings.targets) > LARGE
    async with context.state.evaluating:
        ahead = None
        if large:
            most_s = READING * pause_s(context)
            ahead = await reading_ahead.read_ahead(context, reading_s=most_s)
        async with context.metrics.evaluation() as timed:
            due = partial(_due, context, memory)
            return await _evaluate(context, memory, due, timed, ahead)


def _due(context: WorkerContext, memory: WindowMemory, latest: Sequence[Incident]) -> list[str]:
    open_ = {incident.scope.partition("/")[0] for incident in latest if incident.open}
    return memory.due(context.settings.targets, open_, context.now())


async def _evaluate(
    context: WorkerContext,
    memory: WindowMemory,
    due: Callable[[Sequence[Incident]], Sequence[str]],
    timed: EvaluationTime,
    ahead: ReadAhead | None = None,
) -> bool:
    """One evaluation in one transaction. Also during a round: no rule judges its mean then."""
    now, kept = context.now(), memory is context.state.windows
    async with context.database.begin(deadline_s=DEADLINE_S) as connection:
        await limit_statements(connection, lock_s=1, statement_s=5)
        fence = await leases.available(connection, "evaluate", holder=context.worker, longest=LEASE)
        if fence is None:
            lease_keeper.forget(context, "evaluate")
            timed.counts = False
            if kept:
                await standby.stand_by(connection, context, now)
            return False
        new = kept and not lease_keeper.held(context, "evaluate")
        if new and not await standby.comes_first(connection, context):
            timed.counts = False
            return False
        if kept:
            follow = partial(memory.follow, connection, context.settings.targets, now)
            await isolated(connection, "new observations", follow)
            if memory.idle(IDLE_S) and not (ahead is not None and ahead.overall):
                return False
        latest = await context.state.incidents.latest(connection)
        if any(incident.turned_at > now + observations.PARTITIONS_AHEAD for incident in latest):
            # otherwise every instant would be before their turn
            await isolated(connection, "clock", partial(clock_repair.correct, connection))
            latest = await context.state.incidents.latest(connection)
        latest_incident = {incident.key: incident for incident in latest}
        readings, unread = await _readings(connection, context, now)
        of_targets = await target_verdicts.of_targets(
            connection, context, memory, latest_incident, now, due(latest)
        )
        overall = (
            await _verdicts(connection, context, latest_incident, readings, now, kept, ahead)
            if ahead is None or ahead.overall
            else []
        )
        gone = _abandoned(context, latest, now)
        silence = await delivery_job.silence(connection, context)
        policy = _policy(context)
        # A reading that could not be fetched is not an old reading.
        known = {*(reading.provider for reading in readings), *unread}
        stale = {i.key for i in latest if _of_provider(i) and i.scope not in known}
        steps = plan(
            latest,
            [*of_targets.verdicts, *overall, *gone],
            inhibitions=inhibitions(context),
            silence=silence,
            policy=policy,
            stale=stale,
            now=now,
        )
        if await _held(connection, context) != fence:
            return False  # another worker took over while we read
        if new:
            await standby.leave(connection, context)
        news = await _apply(connection, steps, latest, context.takers)
        context.state.breaches = _breaches(latest, steps)
    memory.judged(of_targets.names, latest)
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
    running: bool,
    ahead: ReadAhead | None,
) -> list[Verdict]:
    """Every rule's judgement of system-wide subjects: spend, the probe budget, accounts, channels.

    A failure affects only its own verdict.

    `running`: spend is taken from running sums; without judgement while they are being read.
    """
    rules = context.settings.rules

    def judged(subject: Subject, scope: str, facts: object) -> list[Verdict]:
        found = (
            target_verdicts.judged(rule, facts, latest_incident.get((name, scope)), now)
            for name, rule in rules.items()
            if rule.subject is subject
        )
        return [verdict for verdict in found if verdict]

    async def spend() -> list[Verdict]:
        zone = daily_spend.zone_of(context.settings)
        if ahead is not None:
            spent = ahead.spend
        elif running:
            spent = await daily_spend.running_days(connection, context, zone, now)
        else:
            spent = await days(connection, context, zone, now)
        if spent is None:
            return []
        found = []
        for verdict in (
            *judged(Subject.DAY, ALL, spent),
            *judged(Subject.DAY, ALL, SpendUpperBound(spent)),
        ):
            if verdict.state is not VerdictState.BREACH:
                found.append(verdict)
                continue
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
        spent = await (context.spent_today if running else spend_rows.today)(connection)
        return judged(Subject.PROBES, ALL, _usage(spent, now)) if spent else []

    async def delivery(channel: str) -> list[Verdict]:
        return judged(Subject.CHANNEL, channel, await outbox.backlog(connection, channel))

    async def key(reading: AccountReading) -> list[Verdict]:
        return judged(Subject.PROVIDER, reading.provider, reading)

    overall: list[Judgement] = [
        ("spend", spend),
        ("probe_budget", probe_budget),
        *((f"key {reading.provider}", partial(key, reading)) for reading in readings),
        *((f"delivery {name}", partial(delivery, name)) for name in context.channels),
    ]
    return [
        verdict for subject in overall for verdict in await isolated(connection, *subject) or ()
    ]


def _abandoned(
    context: WorkerContext, latest: Sequence[Incident], now: datetime
) -> Iterable[Verdict]:
    """The verdicts on open incidents whose rule or subject is no longer configured."""
    rules, targets = context.settings.rules, context.settings.targets
    if not any(incident.open for incident in latest):
        return ()
    by_query: set[str] = set()
    if any(map(is_literal, rules.values())):
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
    return abandoned(latest, rules=rules, scopes=scopes, now=now)


def current_targets(context: WorkerContext, seen: Collection[Target]) -> list[Target]:
    """The targets just probed, or all, as configured now; a round may outlast its configuration."""
    targets = context.settings.targets
    if not seen:
        return list(targets.values())
    return [targets[target.name] for target in seen if target.name in targets]


def _usage(spent: spend_rows.ProbesSpent, now: datetime) -> ProbeUsage:
    """The probes of the UTC day, by which the budget is counted."""
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
