"""A failover behind one address: what is connected to the former primary is not used again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from monitor.embedded_postgres import running
from monitor.storage import Database, DatabaseUnavailable, engine
from monitor.storage.schema import migrate
from monitor.worker import heartbeat, probe_round
from tests.contract.open_context import open_context, settings
from tests.e2e.worker_process import rows
from tests.example_data import observation
from tests.raw_server import hang_up, serving
from tests.unit.test_metrics import value

STORED = "SELECT count(*) FROM observations"


class Forwarder:
    """Passes each new connection on to the server it points at; what is open stays open."""

    def __init__(self, url: str) -> None:
        self.point_at(url)
        self.open: set[asyncio.StreamWriter] = set()

    def point_at(self, url: str) -> None:
        at = make_url(url)
        self._path = f"{at.query['host']}/.s.PGSQL.{at.query.get('port') or at.port or 5432}"

    def cut(self) -> None:
        """Break what is open, as a primary that goes away does."""
        for writer in list(self.open):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._path)
        self.open |= {writer, far_writer}
        try:
            await asyncio.gather(self.pump(reader, far_writer), self.pump(far_reader, writer))
        finally:
            self.open -= {writer, far_writer}
            await hang_up([far_writer])

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


class FreezingForwarder(Forwarder):
    """Passes nothing on unless `flows` is set, like a server whose processes have stopped."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.flows = asyncio.Event()
        self.flows.set()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self.flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def forwarding(
    url: str, kind: type[Forwarder] = Forwarder
) -> AsyncIterator[tuple[Forwarder, str]]:
    forwarder = kind(url)
    async with serving(forwarder.serve) as port:
        address = make_url(url).set(host="127.0.0.1", port=port, query={})
        yield forwarder, address.render_as_string(hide_password=False)


def standby(url: str, name: str) -> str:
    """The address of a migrated database on that server that takes no writes."""
    plain = make_url(url).set(drivername="postgresql")
    address = make_url(url).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        migrate(address)
        admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    return address


async def test_after_a_failover_and_back_it_writes_at_once(
    database_url: str, tmp_path: Path
) -> None:
    name = make_url(database_url).database
    with running(tmp_path / "standby") as second:
        other = standby(second.url, str(name))
        async with forwarding(database_url) as (forwarder, url):
            database = Database(url, writes=True)
            async with open_context(settings(tmp_path), database) as context:
                await probe_round.keep(context, [observation(origin="manual")])
                await heartbeat.update_metrics(context)
                assert value(context.metrics, "monitor_database_up") == 1
                forwarder.point_at(other)
                forwarder.cut()
                await probe_round.keep(context, [observation(origin="manual") for _ in range(3)])
                assert len(context.state.spool) == 3
                await heartbeat.update_metrics(context)
                assert value(context.metrics, "monitor_database_up") == 0
                forwarder.point_at(database_url)  # what is connected to the other stays so
                await probe_round.keep(context, [])
                assert len(context.state.spool) == 0
                await heartbeat.update_metrics(context)
                assert value(context.metrics, "monitor_database_up") == 1
            await database.close()
    assert rows(database_url, STORED) == [(4,)]


async def test_a_server_that_shuts_down_and_comes_back_is_used_at_once(
    database_url: str,
) -> None:
    async with forwarding(database_url) as (forwarder, url):
        database = Database(url, writes=True)
        async with database.begin():
            pass
        forwarder.point_at("postgresql://monitor@/monitor?host=/nonexistent")
        forwarder.cut()
        with pytest.raises(DatabaseUnavailable):
            async with database.begin():
                pass
        forwarder.point_at(database_url)
        async with database.begin():
            pass
        await database.close()


async def test_a_round_does_not_wait_for_a_write_that_a_frozen_server_holds(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SILENT_S", 0.2)
    async with forwarding(database_url, FreezingForwarder) as (forwarder, url):
        assert isinstance(forwarder, FreezingForwarder)
        database = Database(url, writes=True, deadline_s=600)
        async with open_context(settings(tmp_path), database) as context, asyncio.timeout(60):
            await probe_round.keep(context, [observation(origin="manual")])
            forwarder.flows.clear()
            for _ in range(2):  # with one transaction on its way, and with another behind it
                await probe_round.keep(context, [observation(origin="manual")])
            assert len(context.state.spool) == 2
            forwarder.flows.set()
            await probe_round.keep(context, [])
            assert len(context.state.spool) == 0
        await database.close()
    assert rows(database_url, STORED) == [(3,)]
