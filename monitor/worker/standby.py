"""The standby: of the workers that do not evaluate, one is ready to do so at once.

It keeps windows and sums in memory, as the worker that evaluates does. When that one is gone, the
standby judges every target in its first evaluation. Other workers keep nothing, and evaluate only
if there is no standby. Source: docs/adr/0025-incremental-evaluation.md
"""

import time
from datetime import datetime, timedelta
from functools import partial

from monitor.rules import is_literal
from monitor.storage import Connection, leases
from monitor.worker import daily_spend, lease_keeper
from monitor.worker.context import WorkerContext
from monitor.worker.target_verdicts import isolated

STANDBY = "evaluate standby"
KEEP = timedelta(seconds=20)  # one that fails leaves its place to another
READING_S = 0.2  # of each second, until everything is read


async def comes_first(connection: Connection, context: WorkerContext) -> bool:
    """Whether no other worker stands by to evaluate."""
    return await leases.available(connection, STANDBY, holder=context.worker) is not None


async def leave(connection: Connection, context: WorkerContext) -> None:
    """This worker evaluates: another one may stand by."""
    if lease_keeper.held(context, STANDBY):
        lease_keeper.forget(context, STANDBY)
        await leases.release(connection, [STANDBY], holder=context.worker)


async def stand_by(connection: Connection, context: WorkerContext, now: datetime) -> None:
    """Keep up with what is stored, and read what is missing, unless another worker does."""
    memory, targets = context.state.windows, context.settings.targets
    if await lease_keeper.hold(context, connection, STANDBY, keep=KEEP) is None:
        memory.clear()
        context.state.spend.clear()
        return
    follow = partial(memory.follow, connection, targets, now)
    await isolated(connection, "new observations", follow)
    advance = partial(
        context.state.spend.advance,
        connection,
        daily_spend.spend_settings(context, daily_spend.zone_of(context.settings)),
        now,
    )
    await isolated(connection, "spend", advance)
    literal, began_s = any(map(is_literal, context.settings.rules.values())), time.monotonic()
    for target in targets.values():
        if time.monotonic() - began_s > READING_S:
            break
        if not memory.fresh(target, now, literal=literal):
            read = partial(memory.windows, connection, target, literal=literal, now=now)
            await isolated(connection, f"target {target.name}", read)
