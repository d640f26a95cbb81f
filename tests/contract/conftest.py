"""The real wire, and an authority for its certificates."""

from collections.abc import AsyncIterator

import pytest

from monitor.wire import Wire
from tests.certificates import Authority, authority


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire("test") as wire:
        yield wire


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))
