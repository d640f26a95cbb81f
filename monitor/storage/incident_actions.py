"""Answers of people to incidents as rows, and the messages they can answer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, case, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.incidents.actions import (
    ActionKind,
    AnsweredIncident,
    IncidentAction,
    Reaction,
)
from monitor.storage.tables import incident_actions, incidents

MOST = 100  # answers of one incident: a crowd of bots must not fill the table
_ROWS = incident_actions.c


class WatchedMessage(NamedTuple):
    """The message of an open incident in one channel.

    `subjects`: rule and scope of the incident that leads it, and of the one it is about.
    """

    incident: AnsweredIncident
    reference: str
    subjects: tuple[tuple[str, str], ...]


_WATCHED = text("""
    SELECT i.announced, i.rule, i.target, latest.reference, latest.rule AS shown_rule,
        latest.scope AS shown_scope
    FROM (
        SELECT DISTINCT ON (1) coalesce(announced_as, number) AS announced, rule, target
        FROM incidents
        WHERE told = 'FIRING' AND part_of IS NULL
        ORDER BY 1, number
    ) AS i
    CROSS JOIN LATERAL (
        SELECT o.reference, o.status, o.notice ->> 'rule' AS rule, o.notice ->> 'scope' AS scope
        FROM outbox AS o
        WHERE o.incident = i.announced AND o.channel = :channel AND o.reference IS NOT NULL
        ORDER BY o.sequence DESC
        LIMIT 1
    ) AS latest
    WHERE latest.status <> 'RESOLVED'
    ORDER BY i.announced DESC
    LIMIT :most
""")


async def watched(
    connection: AsyncConnection, channel: str, *, most: int = 100
) -> Sequence[WatchedMessage]:
    """The messages of open incidents in this channel, newest first."""
    found = await connection.execute(_WATCHED, {"channel": channel, "most": most})
    return [
        WatchedMessage(
            AnsweredIncident(row.announced, row.shown_rule, row.shown_scope),
            row.reference,
            tuple(dict.fromkeys([(row.rule, row.target), (row.shown_rule, row.shown_scope)])),
        )
        for row in found
    ]


_ANSWERABLE = text("""
    SELECT i.rule, i.target
    FROM incidents AS i
    WHERE coalesce(i.announced_as, i.number) = :number
        AND (i.resolved_at IS NULL OR i.told = 'FIRING')
    ORDER BY i.part_of IS NOT NULL, i.number
    FOR SHARE
""")


async def answerable(connection: AsyncConnection, number: int) -> AnsweredIncident | None:
    """The incident that messages call `number`, locked until it is answered; None: it is over."""
    row = (await connection.execute(_ANSWERABLE, {"number": number})).first()
    return AnsweredIncident(number, row.rule, row.target) if row else None


async def standing(
    connection: AsyncConnection, incident: int, reference: str
) -> Sequence[IncidentAction]:
    """The answers on this message whose reaction stood when it was last looked at."""
    found = (
        select(incident_actions)
        .where(_ROWS.incident == incident, _ROWS.reference == reference)
        .where(_ROWS.removed_at.is_(None))
        .order_by(_ROWS.id)
    )
    return [_action(row) for row in (await connection.execute(found)).mappings()]


async def of(connection: AsyncConnection, incident: int) -> Sequence[IncidentAction]:
    """Every answer to an incident, the oldest first."""
    found = select(incident_actions).where(_ROWS.incident == incident).order_by(_ROWS.id)
    return [_action(row) for row in (await connection.execute(found)).mappings()]


async def acknowledging(
    connection: AsyncConnection, incident: int, *, besides: int | None = None
) -> Sequence[IncidentAction]:
    """What acknowledges an incident now, besides one answer, the oldest first."""
    return [
        action
        for action in await of(connection, incident)
        if action.kind is ActionKind.ACKNOWLEDGE
        and action.undone_at is None
        and action.id != besides
    ]


_ADD = text("""
    INSERT INTO incident_actions (incident, action, actor, name, nth, channel, reference)
    SELECT :incident, :action, :actor, :name,
        (SELECT count(*) + 1 FROM incident_actions AS a
         WHERE a.incident = :incident AND a.action = :action AND a.actor = :actor),
        :channel, :reference
    WHERE (SELECT count(*) FROM incident_actions AS a WHERE a.incident = :incident) < :most
        AND NOT EXISTS (
            SELECT FROM incident_actions AS a
            WHERE a.incident = :incident AND a.action = :action AND a.actor = :actor
                AND a.reference IS NOT DISTINCT FROM :reference AND a.removed_at IS NULL
        )
    ON CONFLICT DO NOTHING
    RETURNING *
