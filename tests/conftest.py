"""A real Postgres for the tests that need one: embedded, migrated once, cloned per test."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import hypothesis
import pytest
from sqlalchemy import create_engine, make_url, text

from monitor.embedded_postgres import running
from monitor.storage import Database
from monitor.storage.engine import address
from monitor.storage.schema import migrate

_numbers = count(1)

# The same examples every time, so that a run says something about the change at hand.
# New ones are looked for with HYPOTHESIS_PROFILE=explore.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

os.environ.pop("RAG_MONITOR_COMMAND", None)  # hints are the same, however the tests were started

# A shell that starts us in the background lets us ignore Ctrl-C, and so would our children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest tests first: two workers then finish together."""
    items.sort(key=lambda item: "tests/e2e" not in item.nodeid)
    for item in items:
        if hypothesis.is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("search")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server whose databases the tests may make and drop."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield address(given)
        return
    home: Path = tmp_path_factory.mktemp("postgres")
    with running(home) as server:
        for setting in ("fsync", "full_page_writes"):  # no machine crashes within a test
            _admin(server.url, f"ALTER SYSTEM SET {setting} = off")
        _admin(server.url, "SELECT pg_reload_conf()")
        yield server.url


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """Name of a migrated database that is cloned for each test."""
    name = f"template_{os.getpid()}"
    _admin(server_url, f'CREATE DATABASE "{name}"')
    migrate(_named(server_url, name))
    yield name
    _admin(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """A database of one's own in which nobody ever migrated."""
    yield from _database(server_url, "template0")


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A migrated database of one's own."""
    yield from _database(server_url, template)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


def _database(server_url: str, template: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    # Copying files takes half of the time of logging them, where nothing waits for the disk.
    strategy = "wal_log" if os.environ.get("TEST_DATABASE_URL") else "file_copy"
    _admin(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY {strategy}')
    yield _named(server_url, name)
    _admin(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def _named(server_url: str, name: str) -> str:
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def _admin(server_url: str, statement: str) -> None:
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()
