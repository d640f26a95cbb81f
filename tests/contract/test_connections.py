"""Server connections: never more than the pool has, none that is unfit is kept."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import Engine, make_url, text

from monitor.storage import Database, DatabaseBusy, DatabaseUnavailable, engine, short_waits
from monitor.storage.engine import POOL_SIZE
from tests.contract.test_failover import Forwarder, forwarding
from tests.contract.test_outage import Doors
from tests.e2e.worker_process import rows
from tests.raw_server import serving

CANCEL_CODE = (80877102).to_bytes(4)  # of the protocol's CancelRequest
SLOW = text("SELECT pg_sleep(30)")
ONE = text("SELECT 1")


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What a round of probes does: unreachable cycles stay where they are."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def server_connections(url: str) -> int:
    """How many sessions our program has there; this one is psql's, so to speak."""
    [(count,)] = rows(url, "SELECT count(*) FROM pg_stat_activity WHERE datname = "
                           "current_database() AND application_name = 'rag-monitor'")  # fmt: skip
    return int(count)


async def most_connections(url: str, work: asyncio.Future[object]) -> int:
    """The most there were at once until the work was over."""
    most = 0
    while not work.done():
        most = max(most, await asyncio.to_thread(server_connections, url))
        await asyncio.sleep(0.02)
    return most


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("cancelled_after_s", [0.0, 0.001, 0.01, 0.3])
async def test_a_deadline_that_cancels_never_leaks_a_connection(
    database_url: str, cancelled_after_s: float
) -> None:
    database = Database(database_url, deadline_s=20, rest_s=0)

    async def cancelled() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(cancelled_after_s), database.begin() as connection:
                await connection.execute(SLOW)

    async def all_of_them() -> None:
        for _ in range(6):
            await asyncio.gather(*(cancelled() for _ in range(10)))

    work = asyncio.ensure_future(all_of_them())
    assert await most_connections(database_url, work) <= POOL_SIZE
    await work
    async with database.begin() as connection:
        assert await connection.scalar(ONE) == 1
    assert await asyncio.to_thread(server_connections, database_url) <= POOL_SIZE
    await database.close()


async def test_a_statement_that_arrives_after_its_cancellation_is_cancelled_again(
    database_url: str,
) -> None:
    """A server ignores a request to cancel while no statement runs."""
    cancelled = asyncio.Event()

    class Late(Forwarder):
        async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while data := await reader.read(65536):
                    if CANCEL_CODE in data[:12]:
                        cancelled.set()
                    if b"pg_sleep" in data:
                        await cancelled.wait()
                        await asyncio.sleep(0.2)  # the server has seen the request to cancel
                    writer.write(data)
                    await writer.drain()
            writer.close()

    async with forwarding(database_url, Late) as (_, url):
        database = Database(url, deadline_s=60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), database.begin() as connection:
                await connection.execute(SLOW)
        assert cancelled.is_set()
        async with database.begin() as connection:
            assert await connection.scalar(ONE) == 1
            assert await asyncio.to_thread(server_connections, database_url) == 1
        await database.close()


@pytest.mark.usefixtures("no_collector")
async def test_our_own_deadline_leaks_none_either(database_url: str) -> None:
    database = Database(database_url, deadline_s=0.3, rest_s=0)

    async def too_slow() -> None:
        with pytest.raises(DatabaseUnavailable):
            async with database.begin() as connection:
                await connection.execute(SLOW)

    work = asyncio.gather(*(too_slow() for _ in range(12)))
    assert await most_connections(database_url, work) <= POOL_SIZE
    await work
    await database.close()


async def test_a_server_with_room_for_one_connection_serves_every_transaction(
    database_url: str, admin: Engine
) -> None:
    role = f"narrow_{make_url(database_url).database}"
    with admin.connect() as owner:
        owner.execute(text(f'CREATE ROLE "{role}" LOGIN CONNECTION LIMIT 1'))
    database = Database(make_url(database_url).set(username=role).render_as_string(), deadline_s=60)

    async def one(number: int) -> int:
        async with database.begin() as connection:
            await connection.execute(text("SELECT pg_sleep(0.05)"))
            return int((await connection.execute(text(f"SELECT {number}"))).scalar_one())

    try:
        assert await asyncio.gather(*map(one, range(20))) == list(range(20))
    finally:
        await database.close()
        with admin.connect() as owner:
            owner.execute(text(f'DROP ROLE "{role}"'))


