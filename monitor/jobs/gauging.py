"""The gauging job: what the database knows of our own state, read out for the metrics."""

from monitor.jobs.spooling import keep
from monitor.jobs.watch import Watch
from monitor.metrics import Metrics
from monitor.store import Away, budget, cycles, outbox


async def gauge(watch: Watch, metrics: Metrics) -> None:
    """Read outbox, delivery, budget and open incidents once. With the database away, say so.

    It is up only while it takes writes: observations that wait after another try were
    refused, for example by a full disk.
    """
    if len(watch.spool):
        await keep(watch, [])
    metrics.spool(len(watch.spool), watch.spool.dropped, on_disk=watch.spool.on_disk)
    channel = watch.notifier.channel
    try:
        async with watch.database.begin() as connection:
            waiting = await outbox.backlog(connection, channel)
            spent = await budget.today(connection)
            opened = await cycles.opened(connection)
            writable = await cycles.writable(connection)
    except Away:
        metrics.database(None)
        return
    probes = watch.settings.file.probes
    metrics.outbox(waiting.waiting, waiting.oldest_at)
    metrics.delivery(channel, waiting.broken_why if waiting.broken_since is not None else None)
    metrics.budget(probes.daily_budget_usd - spent.high_usd, probes.max_per_day - spent.count)
    metrics.incidents(opened)
    metrics.database(watch.now() if writable and not len(watch.spool) else None)
