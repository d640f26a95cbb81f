"""A stepped clock: run times of the old one mean nothing, so every job is armed anew."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from apscheduler.job import Job

from monitor.storage import Database
from monitor.worker import scheduler
from monitor.worker.scheduler import Worker
from monitor.worker.skipping_trigger import SkippingTrigger
from tests.contract.open_context import open_context, settings

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0, 2.5])
async def test_after_a_step_every_job_is_due_within_its_own_interval(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        one = Worker(context)
        life = asyncio.create_task(one.live())
        await until(lambda: bool(one._scheduler.get_jobs()))
        for job in one._scheduler.get_jobs():  # as they stand once the clock was set back
            job.modify(next_run_time=datetime.now(UTC) + HOUR)
        stepped = SimpleNamespace(time=lambda: time.time() + step_s, monotonic=time.monotonic)
        monkeypatch.setattr(scheduler, "time", stepped)
        one.rounds.schedule.clear()
        await until(lambda: all(due_in(job) <= job.trigger.interval for job in jobs(one)))
        await until(lambda: one.rounds.schedule.next_claim is not None)
        context.state.leaving.set()
        await life


def test_a_clock_that_jumps_ahead_by_years_makes_one_run_due() -> None:
    every = timedelta(seconds=2)
    first = datetime(2026, 11, 23, 12, tzinfo=UTC)
    trigger = SkippingTrigger(seconds=2, start_date=first, timezone=UTC)
    for jump in (timedelta(0), every / 2, every, 2.5 * every, 730 * 24 * HOUR):
        now, due, following = first + jump, [], first
        while following <= now and len(due) < 9:
            due.append(following)
            following = trigger.get_next_fire_time(following, now)
        assert len(due) <= 3
        assert due[-1] == first + jump // every * every
        assert following == due[-1] + every


async def test_a_clock_that_keeps_time_moves_nothing(database: Database, tmp_path: Path) -> None:
    async with open_context(settings(tmp_path), database) as context:
        one = Worker(context)
        life = asyncio.create_task(one.live())
        await until(lambda: bool(one._scheduler.get_jobs()))
        one._scheduler.get_job("keep").modify(next_run_time=datetime.now(UTC) + HOUR)
        await asyncio.sleep(2.5)
        assert due_in(one._scheduler.get_job("keep")) > HOUR - timedelta(minutes=1)
        context.state.leaving.set()
        await life


def jobs(one: Worker) -> list[Job]:
    return list(one._scheduler.get_jobs())


def due_in(job: Job) -> timedelta:
    return job.next_run_time - datetime.now(UTC)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - nobody tells when jobs are armed
            await asyncio.sleep(0.05)
