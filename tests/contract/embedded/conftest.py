"""Homes for embedded servers. They are large, and gone after the test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.embedded_postgres import running
from tests.contract.embedded.owners import query
from tests.ram_disk import database_directory


@pytest.fixture
def empty() -> Iterator[Path]:
    """A home that does not exist yet, in a directory that is ours alone."""
    with database_directory() as place:
        yield place / "home"


@pytest.fixture(scope="session")
def seed() -> Iterator[Path]:
    with database_directory() as place:
        made = place / "seed"
        with running(made) as server:
            query(server.url, "CREATE TABLE kept AS SELECT 42 AS n")
        yield made


@pytest.fixture
def home(seed: Path, empty: Path) -> Iterator[Path]:
    """A home with data: table `kept` holds 42. All tests share it, and leave it so."""
    seed.rename(empty)
    yield empty
    empty.rename(seed)


@pytest.fixture
def copy(seed: Path, empty: Path) -> Path:
    """The same, to be spoiled."""
    shutil.copytree(seed, empty)
    return empty
