"""The keeping job: partitions ahead of the rows that will need them."""

import logging

from monitor.jobs.watch import Watch
from monitor.store import partitions

log = logging.getLogger(__name__)


async def prepare(watch: Watch) -> None:
    """Make the partitions of the coming months."""
    async with watch.database.begin() as connection:
        made = await partitions.ensure(connection, watch.now().date())
    if made:
        log.info("partitions made", extra={"partitions": made})
