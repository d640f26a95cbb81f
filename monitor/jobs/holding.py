"""The lease keeper: renews the leases of this worker while it lives, and releases them at its end.

Jobs say how long a lease is to be renewed after they last took it: one whose job no longer
succeeds lapses, and another worker takes over.
"""

import time
from datetime import timedelta

from monitor.jobs.watch import Watch
from monitor.store import Connection, leases, outbox

RELEASE_S = 5  # at the end of the worker: the platform does not wait for long


async def hold(watch: Watch, connection: Connection, name: str, *, keep: timedelta) -> int | None:
    """Take or keep a lease, and have it renewed for `keep`; None while another holds it.

    Earlier versions of the worker held it for up to `keep` at once: that is respected.
    """
    fence = await leases.hold(connection, name, holder=watch.worker, longest=keep)
    if fence is None:
        forget(watch, name)
    else:
        watch.database.leases[watch.worker, name] = time.monotonic() + keep.total_seconds()
    return fence


def held(watch: Watch, name: str) -> bool:
    """Whether this worker held the lease when it last tried."""
    return (watch.worker, name) in watch.database.leases


def forget(watch: Watch, name: str) -> None:
    """Stop renewing a lease that another worker holds."""
    watch.database.leases.pop((watch.worker, name), None)


async def renew(watch: Watch) -> tuple[set[leases.Lapsed], bool]:
    """Renew what is ours; the leases that nobody holds, and whether notices wait to be sent.

    Raises Away.
    """
    now = time.monotonic()
    ours = [name for name in _ours(watch) if watch.database.leases[watch.worker, name] > now]
    async with watch.database.begin() as connection:
        if ours:
            await leases.renew(connection, ours, holder=watch.worker)
        return await leases.lapsed(connection), await outbox.due(connection)


async def release(watch: Watch) -> None:
    """Let go of every lease, so that a successor need not wait for their end. Raises Away."""
    if ours := _ours(watch):
        async with watch.database.begin(deadline_s=RELEASE_S) as connection:
            await leases.release(connection, ours, holder=watch.worker)
        for name in ours:
            forget(watch, name)


def _ours(watch: Watch) -> list[str]:
    return [name for holder, name in watch.database.leases if holder == watch.worker]
