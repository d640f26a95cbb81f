"""Incidents as rows: what stands open, what stood last, and what each step made of it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import (
    ARRAY,
    BigInteger,
    RowMapping,
    Select,
    any_,
    bindparam,
    cast,
    func,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Finding, Incident, NoticeStatus, incident_key
from monitor.rules import unit_of
from monitor.storage import incident_actions
from monitor.storage.tables import incident_actions as answers
from monitor.storage.tables import incidents, mutes

Key = tuple[str, str]

_FINDING: TypeAdapter[Finding] = TypeAdapter(Finding)


class RowVersion(NamedTuple):
    """A stored incident by its number; the rest differs once anything of it has changed."""

    number: int
    written: int  # the transaction that wrote the row
    acknowledged_at: datetime | None
    acknowledged_by: str | None


async def latest_versions(connection: AsyncConnection) -> Sequence[RowVersion]:
    """The latest incident of every rule and scope, open or resolved, in order of numbers."""
    values = {"firing": NoticeStatus.FIRING.value}
    return [RowVersion(*row) for row in await connection.execute(_VERSIONS, values)]


async def of_numbers(connection: AsyncConnection, numbers: Collection[int]) -> Sequence[Incident]:
    """These incidents, in any order; parts name their leader."""
    wanted = _whole().where(incidents.c.number == any_(cast(list(numbers), ARRAY(BigInteger))))
    return [_incident(row) for row in (await connection.execute(wanted)).mappings()]


_VERSIONS = text("""
    WITH latest AS (
        SELECT DISTINCT ON (rule, target, query) number, xmin, told,
            coalesce(announced_as, number) AS announced_as
        FROM incidents ORDER BY rule, target, query, opened_at DESC
    )
    SELECT latest.number, latest.xmin::text::bigint, answer.at, answer.person
    FROM latest LEFT JOIN LATERAL (
        SELECT at, coalesce(name, actor) AS person FROM incident_actions
        WHERE latest.told = :firing AND incident = latest.announced_as
            AND action = 'acknowledge' AND undone_at IS NULL
        ORDER BY id LIMIT 1
    ) AS answer ON true
    ORDER BY latest.number
