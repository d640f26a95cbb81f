"""Behind a transaction pooler, as hosts offer it by default: nothing of ours needs a session."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from monitor.storage import Database, observations, outbox
from monitor.storage.report_queries import read_only_rows
from monitor.storage.schema import REVISION, migrate, revision
from tests.example_data import observation
from tests.pooler import pooled

SET_HERE = "SELECT current_setting('{}')"


async def test_an_empty_database_is_migrated_used_and_asked(empty_url: str) -> None:
    async with pooled(empty_url) as url:
        await asyncio.to_thread(migrate, url)
        database = Database(url)
        assert await revision(database) == REVISION
        for _ in range(3):
            async with database.begin() as connection:
                assert await observations.add(connection, [observation(origin="manual")]) == 1
                assert not await outbox.lease(connection, "console")
        await database.close()
        found = await asyncio.to_thread(read_only_rows, url, "SELECT count(*) FROM observations")
        assert found == [(3,)]


@pytest.mark.parametrize(
    ("name", "value"), [("statement_timeout", "10s"), ("lock_timeout", "5s"), ("timezone", "UTC")]
)
async def test_each_transaction_brings_its_own_deadlines_and_zone(
    empty_url: str, name: str, value: str
) -> None:
    async with pooled(empty_url) as url:
        database = Database(url)
        for _ in range(2):
            async with database.begin() as connection:
                assert await connection.scalar(text(SET_HERE.format(name))) == value
        await database.close()


async def test_the_pooler_is_strict(empty_url: str) -> None:
    async with pooled(empty_url) as url:
        options = create_async_engine(url, connect_args={"options": "-c lock_timeout=5s"})
        with pytest.raises(OperationalError, match="unsupported startup parameter: options"):
            await options.connect()
        await options.dispose()
        plain = create_async_engine(url, isolation_level="AUTOCOMMIT")
        async with plain.connect() as connection:
            await connection.execute(text("SET lock_timeout = '7s'"))
            assert await connection.scalar(text("SHOW lock_timeout")) == "0"
        await plain.dispose()
