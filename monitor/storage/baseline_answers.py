"""Captured answers: what fingerprints are learnt from, and what is held until somebody knows."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Query
from monitor.identity.fingerprint.features import AnswerText
from monitor.redaction import storable
from monitor.storage.fingerprints import BaselineEpoch
from monitor.storage.identity_tables import identity_answers

MOST = 50  # answers kept of each model and query


@dataclass(frozen=True, slots=True)
class AnswerCount:
    """How many answers of a model to a query are kept. `model` None: held."""

    model: str | None
    query: str
    answers: int
    latest_at: datetime


def prompt(query: Query) -> str:
    """What changes when a canned query is worded anew: older answers do not count then."""
    return hashlib.sha256(query.text.encode()).hexdigest()


async def add(
    connection: AsyncConnection,
    epoch: BaselineEpoch,
    query: Query,
    answers: Sequence[AnswerText],
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
            "chunk_lengths": [len(chunk) for chunk in answer.chunks], "tokens": answer.tokens,
            "verified_by": verified_by,
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
    epoch: BaselineEpoch,
    queries: Sequence[Query],
    *,
    until: datetime | None = None,
) -> dict[str, list[AnswerText]]:
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
    found: dict[str, list[AnswerText]] = {}
    for row in await connection.execute(wanted.order_by(table.id)):
        chunks = _chunks(row.text, row.chunk_lengths)
        found.setdefault(row.model, []).append(AnswerText(row.query, row.text, chunks))
    return found


async def held(connection: AsyncConnection, epoch: BaselineEpoch) -> list[AnswerText]:
    """The answers held in an epoch, oldest first: those that `adopt` would take."""
    table = identity_answers.c
    wanted = (
        select(table.query, table.text, table.chunk_lengths)
        .where(table.target == epoch.target, table.epoch == epoch.number, table.model.is_(None))
        .order_by(table.id)
    )
    return [
        AnswerText(row.query, row.text, _chunks(row.text, row.chunk_lengths))
        for row in await connection.execute(wanted)
    ]


def _chunks(text: str, lengths: Sequence[int]) -> tuple[str, ...]:
    """The chunks of a text; none where the lengths are not its own."""
    if sum(lengths) != len(text):
        return ()
    chunks, at = [], 0
    for length in lengths:
        chunks.append(text[at : at + length])
        at += length
    return tuple(chunks)


async def counts(connection: AsyncConnection, epoch: BaselineEpoch) -> Sequence[AnswerCount]:
    """How many answers are kept in an epoch, by model and query."""
    table = identity_answers.c
    counted = (
        select(table.model, table.query, func.count(), func.max(table.captured_at))
        .where(table.target == epoch.target, table.epoch == epoch.number)
        .group_by(table.model, table.query)
        .order_by(table.model.nulls_last(), table.query)
    )
    return [AnswerCount(*row) for row in await connection.execute(counted)]


async def adopt(connection: AsyncConnection, old: BaselineEpoch, new: BaselineEpoch) -> int:
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
              table.chunk_lengths, table.tokens, table.verified_by, table.captured_at]  # fmt: skip
    theirs = select(*copied, literal(new.number)).where(*of_old, table.model != old.model)
    await connection.execute(
        insert(identity_answers).from_select([*(c.name for c in copied), "epoch"], theirs)
    )
    return adopted


async def release(connection: AsyncConnection, epoch: BaselineEpoch) -> None:
    """Forget held answers: what was suspected has passed."""
    table = identity_answers.c
    await connection.execute(delete(identity_answers).where(
        table.target == epoch.target, table.epoch == epoch.number, table.model.is_(None)
    ))  # fmt: skip
