"""Reports to systemd: the worker is ready, alive while rounds go on, or stopping.

Source: sd_notify(3), sd_watchdog_enabled(3). Without NOTIFY_SOCKET nothing is sent.
"""

import asyncio
import logging
import socket
import time
from datetime import timedelta

from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)

INTERVALS = 3  # of the shortest: a round may be missed and the next one late
LEAST = timedelta(minutes=10)  # a round may last as long as the deadlines of all its queries
READY, ALIVE, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"


def notify(context: WorkerContext, *states: str) -> None:
    """Send states to the service manager, if there is one. Never waits, never raises."""
    address = context.settings.environment.notify_socket
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            abstract = address.startswith("@")
            out.sendto("\n".join(states).encode(), f"\0{address[1:]}" if abstract else address)
    except (OSError, ValueError) as error:
        log.debug("service manager unreachable", extra={"reason": str(error)})


def rounds_go_on(context: WorkerContext, now_s: float) -> bool:
    """Whether rounds end as they should: what a restart would cure if they did not.

    A database that is unavailable is no reason to restart: rounds go on, and their observations
    wait in the spool. `now_s`: monotonic.
    """
    shortest = min(target.every for target in context.settings.targets.values())
    allowed = max(INTERVALS * shortest, LEAST)
    return now_s - context.state.round_ended_s <= allowed.total_seconds()


async def keep_watchdog(context: WorkerContext) -> None:
    """Feed the watchdog of the unit (WatchdogSec) while rounds go on; ends where there is none."""
    environment, withheld = context.settings.environment, False
    if not environment.notify_socket or not environment.watchdog_usec:
        return
    while True:
        if rounds_go_on(context, time.monotonic()):
            notify(context, ALIVE)
            withheld = False
        elif not withheld:
            log.error("watchdog withheld", extra={"reason": "no round ended in time"})
            withheld = True
        await asyncio.sleep(environment.watchdog_usec / 1e6 / 3)
