"""The outbox: notices written with their state change, then leased, sent and settled.

A notice has a row for each channel it is for. Channels know nothing of each other: order, tries
and pauses are those of one channel. Delivery is at least once and in order per incident: a notice
is due only when every earlier notice of its incident is settled. Times go by the database's clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid5

from pydantic import TypeAdapter
from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Delivery, GiveUp, Notice, NoticeStatus, Sent, TryLater
from monitor.notifications.channel import DEFAULT
from monitor.rules.delivery import DeliveryBacklog
from monitor.storage.tables import channels, outbox

LEASE = timedelta(seconds=45)  # longer than any send, which ends within 30 s
FIRST_RETRY_S, LONGEST_RETRY_S = 5, 900
PATIENCE = timedelta(hours=24)  # afterwards an undelivered notice is dead, and reported
ENOUGH = 10  # tries, which take 40 minutes: before them no notice is dead
LEAST_PAUSE_S = 1  # a shorter one, such as `Retry-After: 0`, is none: the usual waits apply
RECHECK = timedelta(hours=1)  # of a channel that refused for good, and the longest wait
LONGEST_PAUSE = RECHECK + timedelta(minutes=1)  # a later end was written by a clock ahead
STALE = timedelta(hours=1)  # undelivered opening and resolution become one message
DIGEST = "digest"  # the rule of a day's digest: only the latest waits for a channel
REMOVED = timedelta(minutes=5)  # no worker has had the channel in its configuration for so long
NOBODY = ""  # the channel of a notice that no channel takes

_NOTICE: TypeAdapter[Notice] = TypeAdapter(Notice)


@dataclass(frozen=True, slots=True)
class LeasedNotice:
    """A notice to send now. `reference` edits the incident's message, where there is one.

    There is none after a message that announced the end: what comes back is a new message.
    """

    notice: Notice
    incident: int | None
    reference: str | None


async def add(
    connection: AsyncConnection,
    notice: Notice,
    *,
    channels: Mapping[str, bool],
    incident: int | None,
    reported: Sequence[int] = (),
) -> bool:
    """Write news, a row for each channel; True when there is something to send.

    `channels`: every configured channel, and whether it takes this notice. One that was notified
    of the incident before gets it in any case: it must not be left with an incident that never
    ends. One that was not, because it was added since, gets no end of it. `reported`: numbers of
    the incidents it reports, if more or others than `incident`.
    """
    if await known(connection, notice.id):
        return False
    before = select(outbox.c.channel).where(
        outbox.c.incident == incident, outbox.c.result.is_distinct_from("closed")
    )
    notified = set(await connection.scalars(before)) if incident is not None else set()
    row: dict[str, object] = {
        "news": notice.id,
        "incident": incident,
        "incidents": list(reported),
        "status": notice.status.value,
        "due_at": func.now(),
    }
    unheard = notice.status is NoticeStatus.RESOLVED and bool(notified - {NOBODY})
    rows = [
        row | _row_of(notice, name)
        for name, takes in channels.items()
        if name in notified or (takes and not unheard)
    ]
    if not rows:  # the row shows why nobody was notified, and that the news is known
        closed = {"result": "closed", "last_error": "no channel takes it", "settled_at": func.now()}
        nobody = row | _row_of(notice, NOBODY) | closed
        await connection.execute(insert(outbox).values(nobody).on_conflict_do_nothing())
        return False
    statement = insert(outbox).values(rows).on_conflict_do_nothing().returning(outbox.c.id)
    return bool((await connection.scalars(statement)).all())


def _row_of(notice: Notice, channel: str) -> dict[str, object]:
    """The row of a channel. Its id, and that in its notice, is its own in all channels but one:
    earlier versions of the program, which know one channel, send and settle rows by it.
    """
    own = notice.id if channel in (DEFAULT, NOBODY) else uuid5(notice.id, channel)
    document = _NOTICE.dump_python(replace(notice, id=own), mode="json")
    return {"id": own, "channel": channel, "notice": document}


def _same(notice: UUID) -> ColumnElement[bool]:
    """The rows of a notice."""
    return or_(outbox.c.id == notice, outbox.c.news == notice)


async def known(connection: AsyncConnection, notice: UUID) -> bool:
    """Whether this news was written before, for any channel."""
    return bool(await connection.scalar(select(exists().where(_same(notice)))))


async def lease(connection: AsyncConnection, channel: str) -> LeasedNotice | None:
    """Take the first due notice; it falls due again if we die before settling it.

    None when nothing is due, or while the channel is rate limited or broken.
    """
    paused = channels.c.paused_until
    waiting = exists().where(
        channels.c.channel == channel, paused > func.now(), paused <= func.now() + LONGEST_PAUSE
    )
    if await connection.scalar(select(waiting)):
        return None
    await _merge_stale(connection, channel)
    earlier = outbox.alias("earlier")
    blocked = exists().where(
        earlier.c.channel == channel,
        earlier.c.incident == outbox.c.incident,
        earlier.c.sequence < outbox.c.sequence,
        earlier.c.settled_at.is_(None),
    )
    due = (
        select(outbox.c.id)
        .where(outbox.c.channel == channel, outbox.c.settled_at.is_(None), ~blocked)
        .where(or_(outbox.c.due_at <= func.now(), outbox.c.due_at > func.now() + LONGEST_PAUSE))
        .order_by(outbox.c.sequence)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    taken = await connection.execute(
        update(outbox)
        .where(outbox.c.channel == channel, outbox.c.id == due.scalar_subquery())
        .values(
            attempts=outbox.c.attempts + 1,
            due_at=func.now() + LEASE,
            last_error=None,
            # Tried and never settled: its worker died, perhaps after the channel accepted it.
            maybe_sent=or_(
                outbox.c.maybe_sent, and_(outbox.c.attempts > 0, outbox.c.last_error.is_(None))
            ),
        )
        .returning(
            func.coalesce(outbox.c.news, outbox.c.id).label("news"),
            outbox.c.incident,
            outbox.c.notice,
            outbox.c.maybe_sent,
        )
    )
    row = taken.one_or_none()
    if row is None:
        return None
    notice = _NOTICE.validate_python(row.notice | {"id": row.news, "repeated": row.maybe_sent})
    reference = await _reference(
        connection, row.incident, channel, quiet=notice.quiet or notice.in_thread
    )
    return LeasedNotice(notice, row.incident, reference)


async def _reference(
    connection: AsyncConnection, incident: int | None, channel: str, *, quiet: bool
) -> str | None:
    if incident is None:
        return None
    sent = (
        select(outbox.c.reference, outbox.c.status)
        .where(outbox.c.incident == incident, outbox.c.channel == channel)
        .where(outbox.c.reference.is_not(None))
        .order_by(outbox.c.sequence.desc())
        .limit(1)
    )
    latest = (await connection.execute(sent)).one_or_none()
    if latest is None or (latest.status == NoticeStatus.RESOLVED.value and not quiet):
        return None
    reference: str = latest.reference
    return reference


async def _merge_stale(connection: AsyncConnection, channel: str) -> None:
    """Drop what was never sent and is over: the resolution states both times, and the latest
    digest replaces earlier ones.
    """
    later = outbox.alias("later")
    resolved = exists().where(
        later.c.channel == channel,
        later.c.incident == outbox.c.incident,
        later.c.sequence > outbox.c.sequence,
        later.c.status == NoticeStatus.RESOLVED.value,
        later.c.settled_at.is_(None),
    )
    superseded = exists().where(
        later.c.channel == channel,
        _about(later) == DIGEST,
        later.c.sequence > outbox.c.sequence,
        later.c.settled_at.is_(None),
    )
    await connection.execute(
        update(outbox)
        .where(
            outbox.c.channel == channel,
            outbox.c.settled_at.is_(None),
            outbox.c.status != NoticeStatus.RESOLVED.value,
            outbox.c.created_at < func.now() - STALE,
            outbox.c.due_at <= func.now(),
            or_(resolved, and_(_about(outbox) == DIGEST, superseded)),
        )
        .values(settled_at=func.now(), result="merged")
    )


def _about(rows: FromClause) -> ColumnElement[str]:
    """The rule a notice is about."""
    rule: ColumnElement[str] = rows.c.notice["rule"].as_string()
    return rule


async def due(connection: AsyncConnection) -> set[str]:
    """The channels for which a notice may be due; `lease` knows for certain."""
    waiting = select(outbox.c.channel).distinct()
    found = waiting.where(outbox.c.settled_at.is_(None), outbox.c.due_at <= func.now())
    return set(await connection.scalars(found))


async def backlogs(connection: AsyncConnection, names: Iterable[str]) -> Sequence[DeliveryBacklog]:
    """How much waits for each channel, since when, and whether it takes anything at all."""
    found = await connection.execute(_BACKLOGS, {"names": list(names)})
    return [DeliveryBacklog(**row._mapping) for row in found]


_BACKLOGS = text("""
    SELECT name AS channel, waiting, oldest_at, broken_since, broken_why, last_sent_at
    FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS wanted (name, place)
    CROSS JOIN LATERAL (
        SELECT count(*)::integer AS waiting, min(created_at) AS oldest_at FROM outbox
        WHERE channel = name AND settled_at IS NULL
    ) AS waits
    LEFT JOIN channels ON channels.channel = name
    ORDER BY place
