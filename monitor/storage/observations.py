"""Observations: month partitions, inserts, and the windows that rules judge."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import (
    TIMESTAMP,
    ColumnElement,
    RowMapping,
    Select,
    func,
    literal_column,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import (
    ClaimKind,
    CostSource,
    Evidence,
    Identity,
    Observation,
    Outcome,
    Sample,
    StampSource,
)
from monitor.storage.tables import observations

AHEAD = 2  # months besides the current one


def months(today: date, ahead: int = AHEAD) -> list[tuple[date, date]]:
    """First days of the previous, the current and the coming months, each with its end."""
    first = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    spans = []
    for _ in range(ahead + 2):
        following = (first + timedelta(days=31)).replace(day=1)
        spans.append((first, following))
        first = following
    return spans


async def ensure(connection: AsyncConnection, today: date) -> list[str]:
    """Create missing partitions; returns their names. Can be killed anywhere.

    Rows that arrived before their month existed move into it.
    """
    made = []
    for first, _ in months(today):
        if await connection.scalar(text("SELECT make_month(:first)"), {"first": first}):
            made.append(f"observations_{first:%Y_%m}")
    return made


# Observations: inserted once, never changed; and the windows that rules judge.


_DERIVED = {"fallback", "recorded_at", "derived_at"}  # by the database
_EVIDENCE: TypeAdapter[Evidence] = TypeAdapter(Evidence)
# A name in the response itself that is trusted to identify the answering model.
_NAMING: ColumnElement[str] = literal_column(
    """'$[*] ? (@.kind == "receipt" || @.kind == "header" || @.kind == "sibling" """
    """|| @.kind == "field") ? (@.nats != 0)'"""
)

PARTITIONS_AHEAD = timedelta(seconds=10)  # synchronised clocks differ by less
PAGE = 400  # rows of a window in one statement
SKEW = timedelta(minutes=5)  # rows further in a worker's future are not judged


async def add(connection: AsyncConnection, new: Sequence[Observation]) -> int:
    """Store observations; those already stored, or probed by another worker, are dropped.

    Returns how many were stored. Safe to repeat after a commit with unknown result.
    """
    return len(await added(connection, new))


async def added(connection: AsyncConnection, new: Sequence[Observation]) -> frozenset[UUID]:
    """The same; returns the ids of the stored ones."""
    if not new:
        return frozenset()
    rows = json.dumps([row(observation) for observation in new], default=str)
    return frozenset(await connection.scalars(_ADD, {"rows": rows}))


# One statement whatever the number of rows: compiling a row of values each costs five times as
# much. Numbers travel as text and stay exact.
_ADDED = ", ".join(c.name for c in observations.columns if c.name not in _DERIVED)
_ADD = text(
    f"INSERT INTO observations ({_ADDED}) "  # noqa: S608  names of columns only
    f"SELECT {_ADDED} FROM jsonb_populate_recordset(NULL::observations, CAST(:rows AS jsonb)) "
    "ON CONFLICT DO NOTHING RETURNING id"
)


def row(observation: Observation) -> dict[str, Any]:
    """An observation as a JSON object: dump it with `default=str`, so that numbers stay exact."""
    values = {field.name: getattr(observation, field.name) for field in fields(observation)}
    values["evidence"] = [asdict(item) for item in observation.evidence]
    values["claims"] = [asdict(item) for item in observation.claims]
    values["rates"] = dict(observation.rates)
    return values


_DETECTED: ColumnElement[bool] = literal_column(
    """identity = 'changed' AND jsonb_path_exists(evidence, '$[*] ? (@.claim == "changed")')"""
).label("change_detected")
_COMPARED: ColumnElement[bool] = literal_column(
    """NOT jsonb_path_exists(evidence, '$[*] ? (@.claim == "not compared")')"""
).label("compared")
# The moment of a change is recorded in one row: that of the answer at which the detector passed.
_CHANGED_SINCE: ColumnElement[datetime] = literal_column(
    """CASE WHEN observations.identity = 'changed' THEN (
        SELECT min(turn.since) FROM identity_evidence turn
        WHERE turn.target = observations.target AND turn.observation = observations.id
          AND turn.identity = 'changed') END""",
    TIMESTAMP(timezone=True),
).label("change_since")
_AS_STORED = ("source_count", "source_best_score", "source_newest_at", "prompt_tokens",
              "answer_tokens", "cached_tokens")  # fmt: skip
