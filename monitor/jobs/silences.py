"""What holds notices back now: mutes by people, and maintenance windows of the configuration."""

from functools import partial

from monitor.incidents import Maintenance, Mute, Silence
from monitor.jobs.isolation import isolated
from monitor.jobs.watch import Watch
from monitor.store import Connection, mutes


async def silence(connection: Connection, watch: Watch) -> Silence:
    """What holds notices back. Where mutes cannot be read, people are notified rather than not."""
    in_force = await isolated(connection, "mutes", partial(mutes.in_force, connection)) or ()
    by_people = [
        Mute(until=muted.until, reason=muted.reason, rule=muted.rule, scope=muted.target)
        for muted in in_force
    ]
    windows = [
        Maintenance(
            days=tuple(window.days), start=window.start, end=window.end,
            timezone=window.timezone, reason=window.reason, rule=window.rule, scope=window.target,
        )
        for window in watch.settings.file.maintenance
    ]  # fmt: skip
    return [*by_people, *windows]
