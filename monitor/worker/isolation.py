"""Work that stands alone: what fails costs one subject's verdict and no other."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from monitor.storage import Connection, lost, unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")


async def isolated(
    connection: Connection, subject: str, work: Callable[[], Awaitable[T]]
) -> T | None:
    """What came of one subject's queries and rules; None where they failed: undone and logged."""
    try:
        async with connection.begin_nested():
            return await work()
    except Exception as error:
        if lost(error):
            raise
        if busy := unavailable(error):
            log.warning("not judged", extra={"subject": subject, "why": str(busy)})
        else:
            log.exception("not judged", extra={"subject": subject})
        return None