_SAMPLE = (
    observations.c.id,
    observations.c.started_at,
    observations.c.recorded_at,
    observations.c.slot,
    observations.c.query,
    observations.c.outcome,
    observations.c.ttft_ms,
    observations.c.tpot_ms,
    observations.c.stamp,
    observations.c.identity,
    observations.c.identity_reason,
    observations.c.confidence,
    observations.c.model_detected,
    observations.c.cost_usd,
    observations.c.cost_low_usd,
    observations.c.cost_high_usd,
    _DETECTED,
    _CHANGED_SINCE,
    _COMPARED,
    observations.c.error,
    observations.c.check_passed,
    observations.c.check_failed,
    *(observations.c[name] for name in (*_AS_STORED, "cost_source", "origin")),
)


def judged(*columns: ColumnElement[Any]) -> Select[Any]:
    """What rules judge: scheduled and burst observations; `columns` besides those of a sample."""
    return select(*_SAMPLE, *columns).where(
        observations.c.origin != "manual",
        observations.c.started_at < observations.c.recorded_at + SKEW,
    )


async def samples(
    connection: AsyncConnection,
    target: str,
    *,
    since: datetime,
    until: datetime,
    most: int,
    before: int = 0,
) -> tuple[Sample, ...]:
    """The latest scheduled and burst observations of a target, oldest first.

    `until` is now: later dates were written while a clock was ahead, and are not judged. Rows that
    waited in the spool, or whose probe took long, count at the time they started. `before`: so many
    earlier ones besides.
    """
    at, id_ = observations.c.started_at, observations.c.id
    newest_first = judged().where(observations.c.target == target).order_by(at.desc(), id_.desc())
    latest = newest_first.where(at >= since, at <= until + PARTITIONS_AHEAD)
    found = await _pages(connection, latest, most)
    if before and len(found) < most:
        found += await _pages(connection, newest_first.where(at < since), before)
    return tuple(reversed(found))


async def _pages(connection: AsyncConnection, newest_first: Select[Any], most: int) -> list[Sample]:
    """The samples of a statement, newest first. No page holds up the event loop for long."""
    at, id_ = observations.c.started_at, observations.c.id
    found, following = list[Sample](), newest_first
    while (size := min(PAGE, most - len(found))) > 0:
        rows = (await connection.execute(following.limit(size))).mappings().all()
        found += [sample_of(row) for row in rows]
        if len(rows) < size:
            break
        following = newest_first.where(tuple_(at, id_) < tuple_(found[-1].at, found[-1].id))
    return found


async def page(
    connection: AsyncConnection,
    *,
    since: datetime,
    until: datetime,
    after: Sample | None,
    most: int = 5_000,
) -> Sequence[tuple[str, Sample]]:
    """The next scheduled and burst observations after a sample, oldest first, with targets.

    `until` is now.
    """
    table = observations.c
    where = [table.started_at >= since, table.slot >= since, table.origin != "manual"]
    where += [
        table.started_at <= until + PARTITIONS_AHEAD,
        table.slot <= until + PARTITIONS_AHEAD,
    ]
    if after is not None:
        where.append(tuple_(table.started_at, table.id) > tuple_(after.at, after.id))
    next_ones = (
        select(*_SAMPLE, table.target)
        .where(*where)
        .order_by(table.started_at, table.id)
        .limit(most)
    )
    rows = (await connection.execute(next_ones)).mappings()
    return [(row["target"], sample_of(row)) for row in rows]


async def hosts(connection: AsyncConnection, target: str, *, most: int = 50) -> Sequence[str]:
    """Recent hosts of the expected model, from its answers; the most frequent first."""
    table = observations.c
    latest = (
        select(table.claims)
        .where(table.target == target, table.identity == Identity.EXPECTED.value)
        .where(table.slot <= func.now() + PARTITIONS_AHEAD)
        .order_by(table.slot.desc())
        .limit(most)
        .subquery()
    )
    claim = select(func.jsonb_array_elements(latest.c.claims).label("claim")).subquery().c.claim
    host = claim.op("->>")(literal_column("'value'")).label("host")
    reported = (
        select(host)
        .where(claim.op("->>")("kind") == ClaimKind.HOST.value)
        .group_by("host")
        .order_by(func.count().desc(), "host")
    )
    return list(await connection.scalars(reported))


async def identities(
    connection: AsyncConnection, *, since: datetime
) -> Mapping[str, Mapping[tuple[Identity, str | None], int]]:
    """The number of complete answers of rounds from then to now, by target, identity and model."""
    table = observations.c
    counted = (
        select(table.target, table.identity, table.model_detected, func.count())
        .where(
            table.slot >= since,
            table.slot <= func.now() + PARTITIONS_AHEAD,
            table.origin != "manual",
        )
        .where(table.outcome == Outcome.ANSWERED.value)
        .group_by(table.target, table.identity, table.model_detected)
    )
    found: dict[str, dict[tuple[Identity, str | None], int]] = {}
    for target, identity, model, count in await connection.execute(counted):
        found.setdefault(target, {})[Identity(identity), model] = count
    return found


