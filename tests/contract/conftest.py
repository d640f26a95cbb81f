"""The real wire, an authority for its certificates, and an end to what a module leaves open."""

import gc
from collections.abc import AsyncIterator, Iterator

import pytest

from monitor.probing.client import ProbeClient
from tests.certificates import Authority, authority


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """Close what a module left open, so that its warning fails a test of that module."""
    yield
    gc.collect()


@pytest.fixture
async def wire() -> AsyncIterator[ProbeClient]:
    async with ProbeClient("test") as wire:
        yield wire


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))