""")


async def backlog(connection: AsyncConnection, channel: str) -> DeliveryBacklog:
    """What `backlogs` finds for one channel."""
    return (await backlogs(connection, [channel]))[0]


async def close_removed(connection: AsyncConnection, names: Iterable[str]) -> Mapping[str, int]:
    """Note that these channels are configured, and close what waits for channels that are not.

    A channel is removed when no worker has had it for `REMOVED`: during a deployment workers
    have different configurations. Returns how many notices were closed, by channel.
    """
    for name in sorted(names):
        await _mark(connection, name, configured_at=func.now())
    closed = await connection.execute(_CLOSE, {"names": list(names), "removed": REMOVED})
    return {row.channel: row.notices for row in closed}


_CLOSE = text("""
    WITH closed AS (
        UPDATE outbox AS o SET settled_at = now(), result = 'closed',
            last_error = 'channel ' || o.channel || ' was removed from the configuration'
        WHERE o.settled_at IS NULL AND o.channel <> ALL (CAST(:names AS text[]))
            AND o.created_at < now() - CAST(:removed AS interval)
            AND NOT EXISTS (SELECT FROM channels AS c WHERE c.channel = o.channel
                AND c.configured_at > now() - CAST(:removed AS interval))
        RETURNING o.channel
    )
    SELECT channel, count(*)::integer AS notices FROM closed GROUP BY channel