async def test_waiting_for_a_free_connection_is_not_an_unavailable_database(
    database_url: str,
) -> None:
    database = Database(database_url, deadline_s=10)
    free = asyncio.Event()
    served = []

    async def hold() -> None:
        async with database.begin() as connection:
            await connection.execute(ONE)
            await free.wait()

    async def one(number: int) -> None:
        async with database.begin() as connection:
            served.append(await connection.scalar(text(f"SELECT {number}")))

    holders = [asyncio.create_task(hold()) for _ in range(POOL_SIZE)]
    await asyncio.sleep(0.5)
    database.deadline_s = 0.2  # of those who come later; they wait longer than that
    waiting = [asyncio.create_task(one(number)) for number in range(20)]
    await asyncio.sleep(0.5)
    assert not served
    database.deadline_s = 20
    free.set()
    await asyncio.gather(*holders, *waiting)
    assert sorted(served) == list(range(20))
    await database.close()


async def test_what_can_do_without_waits_seconds_for_a_server_that_answers_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SEAT_S", 0.3)
    database = Database(database_url, deadline_s=600)
    held, again, answered, free = (asyncio.Event() for _ in range(4))

    async def hold() -> None:
        async with database.begin() as connection:
            await connection.execute(ONE)
            if database._pool._seats.locked():
                held.set()
            await again.wait()
            await connection.execute(ONE)
            answered.set()
            await free.wait()

    async def waits() -> object:
        with short_waits():
            async with database.begin() as connection:
                return await connection.scalar(ONE)

    holders = [asyncio.create_task(hold()) for _ in range(POOL_SIZE)]
    async with asyncio.timeout(60):
        await held.wait()
        with pytest.raises(DatabaseUnavailable, match="no statement was answered for"):
            await waits()
        monkeypatch.setattr(engine, "SEAT_S", 600)
        with pytest.raises(DatabaseUnavailable):  # at once: nothing was answered since
            await waits()
        again.set()
        await answered.wait()
        waiting = asyncio.create_task(waits())  # it answers again: to wait is no fault
        await asyncio.sleep(0.2)
        assert not waiting.done()
        free.set()
        assert await waiting == 1
        await asyncio.gather(*holders)
    await database.close()


async def test_a_connection_that_became_read_only_is_discarded_with_its_pool(
    database_url: str,
) -> None:
    """As after a failover: what is connected stays read-only, a new connection is not."""
    doors = Doors(database_url)
    await asyncio.to_thread(doors.read_only, True)
    database = Database(database_url)

    async def write() -> None:
        async with database.begin() as connection:
            await connection.execute(text("UPDATE channels SET paused_until = NULL"))

    refused = await asyncio.gather(*(write() for _ in range(6)), return_exceptions=True)
    assert [type(error) for error in refused] == [DatabaseUnavailable] * 6
    await asyncio.to_thread(doors.default_read_only, False)  # those connected are not told
    await write()
    await database.close()


async def test_a_database_for_writing_is_unavailable_while_it_is_read_only(
    database_url: str,
) -> None:
    doors = Doors(database_url)
    database, reader = Database(database_url, writes=True), Database(database_url)
    await asyncio.to_thread(doors.read_only, True)
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        async with database.begin():
            pass
    async with reader.begin() as connection:
        assert await connection.scalar(ONE) == 1
    await asyncio.to_thread(doors.default_read_only, False)
    async with database.begin() as connection:
        assert await connection.scalar(ONE) == 1
    await database.close()
    await reader.close()


async def test_connections_the_server_closed_are_replaced_without_a_word(
    database_url: str,
) -> None:
    database = Database(database_url)

    async def use() -> None:
        async with database.begin() as connection:
            await connection.execute(text("SELECT pg_sleep(0.2)"))

    await asyncio.gather(*(use() for _ in range(POOL_SIZE)))
    await asyncio.to_thread(
        rows, database_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
        "datname = current_database() AND pid <> pg_backend_pid()"
    )  # fmt: skip
    await asyncio.gather(*(use() for _ in range(6)))
    async with database.begin() as connection:
        assert await connection.scalar(ONE) == 1
    await database.close()


