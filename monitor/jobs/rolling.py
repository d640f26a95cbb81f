"""The rolling job: hours and days computed once they are over, spend reckoned, old rows let go.

Every step is a transaction of its own under one lease, and each leaves reports right: the job
may be killed anywhere, and late rows make it compute their hour and day again.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date, timedelta

from monitor.domain import Target
from monitor.jobs import holding, reckoning
from monitor.jobs.watch import Watch
from monitor.pricing import Projection, projected
from monitor.store import Connection, misdated, reckoned, retention, rollups

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)
STRETCH_S = 1.0  # far below any deadline, and many times what a step takes


class _Busy(Exception):
    """Another worker rolls up."""


async def roll_up(watch: Watch) -> None:
    """Roll up what is over, reckon its spend, forget what is old. One worker at a time."""
    zone = reckoning.zone_of(watch.settings)
    try:
        async with _turn(watch) as connection:
            await rollups.configure(connection, zone.key, await _told(connection, watch))
        async with _turn(watch) as connection:
            late = await rollups.notice_late(connection)
        steps = 0
        while taken := await _steps(watch):
            steps += taken
        await _reckon(watch)
        gone = await _forget(watch)
    except _Busy:
        return
    log.info("rolled up", extra={"late_hours": late, "steps": steps, "forgotten": gone})


@asynccontextmanager
async def _turn(watch: Watch) -> AsyncIterator[Connection]:
    """A transaction that holds the lease to its end, so that no two workers' steps overlap."""
    async with watch.database.begin() as connection:
        held = await holding.hold(watch, connection, "roll_up", keep=LEASE)
        if held is None:
            raise _Busy
        yield connection


async def _steps(watch: Watch) -> int:
    """As many hours and days as fit a short transaction; how many."""
    taken, begun = 0, time.monotonic()
    async with _turn(watch) as connection:
        while time.monotonic() - begun < STRETCH_S and await rollups.advance(connection):
            taken += 1
    return taken


async def _told(connection: Connection, watch: Watch) -> list[rollups.Told]:
    return [await _about(connection, watch, target) for target in watch.settings.targets.values()]


async def _about(connection: Connection, watch: Watch, target: Target) -> rollups.Told:
    """A target as reports must know it, its query priced at what answers have been like."""
    tokens = await rollups.answer_tokens(connection, target.name)
    forecast = projected(target, book=watch.book, at=watch.now(), answer_tokens=tokens)
    costs = {model: f.query.usd for model, f in forecast.items() if isinstance(f, Projection)}
    expected = next(iter(target.expected_models), None)
    fallback = next(iter(target.fallback_models), None)
    return rollups.Told(
        target=target.name,
        every_s=target.every.total_seconds(),
        daily_queries=target.daily_queries,
        expected_model=expected,
        fallback_model=fallback,
        expected_usd=costs.get(expected) if expected else None,
        fallback_usd=costs.get(fallback) if fallback else None,
    )


async def _reckon(watch: Watch) -> None:
    """The spend of every day whose rollups say otherwise, of yesterday, and of today so far.

    All of them, before raw rows go: afterwards nobody could tell any more.
    """
    zone, now = reckoning.zone_of(watch.settings), watch.now()
    waiting, done = set(reckoning.latest(now, zone)), set[date]()
    while waiting:
        for day in sorted(waiting):
            async with _turn(watch) as connection:
                await reckoning.day(connection, watch.settings, watch.book, day, zone=zone, now=now)
        done |= waiting
        async with _turn(watch) as connection:
            waiting = {*await reckoned.stale_days(connection)} - done


async def reckon_today(watch: Watch) -> None:
    """The spend of the running day so far. One worker at a time."""
    zone, now = reckoning.zone_of(watch.settings), watch.now()
    _, today = reckoning.latest(now, zone)
    try:
        async with _turn(watch) as connection:
            await reckoning.day(connection, watch.settings, watch.book, today, zone=zone, now=now)
    except _Busy:
        return


async def _forget(watch: Watch) -> int:
    """Retention: months first, then rows in batches, then excerpts; returns rows forgotten."""
    keep = watch.settings.file.storage
    async with _turn(watch) as connection:
        if not await retention.clock_agrees(connection):
            log.debug("nothing deleted: no observations of the week before the last day")
            return 0
    async with _turn(watch) as connection:
        await retention.set_limit(connection, keep.keep_raw)
    async with _turn(watch) as connection:
        if dropped := await retention.drop_months(connection):
            log.info("months dropped", extra={"partitions": dropped})

    async with _turn(watch) as connection:
        await misdated.forget(connection, keep.keep_excerpts)

    async def excerpts(connection: Connection) -> int:
        return await retention.forget_excerpts(
            connection, good=keep.keep_excerpts, failed=keep.keep_failed_excerpts
        )

    return (
        await _batches(watch, retention.forget_observations)
        + await _batches(watch, retention.forget_rounds)
        + await _batches(watch, excerpts)
    )


async def _batches(watch: Watch, forget: Callable[[Connection], Awaitable[int]]) -> int:
    total = 0
    while True:
        async with _turn(watch) as connection:
            gone = await forget(connection)
        total += gone
        if gone < retention.BATCH:
            return total
