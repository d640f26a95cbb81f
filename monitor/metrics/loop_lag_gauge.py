"""How late our own loop runs: a sleep of one second, and by how much it overslept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

PERIOD_S = 1.0


@asynccontextmanager
async def measure_lag(tell: Callable[[float], None]) -> AsyncIterator[None]:
    """Tell the lateness of every second, in seconds, while the body runs."""
    feeling = asyncio.create_task(_measure_lag(tell))
    try:
        yield
    finally:
        feeling.cancel()
        with suppress(asyncio.CancelledError):
            await feeling


async def _measure_lag(tell: Callable[[float], None]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PERIOD_S
        await asyncio.sleep(PERIOD_S)
        tell(max(loop.time() - due, 0.0))