async def test_a_lock_somebody_holds_is_busy_and_lets_no_one_rest(database_url: str) -> None:
    one, other = Database(database_url), Database(database_url)

    async def wait_for_it() -> None:
        async with other.begin() as waiting:
            await waiting.execute(text("SET LOCAL lock_timeout = '1500ms'"))
            await waiting.execute(text("UPDATE channels SET paused_until = NULL"))

    async with one.begin() as connection:
        await connection.execute(text("LOCK TABLE channels"))
        with pytest.raises(DatabaseBusy, match="lock timeout"):
            await wait_for_it()
        async with other.begin() as connection:
            assert await connection.scalar(ONE) == 1
    await one.close()
    await other.close()


async def test_too_much_work_for_a_deadline_is_busy_while_the_server_answers(
    database_url: str,
) -> None:
    """What can do without the database does not wait for a slow one, however."""
    database = Database(database_url, deadline_s=0.5)

    async def work() -> None:
        async with database.begin() as connection:
            while True:
                await connection.execute(ONE)

    with pytest.raises(DatabaseBusy, match=r"not finished within 0\.5 s"):
        await work()
    with short_waits(), pytest.raises(DatabaseUnavailable) as slow:
        await work()
    assert not isinstance(slow.value, DatabaseBusy)
    async with database.begin() as connection:
        assert await connection.scalar(ONE) == 1, "it takes no rest"
    await database.close()


async def test_a_transaction_that_does_nothing_is_ended_and_its_locks_are_free(
    database_url: str,
) -> None:
    one, other = Database(database_url, deadline_s=60), Database(database_url, deadline_s=60)

    async def do_nothing_for_long() -> None:
        async with one.begin() as connection:
            await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '1s'"))
            await connection.execute(text("LOCK TABLE channels"))
            async with other.begin() as waiting:
                await waiting.execute(text("UPDATE channels SET paused_until = NULL"))
            await connection.execute(ONE)

    with pytest.raises(DatabaseUnavailable):
        await do_nothing_for_long()
    async with one.begin() as connection:
        assert await connection.scalar(ONE) == 1
    await one.close()
    await other.close()


async def test_a_server_that_takes_connections_and_says_nothing_costs_no_socket() -> None:
    """Each attempt ends by its timeout, and closes what it opened."""
    callers: set[asyncio.StreamWriter] = set()
    most = 0

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        callers.add(writer)
        most = max(most, len(callers))
        while await reader.read(1000):
            pass
        callers.discard(writer)

    async def nobody(database: Database) -> None:
        with pytest.raises(DatabaseUnavailable):
            async with database.begin():
                pass

    async with serving(hang) as port:
        url = f"postgresql://monitor@127.0.0.1:{port}/monitor"
        database = Database(url, deadline_s=1, rest_s=0)
        gc.disable()
        try:
            await asyncio.gather(*(nobody(database) for _ in range(6)))
            for _ in range(1200):
                if not callers:
                    break
                await asyncio.sleep(0.05)
        finally:
            gc.enable()
        assert not callers
        assert most <= POOL_SIZE
        assert not database._pool.lent, "else a full server would be waited for in vain"
        await database.close()


def test_an_address_may_choose_its_schemas() -> None:
    from monitor.storage.pool import search_path

    base = make_url("postgresql://u@h/d")
    assert search_path(str(base)) == '"$user", public'
    for options, found in [
        ("-csearch_path=mon", "mon"),
        ("-c search_path=mon,public", "mon,public"),
        ("-c statement_timeout=5s -c search_path=mon", "mon"),
        ("--search-path=mon", "mon"),
        (r"-csearch_path=mon,\ public", "mon, public"),
        ("-c geqo=off", '"$user", public'),
    ]:
        url = base.update_query_dict({"options": options})
        assert search_path(url.render_as_string(hide_password=False)) == found