""")


async def settle(
    connection: AsyncConnection, notice: UUID, delivery: Delivery, channel: str
) -> None:
    """Write down how a send went."""
    row = update(outbox).where(_same(notice), outbox.c.channel == channel)
    match delivery:
        case Sent(reference, posted):
            sent = {"settled_at": func.now(), "result": "sent", "reference": reference}
            await connection.execute(row.values(sent | {"last_error": None}))
            if not posted:  # this says nothing about the channel
                return
            await connection.execute(_NOTIFIED, {"notice": notice, "channel": channel})
            await _mark(
                connection,
                channel,
                paused_until=None,
                broken_since=None,
                broken_why=None,
                last_sent_at=func.now(),
            )
        case TryLater(reason, after_s, channel_wide, maybe_sent):
            pause = None
            if after_s is not None and after_s >= LEAST_PAUSE_S:
                pause = func.now() + min(timedelta(seconds=after_s), RECHECK)
            # A clock that was set ahead for a while makes no notice old.
            too_old = and_(outbox.c.created_at < func.now() - PATIENCE, outbox.c.attempts >= ENOUGH)
            next_try = await connection.scalar(
                row.values(
                    due_at=pause if pause is not None else func.now() + _backoff(),
                    last_error=reason,
                    maybe_sent=or_(outbox.c.maybe_sent, literal(maybe_sent)),
                    settled_at=case((too_old, func.now())),
                    result=case((too_old, "dead")),
                ).returning(outbox.c.due_at)
            )
            if channel_wide:  # for every worker, and after a restart
                await _mark(connection, channel, paused_until=next_try)
        case GiveUp(reason, channel_broken=True):
            await connection.execute(row.values(due_at=func.now(), last_error=reason))
            since = func.coalesce(channels.c.broken_since, func.now())
            await _mark(
                connection,
                channel,
                paused_until=func.now() + RECHECK,
                broken_since=since,
                broken_why=reason,
            )
        case GiveUp(reason):
            dead = {"settled_at": func.now(), "result": "dead", "last_error": reason}
            await connection.execute(row.values(dead))


async def recheck(connection: AsyncConnection, channel: str) -> None:
    """Try a broken channel again now: it may have been fixed before the restart.

    It stays marked as broken until it takes a message.
    """
    refused = channels.c.broken_since.is_not(None)
    await connection.execute(
        update(channels).where(channels.c.channel == channel, refused).values(paused_until=None)
    )


async def accepted(connection: AsyncConnection, channel: str) -> bool:
    """A channel took a message outside the outbox. Returns whether it had refused for good."""
    refused = channels.c.broken_since.is_not(None)
    found = await connection.execute(
        update(channels)
        .where(channels.c.channel == channel, refused)
        .values(paused_until=None, broken_since=None, broken_why=None)
    )
    return bool(found.rowcount)


# An edit alone notifies no one, nor does an answer to a person. The two clocks may differ: never
# before the opening.
_NOTIFIED = text("""
    UPDATE incidents AS i
    SET told_at = greatest(now(), i.opened_at)
    FROM outbox AS o
    WHERE :notice IN (o.id, o.news) AND o.channel = :channel AND i.told_at IS NULL
        AND NOT coalesce((o.notice ->> 'quiet')::boolean, false)
        AND NOT coalesce((o.notice ->> 'in_thread')::boolean, false)
        AND i.number = ANY (CASE o.incidents WHEN '{}' THEN ARRAY[o.incident] ELSE o.incidents END)
""")


def _backoff() -> object:
    doubled = FIRST_RETRY_S * func.power(2, func.least(outbox.c.attempts - 1, 10))
    return func.least(doubled, LONGEST_RETRY_S) * text("interval '1 second'")


async def _mark(connection: AsyncConnection, channel: str, **values: object) -> None:
    new = insert(channels).values(channel=channel)
    await connection.execute(new.on_conflict_do_nothing())
    await connection.execute(update(channels).where(channels.c.channel == channel).values(**values))
