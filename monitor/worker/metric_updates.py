"""The gauging job: what the database knows of our own state, read out for the metrics."""

from monitor.metrics import Metrics
from monitor.storage import DatabaseUnavailable, budget_used, outbox, rounds
from monitor.worker.context import WorkerContext
from monitor.worker.spooling import keep


async def update_metrics(context: WorkerContext, metrics: Metrics) -> None:
    """Read outbox, delivery, budget and open incidents once. With the database away, say so.

    It is up only while it takes writes: observations that wait after another try were
    refused, for example by a full disk.
    """
    if len(context.spool):
        await keep(context, [])
    metrics.spool(len(context.spool), context.spool.dropped, on_disk=context.spool.on_disk)
    channel = context.notifier.channel
    try:
        async with context.database.begin() as connection:
            waiting = await outbox.backlog(connection, channel)
            spent = await budget_used.today(connection)
            opened = await rounds.opened(connection)
            writable = await rounds.writable(connection)
    except DatabaseUnavailable:
        metrics.database(None)
        return
    probes = context.settings.file.probes
    metrics.outbox(waiting.waiting, waiting.oldest_at)
    metrics.delivery(channel, waiting.broken_why if waiting.broken_since is not None else None)
    metrics.budget(probes.daily_budget_usd - spent.high_usd, probes.max_per_day - spent.count)
    metrics.incidents(opened)
    metrics.database(context.now() if writable and not len(context.spool) else None)
