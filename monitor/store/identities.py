"""Fingerprints in the database: epochs, the answers they are learnt from, where following stands."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Query
from monitor.identity.features import VERSION, Answer
from monitor.identity.looks import Looks
from monitor.identity.profile import Profile
from monitor.identity.tracking import Track
from monitor.scrub import storable
from monitor.store.identity_tables import (
    identity_answers,
    identity_epochs,
    identity_evidence,
    identity_profiles,
    identity_states,
)

MOST = 50  # answers kept of each model and query


@dataclass(frozen=True, slots=True)
class Epoch:
    """A baseline: whose, and by whose word."""

    target: str
    number: int
    model: str
    verified_by: str
    note: str
    began_at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """Where following a target stands; `track` None: nothing was followed in this epoch yet."""

    epoch: Epoch
    learnt_until: datetime | None
    track: Track | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many answers of a model to a query are kept. `model` None: held."""

    model: str | None
    query: str
    answers: int
    latest_at: datetime


async def epochs(connection: AsyncConnection, target: str) -> Sequence[Epoch]:
    """The target's baselines, the one in force first."""
    table = identity_epochs.c
    rows = select(identity_epochs).where(table.target == target).order_by(table.epoch.desc())
    return [_epoch(row) for row in (await connection.execute(rows)).mappings()]


async def begin(
    connection: AsyncConnection, target: str, model: str, *, verified_by: str, note: str = ""
) -> Epoch:
    """Begin the next epoch. Two who begin at once cannot both have it: the key forbids it."""
    latest = select(func.coalesce(func.max(identity_epochs.c.epoch), 0) + 1).where(
        identity_epochs.c.target == target
    )
    new = insert(identity_epochs).values(
        target=target, epoch=latest.scalar_subquery(), model=model, verified_by=verified_by,
        note=note,
    )  # fmt: skip
    row = (await connection.execute(new.returning(identity_epochs))).mappings().one()
    return _epoch(row)


def _epoch(row: Mapping[Any, Any]) -> Epoch:
    return Epoch(row["target"], row["epoch"], row["model"], row["verified_by"], row["note"],
                 row["began_at"])  # fmt: skip


async def state(connection: AsyncConnection, target: str, *, lock: bool = False) -> State | None:
    """Where following stands in the epoch in force; None without any baseline.

    With `lock` nobody else changes it until the transaction ends.
    """
    found = await epochs(connection, target)
    if not found:
        return None
    table = identity_states.c
    row = select(table.learnt_until, table.state).where(
        table.target == target, table.epoch == found[0].number
    )
    kept = (await connection.execute(row.with_for_update() if lock else row)).one_or_none()
    if kept is None:
        return State(found[0], None, None)
    current = kept.state["version"] == VERSION
    return State(found[0], kept.learnt_until, Track.from_json(kept.state) if current else None)


async def keep(
    connection: AsyncConnection, target: str, track: Track, *, learnt_until: datetime
) -> None:
    """Write down where following stands."""
    row = {"target": target, "epoch": track.epoch, "learnt_until": learnt_until,
           "state": track.to_json()}  # fmt: skip
    new = insert(identity_states).values(row)
    changes = {name: new.excluded[name] for name in ("epoch", "learnt_until", "state")}
    await connection.execute(new.on_conflict_do_update(
        index_elements=["target"], set_=changes | {"updated_at": func.now()}
    ))  # fmt: skip


def prompt(query: Query) -> str:
    """What changes when a canned query is worded anew: older answers do not count then."""
    return hashlib.sha256(query.text.encode()).hexdigest()


async def add(
    connection: AsyncConnection,
    epoch: Epoch,
    query: Query,
    answers: Sequence[Answer],
    *,
    model: str | None,
    verified_by: str | None,
) -> None:
    """Keep answers, the latest `MOST` of a model and query. `model` None: held for now."""
    if not answers:
        return
    rows = [
        {
            "target": epoch.target, "epoch": epoch.number, "model": model, "query": query.id,
            "prompt_sha256": prompt(query), "text": storable(answer.text),
            "chunk_lengths": [len(chunk) for chunk in answer.chunks], "verified_by": verified_by,
        }
        for answer in answers
    ]  # fmt: skip
    await connection.execute(insert(identity_answers), rows)
    table = identity_answers.c
    of = (table.target == epoch.target, table.epoch == epoch.number, table.query == query.id,
          table.model.is_not_distinct_from(model))  # fmt: skip
    kept = select(table.id).where(*of).order_by(table.id.desc()).limit(MOST)
    await connection.execute(
        delete(identity_answers).where(*of, table.id.not_in(kept.scalar_subquery()))
    )


