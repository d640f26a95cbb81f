"""What takes long in a large fleet: read before an evaluation, in a transaction of its own.

Windows that are not in memory, as after a start, and the sums of the days' spend. So an evaluation
finds nearly everything in memory, and is short.
Source: docs/adr/0025-incremental-evaluation.md
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from monitor.domain import Spend
from monitor.rules import is_literal
from monitor.storage import Connection, limit_statements
from monitor.worker import daily_spend, lease_keeper
from monitor.worker.context import WorkerContext
from monitor.worker.target_verdicts import FEW, isolated

WINDOWS_A_SECOND = 190  # the evaluation judges all that are read before it
DEADLINE_S = 30


class ReadAhead(NamedTuple):
    """What an evaluation finds read. `overall`: whether to judge system-wide subjects.

    `spend`: yesterday and today; None: it is still being summed.
    """

    overall: bool
    spend: Sequence[Spend] | None


async def read_ahead(context: WorkerContext, *, reading_s: float) -> ReadAhead:
    """Read what takes long, if this worker evaluates. For a large fleet.

    `reading_s`: how long windows may be read. Raises DatabaseUnavailable.
    """
    memory, targets = context.state.windows, context.settings.targets
    if not lease_keeper.held(context, "evaluate"):
        return ReadAhead(overall=False, spend=None)
    overall, missing = memory.overall_due(len(targets)), memory.missing(targets) > FEW
    now, spend = context.now(), None
    if not (overall or missing):
        return ReadAhead(overall=False, spend=None)
    begin = context.database.begin(deadline_s=DEADLINE_S)
    with context.metrics.read_ahead():
        async with begin as connection:
            await limit_statements(connection, lock_s=1, statement_s=5)
            if missing:
                await _windows(connection, context, now, reading_s)
            if overall:
                zone = daily_spend.zone_of(context.settings)
                days = partial(daily_spend.running_days, connection, context, zone, now)
                spend = await isolated(connection, "spend", days)
    return ReadAhead(overall, spend)


async def _windows(
    connection: Connection, context: WorkerContext, now: datetime, reading_s: float
) -> None:
    """Read windows that are missing."""
    memory, targets = context.state.windows, context.settings.targets
    follow = partial(memory.follow, connection, targets, now)
    await isolated(connection, "new observations", follow)
    literal, began_s = any(map(is_literal, context.settings.rules.values())), time.monotonic()
    for nth, name in enumerate(memory.to_read(targets)):
        if nth >= WINDOWS_A_SECOND * reading_s or time.monotonic() - began_s > reading_s:
            break
        read = partial(memory.windows, connection, targets[name], literal=literal, now=now)
        await isolated(connection, f"target {name}", read)
        await asyncio.sleep(0)  # let probes be read
