"""The lease keeper: renews the leases of a running worker, and releases them when it stops.

Jobs say how long a lease is to be renewed after they last took it: if a job no longer succeeds, its
lease lapses and another worker takes over.
"""

import time
from datetime import timedelta

from monitor.storage import Connection, leases, outbox
from monitor.worker.context import WorkerContext

RELEASE_S = 5  # at the end of the worker: the platform does not wait for long


async def hold(
    context: WorkerContext, connection: Connection, name: str, *, keep: timedelta
) -> int | None:
    """Take or keep a lease, and have it renewed for `keep`; None while another worker holds it.

    Earlier versions of the worker held it for up to `keep` at once: that is respected.
    """
    fence = await leases.hold(connection, name, holder=context.worker, longest=keep)
    if fence is None:
        forget(context, name)
    else:
        context.state.leases[name] = time.monotonic() + keep.total_seconds()
    return fence


def held(context: WorkerContext, name: str) -> bool:
    """Whether this worker held the lease when it last tried."""
    return name in context.state.leases


def forget(context: WorkerContext, name: str) -> None:
    """Stop renewing a lease that another worker holds."""
    context.state.leases.pop(name, None)


async def renew(context: WorkerContext) -> tuple[set[leases.LapsedLease], set[str]]:
    """Renew this worker's leases; returns free leases, and channels with notices to send.

    Raises DatabaseUnavailable.
    """
    now = time.monotonic()
    ours = [name for name, until in context.state.leases.items() if until > now]
    async with context.database.begin() as connection:
        if ours:
            await leases.renew(connection, ours, holder=context.worker)
        return await leases.lapsed(connection), await outbox.due(connection)


async def release(context: WorkerContext) -> None:
    """Release every lease, so that a successor need not wait. Raises DatabaseUnavailable."""
    if ours := list(context.state.leases):
        async with context.database.begin(deadline_s=RELEASE_S) as connection:
            await leases.release(connection, ours, holder=context.worker)
        for name in ours:
            forget(context, name)
