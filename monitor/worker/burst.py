"""A burst: a few more probes while a change of model is suspected."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from monitor.domain import Query, Target
from monitor.identity.fingerprint.tracker import BURST
from monitor.storage import Database, DatabaseUnavailable, fingerprints

PAUSE = timedelta(minutes=1)  # between the probes of a burst


async def burst(
    database: Database,
    target: Target,
    ask: Callable[[Query], Awaitable[bool]],
    *,
    pause: timedelta = PAUSE,
) -> int:
    """Up to four probes, a minute apart, while something is suspected; returns how many.

    `ask` sends one probe of origin "burst", stores it, and returns False if no further one may be
    sent: the budget is used up, or the worker stops. Targets probed every minute or more often need
    none.
    """
    if target.every <= pause:
        return 0
    requested = 0
    queries = target.queries
    while requested < BURST:
        try:
            async with database.begin() as connection:
                state = await fingerprints.state(connection, target.name)
        except DatabaseUnavailable:
            break
        if state is None or state.track is None or not state.track.wants_more:
            break
        await asyncio.sleep(pause.total_seconds())
        if not await ask(queries[requested % len(queries)]):
            break
        requested += 1
    return requested
