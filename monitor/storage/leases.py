"""Which worker does what: claimed rounds, and leases that one worker holds."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Engine, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, TEXT
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.storage.engine import sql_file
from monitor.storage.tables import incidents, leases

# Slots: the worker that inserts the row of a round runs the round. Rows are written in batches,
# always in the order of their key, so that two workers never wait for each other in a circle.


class RoundSlot(NamedTuple):
    """A round of a target, by the time it is scheduled for."""

    target: str
    slot: datetime


class RoundEnd(NamedTuple):
    """The end of a round. `missed` None: it was probed completely."""

    target: str
    slot: datetime
    missed: str | None = None


async def claim(
    connection: AsyncConnection,
    rounds: Iterable[RoundSlot],
    *,
    region: str,
    worker: str,
    unsure: Iterable[RoundSlot] = (),
) -> set[RoundSlot]:
    """The rounds that this worker is to probe; another one does or did the rest.

    `unsure`: those that it tried to claim before, without learning whether it did.
    """
    ours = {"region": region, "worker": worker}
    claimed = await connection.execute(_CLAIM, ours | _columns(sorted(set(rounds))))
    found = {RoundSlot(*row) for row in claimed}
    if again := sorted(set(unsure) - found):
        found |= {
            RoundSlot(*row) for row in await connection.execute(_OURS, ours | _columns(again))
        }
    return found


async def miss(
    connection: AsyncConnection, rounds: Iterable[RoundEnd], *, region: str, worker: str
) -> list[RoundEnd]:
    """Record unclaimed slots as missed; returns those that were recorded.

    Not recorded: slots that another worker claimed, and those of a target that has no earlier slot,
    because it was not monitored then.
    """
    given = sorted(set(rounds))
    values = {"region": region, "worker": worker, **_columns(given)}
    values["missed"] = [one.missed for one in given]
    return [RoundEnd(*row) for row in await connection.execute(_MISS, values)]


async def finish(
    connection: AsyncConnection, rounds: Iterable[RoundEnd], *, region: str, worker: str
) -> None:
    """Mark this worker's rounds as probed, or record why they were not.

    Rounds that were probed while the database was unavailable get their row now, unless another
    worker claimed them.
    """
    ends = {(end.target, end.slot): end for end in rounds}
    if given := [ends[key] for key in sorted(ends)]:
        values = {"region": region, "worker": worker, **_columns(given)}
        await connection.execute(_FINISH, values | {"missed": [one.missed for one in given]})


def _columns(rounds: Sequence[RoundSlot | RoundEnd]) -> dict[str, Any]:
    return {"targets": [one.target for one in rounds], "slots": [one.slot for one in rounds]}


_GIVEN = "unnest(CAST(:targets AS text[]), CAST(:slots AS timestamptz[])"
_CLAIM = text(f"""
    INSERT INTO slots (target, region, slot, worker)
    SELECT target, :region, slot, :worker FROM {_GIVEN}) AS given (target, slot)
    ON CONFLICT DO NOTHING RETURNING target, slot
""")  # noqa: S608  constants of ours, here and below
_OURS = text(f"""
    SELECT s.target, s.slot FROM slots AS s
    JOIN {_GIVEN}) AS given (target, slot) ON (s.target, s.slot) = (given.target, given.slot)
    WHERE s.region = :region AND s.worker = :worker AND s.finished_at IS NULL
""")  # noqa: S608
_MISS = text(f"""
    INSERT INTO slots (target, region, slot, worker, finished_at, missed)
    SELECT target, :region, slot, :worker, now(), missed
    FROM {_GIVEN}, CAST(:missed AS text[])) AS given (target, slot, missed)
    WHERE EXISTS (SELECT FROM slots AS s
        WHERE s.target = given.target AND s.region = :region AND s.slot < given.slot)
    ON CONFLICT DO NOTHING RETURNING target, slot, missed
""")  # noqa: S608
_FINISH = text(f"""
    INSERT INTO slots AS s (target, region, slot, worker, finished_at, missed)
    SELECT target, :region, slot, :worker, now(), missed
    FROM {_GIVEN}, CAST(:missed AS text[])) AS given (target, slot, missed)
    ON CONFLICT (target, region, slot) DO UPDATE
    SET finished_at = excluded.finished_at, missed = excluded.missed
    WHERE s.worker = excluded.worker