""")


async def open_scopes(connection: AsyncConnection, rules: Collection[str]) -> set[str]:
    """The targets with an open incident of one of these rules, but not of a single query."""
    table = incidents.c
    found = select(table.target).where(
        table.rule.in_(rules), table.resolved_at.is_(None), table.query == ""
    )
    return set(await connection.scalars(found))


async def history(
    connection: AsyncConnection, *, since: timedelta, most: int = 100
) -> Sequence[Incident]:
    """Incidents open now or opened lately, newest first."""
    lately = (
        _whole()
        .where(or_(incidents.c.resolved_at.is_(None), incidents.c.opened_at > func.now() - since))
        .order_by(incidents.c.opened_at.desc(), incidents.c.number.desc())
        .limit(most)
    )
    return tuple(_incident(row) for row in (await connection.execute(lately)).mappings())


async def numbered(connection: AsyncConnection, number: int) -> Incident | None:
    """One incident by its number."""
    one = await connection.execute(_whole().where(incidents.c.number == number))
    row = one.mappings().one_or_none()
    return _incident(row) if row else None


async def open_ones(
    connection: AsyncConnection, target: str, rules: Iterable[str]
) -> Sequence[Incident]:
    """The open incidents of these rules for one target, the oldest first."""
    wanted = _whole().where(
        incidents.c.resolved_at.is_(None),
        incidents.c.target == target,
        incidents.c.rule.in_(list(rules)),
    )
    rows = (await connection.execute(wanted.order_by(incidents.c.number))).mappings()
    return tuple(_incident(row) for row in rows)


async def new_breaches(
    connection: AsyncConnection, rules: Iterable[str], *, within: timedelta
) -> Sequence[tuple[str, datetime]]:
    """Scope and start of each open breach of these rules that began or was found in this time."""
    table = incidents.c
    began_at = func.coalesce(table.reopened_at, table.opened_at)
    wanted = (
        select(table.target, began_at)
        .where(table.resolved_at.is_(None), table.recovering_since.is_(None))
        .where(table.rule.in_(list(rules)), began_at > func.now() - within)
        .order_by(table.number)
    )
    return [(target, at) for target, at in await connection.execute(wanted)]


class IncidentCost(NamedTuple):
    """What probes and traffic cost while an incident was open."""

    usd: Decimal
    high_usd: Decimal
    at_least: bool


async def cost(connection: AsyncConnection, number: int) -> IncidentCost | None:
    """What ran up while it was open, from hours computed so far; None: nothing is known."""
    found = text(
        "SELECT cost_usd, cost_high_usd, cost_at_least FROM report.incidents "
        "WHERE number = :number AND cost_usd IS NOT NULL"
    )
    row = (await connection.execute(found, {"number": number})).one_or_none()
    return IncidentCost(*row) if row else None


def _whole() -> Select[Any]:
    primary = incidents.alias("leader")
    answer = (
        select(answers.c.at, func.coalesce(answers.c.name, answers.c.actor).label("person"))
        .where(incidents.c.told == NoticeStatus.FIRING.value)  # else nothing is looked up
        .where(answers.c.incident == func.coalesce(incidents.c.announced_as, incidents.c.number))
        .where(answers.c.action == "acknowledge", answers.c.undone_at.is_(None))
        .order_by(answers.c.id)
        .limit(1)
        .lateral()
    )
    return (
        select(
            incidents,
            answer.c.at.label("acknowledged_at"),
            answer.c.person.label("acknowledged_by"),
            primary.c.rule.label("leader_rule"),
            primary.c.target.label("leader_scope"),
            primary.c.query.label("leader_query"),
        )
        .outerjoin(primary, primary.c.number == incidents.c.part_of)
        .outerjoin(answer, true())
    )


async def save(
    connection: AsyncConnection, changed: Iterable[Incident], known: Iterable[Incident]
) -> Mapping[Key, int]:
    """Write incidents as they are now, leaders first; returns the number of each.

    A new one gets its number here. A part is announced under the number of its leader's
    messages. The partial unique index refuses a second open incident of one rule and scope,
    whatever another worker believes. What comes back after its end is no longer acknowledged.
    """
    known = tuple(known)
    numbers = {item.key: item.number for item in known if item.number is not None}
    over = {item.key for item in known if not item.open and item.told is NoticeStatus.RESOLVED}
    announced = {item.key: item.announced_as for item in known}
    changed = tuple(changed)
    for batch in (
        [incident for incident in changed if incident.part_of is None],
        [incident for incident in changed if incident.part_of is not None],
    ):
        rows = []
        for incident in batch:
            primary = numbers.get(incident.part_of) if incident.part_of else None
            if incident.part_of:
                announced[incident.key] = announced.get(incident.part_of) or primary
            else:
                announced[incident.key] = incident.announced_as
            rows.append(
                _row(incident) | {"part_of": primary, "announced_as": announced[incident.key]}
            )
        numbers |= await _write(connection, batch, rows)
    back = [
        announced[incident.key] or numbers[incident.key]
        for incident in changed
        if incident.number is not None and incident.open and incident.key in over
    ]
    if back:
        await incident_actions.lapse(connection, back)
    return numbers


async def _write(
    connection: AsyncConnection, batch: Sequence[Incident], rows: Sequence[dict[str, Any]]
) -> dict[Key, int]:
    """Write the rows of incidents, in few statements; returns their numbers."""
    numbers = {one.key: one.number for one in batch if one.number is not None}
    new = [one.key for one in batch if one.number is None]
    if new:
        added = insert(incidents).returning(incidents.c.number, sort_by_parameter_order=True)
        values = [row for one, row in zip(batch, rows, strict=True) if one.number is None]
        assigned = await connection.scalars(added, values)
        numbers |= dict(zip(new, assigned, strict=True))
    old = [
        row | {"of_number": one.number}
        for one, row in zip(batch, rows, strict=True)
        if one.number is not None
    ]
    if old:
        changes = update(incidents).where(incidents.c.number == bindparam("of_number"))
        await connection.execute(changes, old)
    return numbers


def _row(incident: Incident) -> dict[str, Any]:
    return {
        "rule": incident.rule,
        "target": incident.scope,
        "query": incident.query,
        "opened_at": incident.opened_at,
        "resolved_at": incident.resolved_at,
        "last_breach_at": incident.last_breach_at,
        "last_told_at": incident.last_told_at,
        "value": incident.value,
        "opening_value": incident.opening_value,
        "peak": incident.peak,
        "limit_value": incident.limit,
        "because": incident.because,
        "observations": list(incident.rows),
        "facts": dict(incident.facts),
        "reminders": incident.reminders,
        "once": incident.once,
        "ended": incident.ended,
        "told": incident.told.value if incident.told else None,
        "reopened_at": incident.reopened_at,
        "reopenings": incident.reopenings,
        "first_seen_at": incident.first_seen_at,
        "since": incident.since,
        "until": incident.until,
        "opening_because": incident.opening_because,
        "recovering_since": incident.recovering_since,
        "recovering_reason": incident.recovering_reason,
        "finding": _FINDING.dump_python(incident.finding, mode="json", exclude_defaults=True),
        "earlier_breaches": [list(breach) for breach in incident.earlier_breaches] or None,
    }


def _incident(row: RowMapping) -> Incident:
    exact = unit_of(row["rule"]).exact

    def number(value: Decimal | None) -> Decimal | float | None:
        return value if exact or value is None else float(value)

    return Incident(
        rule=row["rule"],
        scope=row["target"],
        query=row["query"],
        opened_at=row["opened_at"],
        resolved_at=row["resolved_at"],
        last_breach_at=row["last_breach_at"],
        last_told_at=row["last_told_at"],
        value=number(row["value"]),
        opening_value=number(row["opening_value"]),
        peak=number(row["peak"]),
        limit=number(row["limit_value"]),
        because=row["because"],
        rows=tuple(row["observations"]),
        facts=row["facts"],
        reminders=row["reminders"],
        once=row["once"],
        ended=row["ended"],
        told=NoticeStatus(row["told"]) if row["told"] else None,
        part_of=incident_key(row["leader_rule"], row["leader_scope"], row["leader_query"])
        if row["part_of"]
        else None,
        reopened_at=row["reopened_at"],
        reopenings=row["reopenings"],
        first_seen_at=row["first_seen_at"],
        since=row["since"],
        until=row["until"],
        opening_because=row["opening_because"],
        recovering_since=row["recovering_since"],
        recovering_reason=row["recovering_reason"],
        finding=_FINDING.validate_python(row["finding"]),
        earlier_breaches=tuple((began, ended) for began, ended in row["earlier_breaches"] or ()),
        acknowledged_at=row["acknowledged_at"],
        acknowledged_by=row["acknowledged_by"],
        told_at=row["told_at"],
        announced_as=row["announced_as"],
        number=row["number"],
    )


# Mutes: who silenced what, why, until when. Ended, never deleted.


class MuteInForce(NamedTuple):
    """A mute in force."""

    id: int
    rule: str
    target: str
    reason: str
    muted_by: str
    until: datetime


async def in_force(connection: AsyncConnection) -> Sequence[MuteInForce]:
    """Mutes that have not ended, oldest first."""
    columns = (getattr(mutes.c, name) for name in MuteInForce._fields)
    now = select(*columns).where(mutes.c.until > func.now()).order_by(mutes.c.id)
    return [MuteInForce(*row) for row in await connection.execute(now)]


async def add(
    connection: AsyncConnection,
    *,
    rule: str,
    target: str,
    reason: str,
    muted_by: str,
    until: datetime,
    action: int | None = None,
) -> int:
    """Silence a rule and scope, or all of either; returns the mute's id.

    `action`: the answer to an incident that asks for it; None: a command does.
    """
    new = insert(mutes).values(
        rule=rule, target=target, reason=reason, muted_by=muted_by, until=until, action=action
    )
    number: int = (await connection.execute(new.returning(mutes.c.id))).scalar_one()
    return number


async def end(connection: AsyncConnection, *, rule: str, target: str, by: str = "a command") -> int:
    """End the mutes of exactly that rule and scope; returns how many there were.

    Reactions that asked for them may still stand: they do not mute again.
    """
    ended = (
        update(mutes)
        .where(mutes.c.rule == rule, mutes.c.target == target, mutes.c.until > func.now())
        .values(until=func.now())
    )
    actions = (await connection.scalars(ended.returning(mutes.c.action))).all()
    asked = [action for action in actions if action is not None]
    if asked:
        await incident_actions.undo(connection, asked, by=by)
    return len(actions)


async def end_asked(connection: AsyncConnection, action: int) -> Sequence[tuple[str, str]]:
    """End the mutes that one answer asked for; returns the rule and scope of each."""
    ended = (
        update(mutes)
        .where(mutes.c.action == action, mutes.c.until > func.now())
        .values(until=func.now())
    )
    found = await connection.execute(ended.returning(mutes.c.rule, mutes.c.target))
    return [(row.rule, row.target) for row in found]
