"""A database that is away, refuses a row, or comes back: nothing is lost, somebody hears of it."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from monitor.notifications import ConsoleNotifier
from monitor.storage import Database
from monitor.worker import outage
from monitor.worker.context import WorkerContext
from tests.contract.open_context import open_context, settings
from tests.e2e.worker_process import rows
from tests.example_data import observation

STORED = "SELECT count(*) FROM observations"


async def told(screen: io.StringIO, text: str) -> str:
    """The first line printed that holds these words."""
    for _ in range(1200):
        for line in screen.getvalue().splitlines():
            if text in line:
                return line
        await asyncio.sleep(0.05)
    raise AssertionError(f"{text!r} was not told:\n{screen.getvalue()}")


@asynccontextmanager
async def minded(context: WorkerContext, *, grace: timedelta) -> AsyncIterator[None]:
    job = asyncio.create_task(
        outage.watch_database(context, grace=grace, look=timedelta(milliseconds=50))
    )
    yield
    job.cancel()
    with suppress(asyncio.CancelledError):
        await job


class Doors:
    """Closes a database to everybody, and opens it again."""

    def __init__(self, url: str) -> None:
        self._name = make_url(url).database
        plain = make_url(url).set(database="postgres", drivername="postgresql")
        self._owner = plain.render_as_string(hide_password=False)

    def close(self) -> None:
        self._say(f'ALTER DATABASE "{self._name}" ALLOW_CONNECTIONS false')
        self._say("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                  f"WHERE datname = '{self._name}'")  # fmt: skip

    def open(self) -> None:
        self._say(f'ALTER DATABASE "{self._name}" ALLOW_CONNECTIONS true')

    def default_read_only(self, on: bool) -> None:
        """For those who connect from now on."""
        self._say(f'ALTER DATABASE "{self._name}" SET default_transaction_read_only = {on}')

    def read_only(self, on: bool) -> None:
        self.default_read_only(on)
        self._say("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                  f"WHERE datname = '{self._name}'")  # fmt: skip

    def _say(self, statement: str) -> None:
        with psycopg.connect(self._owner, autocommit=True) as connection:
            connection.execute(statement)


async def test_an_outage_is_reported_once_from_memory_and_its_end_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    doors, screen = Doors(database_url), io.StringIO()
    async with (
        open_context(settings(tmp_path), database, ConsoleNotifier(screen)) as context,
        minded(context, grace=timedelta(milliseconds=300)),
    ):
        await asyncio.to_thread(doors.close)
        await outage.keep(context, [observation()])
        line = await told(screen, "has been unavailable for")
        await asyncio.sleep(0.3)
        assert line.startswith("NOTICE storage · all: The database has been unavailable for ")
        await asyncio.to_thread(doors.open)
        await told(screen, "NOTICE storage · all: The database is back after ")
        await asyncio.sleep(0.2)
    assert screen.getvalue().count("NOTICE storage") == 2
    assert rows(database_url, STORED) == [(1,)]


async def test_a_short_outage_is_nobodys_business(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    doors, screen = Doors(database_url), io.StringIO()
    async with (
        open_context(settings(tmp_path), database, ConsoleNotifier(screen)) as context,
        minded(context, grace=timedelta(minutes=3)),
    ):
        await asyncio.to_thread(doors.close)
        await outage.keep(context, [observation()])
        await asyncio.sleep(0.2)
        await asyncio.to_thread(doors.open)
        for _ in range(1200):
            if not len(context.state.spool):
                break
            await asyncio.sleep(0.05)
    assert screen.getvalue() == ""
    assert rows(database_url, STORED) == [(1,)]


async def test_a_server_that_answers_but_takes_no_rows_is_away_too(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    doors, screen = Doors(database_url), io.StringIO()
    async with (
        open_context(settings(tmp_path), database, ConsoleNotifier(screen)) as context,
        minded(context, grace=timedelta(milliseconds=300)),
    ):
        await asyncio.to_thread(doors.read_only, True)
        await outage.keep(context, [observation()])
        await told(screen, "The database has been unavailable for ")
        await asyncio.to_thread(doors.read_only, False)
        await told(screen, "The database is back after ")
    assert rows(database_url, STORED) == [(1,)]


async def test_a_row_the_database_refuses_costs_itself_alone(
    database: Database, database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = [observation(origin="manual") for _ in range(7)]
    bad = observation(origin="manual", cost_usd=Decimal("NaN"))
    async with open_context(settings(tmp_path), database) as context:
        await outage.keep(context, [*good[:3], bad, *good[3:]])
        assert len(context.state.spool) == 0
    stored = rows(database_url, "SELECT id FROM observations")
    assert {row[0] for row in stored} == {one.id for one in good}
    refused = [record for record in caplog.records if record.message == "observation rejected"]
    assert [(record.id, record.reason) for record in refused] == [
        (bad.id, "ck_observations_cost_usd")
    ]


async def test_rounds_that_end_together_store_each_row_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    new = [observation(origin="manual") for _ in range(40)]
    async with open_context(settings(tmp_path), database) as context:
        await asyncio.gather(*(outage.keep(context, [one]) for one in new))
        assert len(context.state.spool) == 0
    assert rows(database_url, STORED) == [(40,)]