""")  # noqa: S608


# Our own state: rounds by their slots, the last evaluation, open incidents.


LONGEST = timedelta(minutes=2)


class ClaimedRound(NamedTuple):
    """One claimed round. `missed` None: it was probed, as far as it went."""

    slot: datetime
    worker: str
    finished: bool
    missed: str | None


async def rounds(
    connection: AsyncConnection, wanted: Iterable[RoundSlot], *, region: str
) -> Mapping[RoundSlot, ClaimedRound]:
    """Those of these rounds that any worker claimed."""
    values = {"region": region, **_columns(sorted(set(wanted)))}
    rows = (await connection.execute(_ROUNDS, values)).all()
    return {RoundSlot(row.target, row.slot): ClaimedRound(*row[1:]) for row in rows}


_ROUNDS = text(f"""
    SELECT s.target, s.slot, s.worker, s.finished_at IS NOT NULL, s.missed
    FROM {_GIVEN}) AS given (target, slot)
    JOIN slots AS s ON s.target = given.target AND s.region = :region AND s.slot = given.slot
""")  # noqa: S608


async def evaluated(connection: AsyncConnection) -> bool:
    """Whether any worker evaluated recently: without a successful evaluation the lease lapses."""
    far = func.now() + LONGEST  # a lease further away was written by a wrong clock
    held = select(leases.c.until.between(func.now(), far)).where(leases.c.name == "evaluate")
    return bool(await connection.scalar(held))


async def writable(connection: AsyncConnection) -> bool:
    """Whether this server accepts writes; a standby does not."""
    return bool(
        await connection.scalar(select(func.current_setting("transaction_read_only") == "off"))
    )


async def opened(connection: AsyncConnection) -> Mapping[str, int]:
    """The number of open incidents of each rule; rules without one are left out."""
    counted = (
        select(incidents.c.rule, func.count().label("opened"))
        .where(incidents.c.resolved_at.is_(None))
        .group_by(incidents.c.rule)
    )
    return {row.rule: row.opened for row in await connection.execute(counted)}


# Leases: work that one worker does at a time, taken over soon after its holder dies.
#
# A lease lasts `SPAN`, and a live holder renews it every `RENEWED_EVERY`. Expiry uses the
# database's clock. The fencing number rises whenever the holder changes. Nobody waits for a locked
# row, nor for one that is being inserted: a suspended worker would block all others.


SPAN = timedelta(seconds=12)
RENEWED_EVERY = timedelta(seconds=4)  # a renewal may fail once


async def hold(
    connection: AsyncConnection,
    name: str,
    *,
    holder: str,
    span: timedelta = SPAN,
    longest: timedelta | None = None,
) -> int | None:
    """Take or keep the lease; returns its fencing number, or None while another worker holds it.

    The row stays locked until the transaction ends, so work done in the same transaction cannot
    overlap with another holder's. A lease that ends later than `longest` from now (by default the
    span) was written by a wrong clock and counts as expired.
    """
    values = {"name": name, "holder": holder, "span": span, "longest": longest or span}
    fence: int | None = await connection.scalar(_HOLD, values)
    if fence is None and not await connection.scalar(_EXISTS, {"name": name}):
        fence = await _made(connection, {"name": name, "holder": holder, "span": span})
    return fence


async def _made(connection: AsyncConnection, values: Mapping[str, Any]) -> int | None:
    """Insert a lease; None if another transaction is doing so, which may last for seconds."""
    usual = await connection.scalar(_LOCK_TIMEOUT)
    try:
        async with connection.begin_nested():
            await connection.execute(_SET_LOCK_TIMEOUT, {"limit": "1ms"})
            fence: int | None = await connection.scalar(_MAKE, values)
            await connection.execute(_SET_LOCK_TIMEOUT, {"limit": usual})
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "55P03":  # lock not available
            raise
        return None
    return fence


async def available(
    connection: AsyncConnection,
    name: str,
    *,
    holder: str,
    longest: timedelta = SPAN,
) -> int | None:
    """The fencing number that `hold` would return now, or None; nothing is locked."""
    values = {"name": name, "holder": holder, "longest": longest}
    fence: int | None = await connection.scalar(_AVAILABLE, values)
    return fence


async def renew(connection: AsyncConnection, names: Collection[str], *, holder: str) -> None:
    """Extend the leases that this holder still has."""
    await connection.execute(_RENEW, {"names": list(names), "holder": holder, "span": SPAN})


async def release(connection: AsyncConnection, names: Collection[str], *, holder: str) -> None:
    """Make the holder's leases available to other workers at once."""
    await connection.execute(_RENEW, {"names": list(names), "holder": holder, "span": timedelta(0)})


