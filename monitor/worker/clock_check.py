"""The clock job: corrects what a wrong clock left behind, and reports it.

Runs when the worker starts, when the clock steps, and every minute, because another worker's
clock may be the one that was wrong.
"""

import logging
from datetime import timedelta
from uuid import NAMESPACE_URL, uuid5

from monitor.domain import (
    ALL,
    Finding,
    Notice,
    NoticeStatus,
    Severity,
    counted,
)
from monitor.storage import clock_repair, observations, outbox
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)

RULE = "clock"
WORTH_SAYING = timedelta(minutes=1)


async def check(context: WorkerContext, *, correct: bool) -> bool:
    """Look for rows dated in the future; True if there is a notice to send.

    They are set aside, and restored if it turns out that the clock was behind. With `correct`,
    state written in the future is set to now in any case; else only if there are such rows.
    """
    history = context.state.clock
    async with context.database.begin() as connection:
        now = await clock_repair.now(connection)
        if history.seen is None and history.boot is not None:
            kept = await clock_repair.clock_reading(connection, history.boot)
            if kept is not None:  # of a worker before us, or beside us, on this machine
                history.seen, history.since = (kept.at, kept.steady_s), kept.since
        step = history.look(now)
        if history.boot is not None and history.seen and history.since:
            reading = clock_repair.ClockReading(*history.seen, history.since)
            await clock_repair.keep_clock_reading(connection, history.boot, reading)
        restored = 0
        if step is not None and step.by > observations.PARTITIONS_AHEAD:
            restored = await clock_repair.restore(
                connection, since=step.since, until=step.until, step=step.by
            )
        found = await clock_repair.furthest(connection, context.settings.targets)
        if found is None and not correct and not restored:
            return False
        aside = await clock_repair.set_aside(connection, worker=context.worker, now=context.now())
        corrected = await clock_repair.correct(connection)
        notice = _notice(context, found, aside) if found is not None else None
        news = notice is not None and await outbox.add(
            connection, notice, channels=context.takers(notice), incident=None
        )
    if aside:
        log.warning("future observations set aside", extra={"rows": aside})
    if restored:
        log.warning("future observations restored", extra={"rows": restored})
    if corrected:
        log.warning("future timestamps corrected", extra={"rows": corrected})
    if found is not None and news:
        facts = {"target": found.target, "until": found.started_at, "worker": found.worker}
        log.warning("future observations found", extra=facts)
    return news


def _notice(
    context: WorkerContext, found: clock_repair.MisdatedObservation, aside: int
) -> Notice | None:
    """One notice for each time the clock was wrong; once a day while it still is."""
    ahead = found.started_at - found.now
    if ahead < WORTH_SAYING:
        return None
    over = found.recorded_at > found.now
    which = found.recorded_at if over else f"{found.worker} {found.now:%Y-%m-%d}"
    sentence = (
        f"Observations are dated up to {_span(ahead)} in the future. "
        + (
            "A clock was ahead when they were stored, or is behind now. "
            if over
            else f"The clock of worker {found.worker} is ahead of the database's. "
        )
        + (
            "They were set aside: rules and reports ignore them."
            if aside
            else "Rules ignore them until that time."
        )
    )
    return Notice(
        id=uuid5(NAMESPACE_URL, f"clock {which}"),
        status=NoticeStatus.NOTICE,
        rule=RULE,
        scope=ALL,
        sentence=sentence,
        at=found.now,
        facts={
            "Latest": f"{found.started_at:%Y-%m-%d %H:%M:%S} UTC, {found.target}",
            "Now": f"{found.now:%Y-%m-%d %H:%M:%S} UTC by the database",
            "Worker": found.worker,
            **({"Set aside": counted(aside, "observation")} if aside else {}),
        },
        severity=Severity.INFO,
        finding=Finding(
            what=f"observations are dated up to {_span(ahead)} in the future",
            extent=sentence.partition(". ")[2].rstrip("."),
            first_step="Check the time synchronisation (NTP) of the worker and database hosts.",
        ),
    )


def _span(span: timedelta) -> str:
    for length, unit in ((timedelta(days=2), "days"), (timedelta(hours=2), "h")):
        if span >= length:
            return f"{span // (timedelta(days=1) if unit == 'days' else timedelta(hours=1))} {unit}"
    return f"{span // timedelta(minutes=1)} min"
