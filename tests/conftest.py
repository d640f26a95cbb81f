"""A real Postgres for the tests that need one: embedded, migrated once, cloned per test."""

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import hypothesis
import pytest
from sqlalchemy import Engine, create_engine, text

from monitor.embedded_postgres import running
from monitor.storage import Database
from monitor.storage.engine import address
from monitor.storage.schema import migrate
from tests.ram_disk import database_directory

_numbers = count(1)

# The same examples every time, so that a run says something about the change at hand.
# New ones are looked for with HYPOTHESIS_PROFILE=explore.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Without byte code each of some hundred processes compiles a thousand modules, for two seconds.
# Where Python shall leave none beside the sources, keep it in our environment.
if sys.dont_write_bytecode and sys.prefix != sys.base_prefix:
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(Path(sys.prefix, "bytecode"))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

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


def pytest_collection_finish() -> None:
    """Exempt the tests themselves from garbage collection, which takes 0.2 s with them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Address of a server whose databases the tests may make and drop."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield address(given)
        return
    with database_directory() as home, running(home) as server:
        yield server.url


@pytest.fixture(scope="session")
def admin(server_url: str) -> Iterator[Engine]:
    """Connections to the server that create and drop databases."""
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
    if "TEST_DATABASE_URL" not in os.environ:  # no machine crashes within a test
        settings = [f"ALTER SYSTEM SET {name} = off" for name in ("fsync", "full_page_writes")]
        _execute(engine, *settings, "SELECT pg_reload_conf()")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def template(admin: Engine) -> Iterator[str]:
    """Name of a migrated database that is cloned for each test."""
    name = f"template_{os.getpid()}"
    _execute(admin, f'CREATE DATABASE "{name}"')
    migrate(_named(admin, name))
    yield name
    _execute(admin, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def empty_url(admin: Engine) -> Iterator[str]:
    """A database of one's own in which nobody ever migrated."""
    yield from _database(admin, "template0")


@pytest.fixture
def database_url(admin: Engine, template: str) -> Iterator[str]:
    """A migrated database of one's own."""
    yield from _database(admin, template)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


def _database(admin: Engine, template: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    # Copying files takes half of the time of logging them, where nothing waits for the disk.
    strategy = "wal_log" if os.environ.get("TEST_DATABASE_URL") else "file_copy"
    _execute(admin, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY {strategy}')
    yield _named(admin, name)
    _execute(admin, f'DROP DATABASE "{name}" WITH (FORCE)')


def _named(admin: Engine, name: str) -> str:
    return admin.url.set(database=name).render_as_string(hide_password=False)


def _execute(admin: Engine, *statements: str) -> None:
    with admin.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