class LapsedLease(NamedTuple):
    """A lease without a holder."""

    name: str
    until: datetime


async def lapsed(connection: AsyncConnection) -> set[LapsedLease]:
    """The leases that have expired, or end later than any lease can."""
    return {LapsedLease(*row) for row in await connection.execute(_LAPSED)}


_FREE = """(
    holder = :holder OR until <= clock_timestamp() OR until > clock_timestamp() + :longest
)"""


_TYPES = (bindparam("span", type_=INTERVAL), bindparam("longest", type_=INTERVAL))
_HOLD = text(f"""
    UPDATE leases
    SET holder = :holder, until = clock_timestamp() + :span,
        fence = fence + CASE WHEN holder = :holder THEN 0 ELSE 1 END
    WHERE name IN (
        SELECT name FROM leases WHERE name = :name AND {_FREE} FOR UPDATE SKIP LOCKED
    )
    RETURNING fence
""").bindparams(*_TYPES)  # noqa: S608  a condition of ours
_EXISTS = text("SELECT EXISTS (SELECT FROM leases WHERE name = :name)")
_MAKE = text("""
    INSERT INTO leases (name, holder, until, fence)
    VALUES (:name, :holder, clock_timestamp() + :span, 1)
    ON CONFLICT DO NOTHING RETURNING fence
""").bindparams(_TYPES[0])
_LOCK_TIMEOUT = text("SELECT current_setting('lock_timeout')")
_SET_LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', :limit, true)")
_AVAILABLE = text(f"""
    SELECT CASE WHEN name IS NULL THEN 1
        WHEN {_FREE} THEN fence + CASE WHEN holder = :holder THEN 0 ELSE 1 END END
    FROM (SELECT) AS one LEFT JOIN leases ON name = :name
""").bindparams(_TYPES[1])  # noqa: S608  a condition of ours
_RENEW = text("""
    UPDATE leases SET until = clock_timestamp() + :span
    WHERE name IN (
        SELECT name FROM leases
        WHERE holder = :holder AND name = ANY(:names) FOR UPDATE SKIP LOCKED
    )
""").bindparams(_TYPES[0], bindparam("names", type_=ARRAY(TEXT)))
_LAPSED = text("""
    SELECT name, until FROM leases
    WHERE until <= clock_timestamp() OR until > clock_timestamp() + interval '1 hour'
""")


# Sessions that hold locks on our tables and views, and the end of readers that block a migration.


READER = "monitor_reader"
_HOLDERS = sql_file("lock_holders")
_END = text("SELECT pg_terminate_backend(:pid)")


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A session that holds a lock; `since_s` None if we may not see how long."""

    pid: int
    role: str
    program: str
    since_s: float | None

    def __str__(self) -> str:
        program = f", {self.program}" if self.program else ""
        since = "" if self.since_s is None else f", for {self.since_s:.0f} s"
        return f"session {self.pid} of {self.role}{program}{since}"


def lock_holders(engine: Engine) -> Sequence[LockHolder]:
    """The sessions that now hold a lock on one of our tables or views, by their id."""
    with engine.begin() as connection:
        return [LockHolder(*row) for row in connection.execute(_HOLDERS)]


def end_readers(engine: Engine) -> None:
    """End sessions of monitor_reader that hold a lock, if we may: a report can be repeated."""
    for holder in lock_holders(engine):
        if holder.role == READER:
            try:
                with engine.begin() as connection:
                    connection.execute(_END, {"pid": holder.pid})
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != "42501":
                    raise