async def answers(
    connection: AsyncConnection,
    epoch: Epoch,
    queries: Sequence[Query],
    *,
    until: datetime | None = None,
) -> dict[str, list[Answer]]:
    """The answers of each known model to the queries as they are worded now, oldest first."""
    table = identity_answers.c
    wanted = select(table.model, table.query, table.text, table.chunk_lengths).where(
        table.target == epoch.target,
        table.epoch == epoch.number,
        table.model.is_not(None),
        table.prompt_sha256.in_([prompt(query) for query in queries]),
    )
    if until is not None:
        wanted = wanted.where(table.captured_at <= until)
    found: dict[str, list[Answer]] = {}
    for row in await connection.execute(wanted.order_by(table.id)):
        chunks = _chunks(row.text, row.chunk_lengths)
        found.setdefault(row.model, []).append(Answer(row.query, row.text, chunks))
    return found


def _chunks(text: str, lengths: Sequence[int]) -> tuple[str, ...]:
    """The chunks of a text; none where the lengths are not its own."""
    if sum(lengths) != len(text):
        return ()
    chunks, at = [], 0
    for length in lengths:
        chunks.append(text[at : at + length])
        at += length
    return tuple(chunks)


async def counts(connection: AsyncConnection, epoch: Epoch) -> Sequence[Count]:
    """How many answers are kept in an epoch, by model and query."""
    table = identity_answers.c
    counted = (
        select(table.model, table.query, func.count(), func.max(table.captured_at))
        .where(table.target == epoch.target, table.epoch == epoch.number)
        .group_by(table.model, table.query)
        .order_by(table.model.nulls_last(), table.query)
    )
    return [Count(*row) for row in await connection.execute(counted)]


async def adopt(connection: AsyncConnection, old: Epoch, new: Epoch) -> int:
    """Make the answers held in one epoch the baseline of another; returns how many.

    What is known of fallbacks comes along.
    """
    table = identity_answers.c
    of_old = (table.target == old.target, table.epoch == old.number)
    held = (
        update(identity_answers)
        .where(*of_old, table.model.is_(None))
        .values(epoch=new.number, model=new.model, verified_by=new.verified_by)
    )
    adopted = len((await connection.execute(held.returning(table.id))).all())
    copied = [table.target, table.model, table.query, table.prompt_sha256, table.text,
              table.chunk_lengths, table.verified_by, table.captured_at]  # fmt: skip
    theirs = select(*copied, literal(new.number)).where(*of_old, table.model != old.model)
    await connection.execute(
        insert(identity_answers).from_select([*(c.name for c in copied), "epoch"], theirs)
    )
    return adopted


async def release(connection: AsyncConnection, epoch: Epoch) -> None:
    """Forget held answers: what was suspected has passed."""
    table = identity_answers.c
    await connection.execute(delete(identity_answers).where(
        table.target == epoch.target, table.epoch == epoch.number, table.model.is_(None)
    ))  # fmt: skip


async def learnt(
    connection: AsyncConnection, epoch: Epoch, profile: Profile, others: Mapping[str, int]
) -> None:
    """Write down how well each fallback can be told apart. `others`: answers known of each."""
    known = {rival.model: rival.contrast.separability for rival in profile.rivals}
    for model, count in others.items():
        row = {
            "target": epoch.target, "epoch": epoch.number, "fallback": model,
            "feature_version": VERSION, "answers": profile.fingerprint.count,
            "fallback_answers": count, "separability": known.get(model),
            "refusal": profile.mistakable.get(model),
        }  # fmt: skip
        new = insert(identity_profiles).values(row)
        changes = {name: new.excluded[name] for name in list(row)[3:]}
        await connection.execute(new.on_conflict_do_update(
            index_elements=["target", "epoch", "fallback"],
            set_=changes | {"learnt_at": func.now()},
        ))  # fmt: skip


async def note(
    connection: AsyncConnection,
    epoch: Epoch,
    looks: Looks,
    *,
    observation: UUID,
    at: datetime,
    since: datetime | None,
) -> None:
    """Write down that the judgement by looks turned, with what turned it."""
    await connection.execute(insert(identity_evidence).values(
        target=epoch.target, epoch=epoch.number, at=at, observation=observation,
        identity=looks.identity, model=looks.model, confidence=looks.confidence, since=since,
        reason=looks.reason, evidence=[asdict(item) for item in looks.evidence],
    ))  # fmt: skip
