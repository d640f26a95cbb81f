"""What holds notices back now: mutes by people, and maintenance windows of the configuration."""

from functools import partial

from monitor.incidents import MaintenanceWindow, Mute, Silence
from monitor.storage import Connection, mutes
from monitor.worker.context import WorkerContext
from monitor.worker.isolation import isolated


async def silence(connection: Connection, context: WorkerContext) -> Silence:
    """What holds notices back. Where mutes cannot be read, people are notified rather than not."""
    in_force = await isolated(connection, "mutes", partial(mutes.in_force, connection)) or ()
    by_people = [
        Mute(until=muted.until, reason=muted.reason, rule=muted.rule, scope=muted.target)
        for muted in in_force
    ]
    windows = [
        MaintenanceWindow(
            days=tuple(window.days), start=window.start, end=window.end,
            timezone=window.timezone, reason=window.reason, rule=window.rule, scope=window.target,
        )
        for window in context.settings.file.maintenance
    ]  # fmt: skip
    return [*by_people, *windows]
