"""The spool job: store observations, oldest first; what cannot be stored waits on disk."""

import asyncio
import logging
from collections.abc import Sequence

from monitor.domain import Observation
from monitor.storage import DatabaseUnavailable, observations
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)

DRAIN = 200  # observations a transaction, when the spool empties
AGAIN_S = 0.5  # between two tries while the worker stops


async def keep(context: WorkerContext, new: Sequence[Observation]) -> None:
    """Store observations, those of the spool first; with the database unavailable, spool them.

    They are in the spool's file before the database is asked, so that a kill loses none, and on
    the disk before this returns while they wait.
    """
    dropped = context.spool.keep(new)
    if dropped:
        facts = {"count": dropped, "total": context.spool.dropped}
        log.error("observations dropped: the spool is full", extra=facts)
    await context.spool.save()
    async with context.spool.emptying:
        try:
            while waiting := context.spool.oldest(DRAIN):
                stored, rejected = await observations.add_or_reject(context.database, waiting)
                context.spool.forget(waiting)
                _note(context, rejected, there=len(waiting) - stored - len(rejected))
        except DatabaseUnavailable as unavailable:
            log.warning(
                "observations spooled", extra=_waiting(context) | {"reason": str(unavailable)}
            )
        finally:
            await context.spool.save(sync=len(context.spool) > 0)


def _note(context: WorkerContext, rejected: Sequence[observations.Rejected], *, there: int) -> None:
    for observation, reason in rejected:
        context.metrics.rejected()
        log.error("observation rejected", extra={"id": observation.id, "why": reason})
    if there:
        log.info("observations already there", extra={"count": there})


async def adopt(context: WorkerContext) -> None:
    """Store what workers that ended left on the disk."""
    if await context.spool.adopt():
        await keep(context, [])


async def drain(context: WorkerContext, *, within_s: float) -> None:
    """Store what waits before the worker ends, however recently the database did not answer.

    Logs what could not be stored, and whether it waits on disk for the next worker.
    """
    try:
        async with asyncio.timeout(within_s):
            while len(context.spool):
                context.database.retry_now()
                await keep(context, [])
                if len(context.spool):
                    await asyncio.sleep(AGAIN_S)
    except TimeoutError:
        pass
    except Exception:
        log.exception("spool not drained")
    await context.spool.save(sync=True)
    if len(context.spool):
        kept = "they wait on disk" if context.spool.on_disk else "they are lost"
        log.error(f"observations not stored: {kept}", extra=_waiting(context))
    context.spool.close()


def _waiting(context: WorkerContext) -> dict[str, object]:
    return {"count": len(context.spool), "on_disk": context.spool.on_disk}