async def discloses(connection: AsyncConnection, target: str, *, most: int = 500) -> bool | None:
    """Whether any recent answer names its model in a way that counts; None: there is no answer."""
    table = observations.c
    latest = (
        select(func.jsonb_path_exists(table.evidence, _NAMING).label("names"))
        .where(table.target == target, table.pieces > 0)
        .where(table.started_at <= func.now() + PARTITIONS_AHEAD)
        .order_by(table.started_at.desc())
        .limit(most)
        .subquery()
    )
    found: bool | None = await connection.scalar(select(func.bool_or(latest.c.names)))
    return found


async def claim_sources(
    connection: AsyncConnection, target: str, *, most: int = 2_000
) -> frozenset[str]:
    """Where the answers of the last 7 days name a model: fields, headers and others."""
    table = observations.c
    latest = (
        select(table.claims)
        .where(table.target == target, table.started_at > func.now() - timedelta(days=7))
        .where(table.started_at <= func.now() + PARTITIONS_AHEAD)
        .order_by(table.started_at.desc())
        .limit(most)
        .subquery()
    )
    claim = func.jsonb_array_elements(latest.c.claims, type_=JSONB)
    found = await connection.scalars(select(claim.op("->>")("source")).distinct())
    return frozenset(found)


async def degraded_share(connection: AsyncConnection, target: str) -> tuple[int, int]:
    """Of the answers of the last 24 h: how many have no exact TTFT, and how many there are."""
    table = observations.c
    within = (
        (table.target == target)
        & (table.started_at > func.now() - timedelta(days=1))
        & (table.started_at <= func.now() + PARTITIONS_AHEAD)
        & (table.outcome == Outcome.ANSWERED.value)
    )
    degraded = func.count().filter(table.stamp == StampSource.DEGRADED.value)
    (found,) = await connection.execute(select(degraded, func.count()).where(within))
    return found[0], found[1]


async def answered_at(connection: AsyncConnection, target: str) -> datetime | None:
    """When the latest conclusive probe of the last 24 h was sent, if it was answered; else None."""
    table = observations.c
    statement = (
        select(table.started_at, table.outcome)
        .where(table.target == target, table.started_at > func.now() - timedelta(days=1))
        .where(table.started_at <= func.now() + PARTITIONS_AHEAD)
        .where(table.outcome.in_([one.value for one in Outcome if one.good is not None]))
        .order_by(table.started_at.desc())
        .limit(1)
    )
    latest = (await connection.execute(statement)).one_or_none()
    return latest.started_at if latest and Outcome(latest.outcome).good else None


async def identical_answers(
    connection: AsyncConnection, target: str, *, fewest: int = 10, chars: int = 40
) -> dict[str, int]:
    """Queries whose answers of the last 7 days all have one text, with their number.

    Fewer answers, and texts shorter than `chars`, tell nothing.
    """
    table = observations.c
    statement = (
        select(table.query, func.count())
        .where(table.target == target, table.started_at > func.now() - timedelta(days=7))
        .where(table.started_at <= func.now() + PARTITIONS_AHEAD)
        .where(table.outcome == Outcome.ANSWERED.value)
        .group_by(table.query)
        .having(func.count() >= fewest)
        .having(func.count(table.answer_sha256.distinct()) == 1)
        .having(func.min(table.answer_chars) >= chars)
    )
    return {str(row[0]): int(row[1]) for row in await connection.execute(statement)}


def sample_of(row: RowMapping | Mapping[Any, Any]) -> Sample:
    return Sample(
        id=row["id"],
        at=row["started_at"],
        round=row["slot"],
        query=row["query"],
        outcome=Outcome(row["outcome"]),
        ttft_ms=None if row["stamp"] == StampSource.DEGRADED else row["ttft_ms"],
        identity=Identity(row["identity"]),
        model=row["model_detected"],
        cost_usd=row["cost_usd"],
        cost_low_usd=row["cost_low_usd"],
        cost_high_usd=row["cost_high_usd"],
        why=row["identity_reason"],
        confidence=row["confidence"],
        change_detected=row["change_detected"],
        change_since=row["change_since"],
        compared=row["compared"],
        error=row["error"],
        recorded_at=row["recorded_at"],
        tpot_ms=None if row["stamp"] == StampSource.DEGRADED else row["tpot_ms"],
        degraded=row["stamp"] == StampSource.DEGRADED and row["ttft_ms"] is not None,
        check_passed=row["check_passed"],
        check_failed=row["check_failed"],
        **{name: row[name] for name in _AS_STORED},
        cost_source=CostSource(row["cost_source"]) if row["cost_source"] else None,
        extra=row["origin"] == "burst",
    )
