"""The keeping job: partitions ahead of the rows that will need them."""

import logging

from monitor.storage import partitions
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)


async def prepare(context: WorkerContext) -> None:
    """Make the partitions of the coming months."""
    async with context.database.begin() as connection:
        made = await partitions.ensure(connection, context.now().date())
    if made:
        log.info("partitions made", extra={"partitions": made})
