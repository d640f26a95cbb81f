"""The spool job: store observations, oldest first; what cannot be stored waits on disk."""

import asyncio
import logging
from collections.abc import Sequence

from monitor.domain import Observation
from monitor.jobs.watch import Watch
from monitor.store import Away, observations

log = logging.getLogger(__name__)

DRAIN = 200  # observations a transaction, when the spool empties
AGAIN_S = 0.5  # between two tries while the worker stops


async def keep(watch: Watch, new: Sequence[Observation]) -> None:
    """Store observations, those of the spool first; with the database unavailable, spool them.

    They are in the spool's file before the database is asked, so that a kill loses none, and on
    the disk before this returns while they wait.
    """
    dropped = watch.spool.keep(new)
    if dropped:
        facts = {"count": dropped, "total": watch.spool.dropped}
        log.error("observations dropped: the spool is full", extra=facts)
    await watch.spool.save()
    async with watch.spool.emptying:
        try:
            while waiting := watch.spool.oldest(DRAIN):
                stored, rejected = await observations.add_or_reject(watch.database, waiting)
                watch.spool.forget(waiting)
                _note(watch, rejected, there=len(waiting) - stored - len(rejected))
        except Away as away:
            log.warning("observations spooled", extra=_waiting(watch) | {"reason": str(away)})
        finally:
            await watch.spool.save(sync=len(watch.spool) > 0)


def _note(watch: Watch, rejected: Sequence[observations.Rejected], *, there: int) -> None:
    for observation, why in rejected:
        watch.metrics.rejected()
        log.error("observation rejected", extra={"id": observation.id, "why": why})
    if there:
        log.info("observations already there", extra={"count": there})


async def adopt(watch: Watch) -> None:
    """Store what workers that ended left on the disk."""
    if await watch.spool.adopt():
        await keep(watch, [])


async def drain(watch: Watch, *, within_s: float) -> None:
    """Store what waits before the worker ends, however recently the database did not answer.

    Logs what could not be stored, and whether it waits on disk for the next worker.
    """
    try:
        async with asyncio.timeout(within_s):
            while len(watch.spool):
                watch.database.retry_now()
                await keep(watch, [])
                if len(watch.spool):
                    await asyncio.sleep(AGAIN_S)
    except TimeoutError:
        pass
    except Exception:
        log.exception("spool not drained")
    await watch.spool.save(sync=True)
    if len(watch.spool):
        kept = "they wait on disk" if watch.spool.on_disk else "they are lost"
        log.error(f"observations not stored: {kept}", extra=_waiting(watch))
    watch.spool.close()


def _waiting(watch: Watch) -> dict[str, object]:
    return {"count": len(watch.spool), "on_disk": watch.spool.on_disk}
