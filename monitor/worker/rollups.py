"""The rollup job: computes finished hours and days, then spend, then applies retention.

Every step is a transaction of its own under one lease, and each leaves reports consistent: the job
may be killed anywhere, and late rows cause their hour and day to be computed again.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta

from monitor.domain import Target
from monitor.pricing.forecast import SpendForecast, projected
from monitor.storage import Connection, clock_repair, rollup_rows, spend_rows
from monitor.worker import daily_spend, lease_keeper
from monitor.worker.context import WorkerContext
from monitor.worker.spend_memory import SHARE

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)
STRETCH_S = 1.0  # far below any deadline, and many times what a step takes


class _Busy(Exception):
    """Another worker rolls up."""


async def roll_up(context: WorkerContext) -> None:
    """Roll up finished hours, compute their spend, delete old rows. One worker at a time."""
    zone = daily_spend.zone_of(context.settings)
    try:
        async with _turn(context) as connection:
            tokens = await rollup_rows.answer_tokens(connection)
        described = await _described(context, tokens)
        async with _turn(context) as connection:
            await rollup_rows.configure(connection, zone.key, described)
            if not context.state.rolled_up:
                running = timedelta(seconds=time.monotonic() - context.state.began_s)
                await rollup_rows.note_absence(connection, running=running)
        context.state.rolled_up = True
        async with _turn(context) as connection:
            late = await rollup_rows.notice_late(connection)
        steps = 0
        while taken := await _steps(context):
            steps += taken
        await _compute_spend(context)
        gone = await _forget(context)
    except _Busy:
        return
    log.info("rollups updated", extra={"late_hours": late, "steps": steps, "forgotten": gone})


@asynccontextmanager
async def _turn(context: WorkerContext) -> AsyncIterator[Connection]:
    """A transaction that holds the lease until its end, so two workers' steps never overlap."""
    async with context.database.begin() as connection:
        held = await lease_keeper.hold(context, connection, "roll_up", keep=LEASE)
        if held is None:
            raise _Busy
        yield connection


async def _steps(context: WorkerContext) -> int:
    """As many hours and days as fit a short transaction; how many."""
    taken, begun = 0, time.monotonic()
    async with _turn(context) as connection:
        while time.monotonic() - begun < STRETCH_S and await rollup_rows.advance(connection):
            taken += 1
    return taken


async def _described(
    context: WorkerContext, tokens: Mapping[str, Mapping[str, int]]
) -> Sequence[rollup_rows.ReportTarget]:
    """The targets as reports must know them, with queries priced at the length of recent answers.

    Other tasks run meanwhile: there may be thousands.
    """
    found = []
    for target in context.settings.targets.values():
        found.append(_report_target(context, target, tokens.get(target.name, {})))
        await asyncio.sleep(0)
    return found


def _report_target(
    context: WorkerContext, target: Target, tokens: Mapping[str, int]
) -> rollup_rows.ReportTarget:
    forecast = projected(target, book=context.book, at=context.now(), answer_tokens=tokens)
    costs = {model: f.query.usd for model, f in forecast.items() if isinstance(f, SpendForecast)}
    expected = next(iter(target.expected_models), None)
    fallback = next(iter(target.fallback_models), None)
    return rollup_rows.ReportTarget(
        target=target.name,
        every_s=target.every.total_seconds(),
        daily_queries=target.daily_queries,
        expected_model=expected,
        fallback_model=fallback,
        expected_usd=costs.get(expected) if expected else None,
        fallback_usd=costs.get(fallback) if fallback else None,
    )


async def _compute_spend(context: WorkerContext) -> None:
    """The spend of every day whose rollups changed, of yesterday, and of today so far.

    All of them, before raw rows are deleted: afterwards they cannot be computed.
    """
    zone, now = daily_spend.zone_of(context.settings), context.now()
    waiting, done = set(daily_spend.latest(now, zone)), set[date]()
    while waiting:
        for day in sorted(waiting):
            async with _turn(context) as connection:
                await daily_spend.compute_day(
                    connection, context.settings, context.book, day, zone=zone, now=now
                )
        done |= waiting
        async with _turn(context) as connection:
            waiting = {*await spend_rows.stale_days(connection)} - done


async def compute_today(context: WorkerContext) -> None:
    """The spend of the running day so far. One worker at a time.

    No sooner than `SHARE` times what it last took: a fleet's day has many rows.
    """
    state, began_s = context.state, time.monotonic()
    if began_s < state.compute_again_s:
        return
    zone, now = daily_spend.zone_of(context.settings), context.now()
    _, today = daily_spend.latest(now, zone)
    try:
        async with _turn(context) as connection:
            await daily_spend.compute_day(
                connection, context.settings, context.book, today, zone=zone, now=now
            )
    except _Busy:
        return
    state.compute_again_s = time.monotonic() + SHARE * (time.monotonic() - began_s)


async def _forget(context: WorkerContext) -> int:
    """Retention: months first, then rows in batches, then excerpts; returns the rows deleted."""
    keep = context.settings.file.storage
    async with _turn(context) as connection:
        if not await rollup_rows.clock_agrees(connection):
            reason = "no observations of the week before the last day"
            log.debug("retention skipped", extra={"reason": reason})
            return 0
    async with _turn(context) as connection:
        await rollup_rows.set_limit(connection, keep.keep_raw)
    async with _turn(context) as connection:
        if dropped := await rollup_rows.drop_months(connection):
            log.info("partitions dropped", extra={"partitions": dropped})

    async with _turn(context) as connection:
        await clock_repair.forget(connection, keep.keep_excerpts)

    async def excerpts(connection: Connection) -> int:
        return await rollup_rows.forget_excerpts(
            connection, good=keep.keep_excerpts, failed=keep.keep_failed_excerpts
        )

    return (
        await _batches(context, rollup_rows.forget_observations)
        + await _batches(context, rollup_rows.forget_rounds)
        + await _batches(context, excerpts)
    )


async def _batches(context: WorkerContext, forget: Callable[[Connection], Awaitable[int]]) -> int:
    total = 0
    while True:
        async with _turn(context) as connection:
            gone = await forget(connection)
        total += gone
        if gone < rollup_rows.BATCH:
            return total