""")


async def add(
    connection: AsyncConnection,
    incident: int,
    reaction: Reaction,
    *,
    name: str | None,
    channel: str | None = None,
    reference: str | None = None,
) -> IncidentAction | None:
    """Write an answer; None where it stands already, or where the incident has too many."""
    values = {
        "incident": incident,
        "action": reaction.kind.value,
        "actor": reaction.actor,
        "name": name,
        "channel": channel,
        "reference": reference,
        "most": MOST,
    }
    row = (await connection.execute(_ADD, values)).mappings().one_or_none()
    return _action(row) if row else None


async def remove(
    connection: AsyncConnection, action: IncidentAction, *, by: str
) -> IncidentAction | None:
    """Note that an answer was taken back; returns it as it was, None where that is known."""
    row = select(incident_actions).where(_ROWS.id == action.id, _ROWS.removed_at.is_(None))
    found = (await connection.execute(row.with_for_update())).mappings().one_or_none()
    if found is None:
        return None
    values: dict[str, Any] = {"removed_at": func.now()}
    if found["undone_at"] is None and action.kind is not ActionKind.CHART:
        values |= {"undone_at": func.now(), "undone_by": by}
    await _change(connection, action.id, **values)
    return _action(found)


async def undo(connection: AsyncConnection, actions: Sequence[int], *, by: str) -> None:
    """Answers that a command undid: where their reactions still stand, these change nothing."""
    by_command = _ROWS.channel.is_(None)
    await connection.execute(
        update(incident_actions)
        .where(_ROWS.id.in_(actions), _ROWS.undone_at.is_(None))
        .values(
            undone_at=func.now(),
            undone_by=by,
            removed_at=case((by_command, func.now()), else_=_ROWS.removed_at),
        )
    )


async def lapse(connection: AsyncConnection, numbers: Sequence[int]) -> None:
    """End acknowledgements of what had ended and came back: they were for the time before."""
    await connection.execute(
        update(incident_actions)
        .where(_ROWS.incident.in_(numbers), _ROWS.action == ActionKind.ACKNOWLEDGE.value)
        .where(_ROWS.undone_at.is_(None))
        .values(
            undone_at=func.now(),
            removed_at=func.coalesce(_ROWS.removed_at, func.now()),
        )
    )


WantedChart = tuple[AnsweredIncident, IncidentAction]


async def charts(connection: AsyncConnection, channel: str) -> Sequence[WantedChart]:
    """Charts that are still to be posted, the oldest first."""
    found = (
        select(incident_actions, incidents.c.rule, incidents.c.target)
        .join(incidents, incidents.c.number == _ROWS.incident)
        .where(_ROWS.action == ActionKind.CHART.value, _ROWS.channel == channel)
        .where(_ROWS.done_at.is_(None))
        .order_by(_ROWS.id)
    )
    return [
        (AnsweredIncident(row["incident"], row["rule"], row["target"]), _action(row))
        for row in (await connection.execute(found)).mappings()
    ]


async def begin_chart(connection: AsyncConnection, action: IncidentAction) -> None:
    """Note that a chart is about to be posted: who dies meanwhile leaves a trace."""
    await _change(connection, action.id, attempts=_ROWS.attempts + 1)


async def finish_chart(
    connection: AsyncConnection, action: IncidentAction, *, failure: str | None
) -> None:
    """Note that a chart was posted, or given up."""
    await _change(connection, action.id, done_at=func.now(), failure=failure)


async def _change(connection: AsyncConnection, action: int, **values: object) -> None:
    await connection.execute(update(incident_actions).where(_ROWS.id == action).values(**values))


def _action(row: RowMapping) -> IncidentAction:
    return IncidentAction(
        id=row["id"],
        incident=row["incident"],
        kind=ActionKind(row["action"]),
        actor=row["actor"],
        nth=row["nth"],
        at=row["at"],
        name=row["name"],
        channel=row["channel"],
        reference=row["reference"],
        removed_at=row["removed_at"],
        undone_at=row["undone_at"],
        undone_by=row["undone_by"],
        attempts=row["attempts"],
        done_at=row["done_at"],
        failure=row["failure"],
    )
