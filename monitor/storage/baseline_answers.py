"""Captured answers, from which fingerprints are learned, and held answers of unknown model."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import ScalarSelect, delete, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Claim, Outcome, Query
from monitor.identity.fingerprint.features import AnswerText, language
from monitor.identity.learning import MOST_CAPTURED, AnswerCount
from monitor.identity.token_counts.comparison import Fitted
from monitor.identity.token_counts.counts import LEAST, TokenCount, recounted, shape
from monitor.redaction import storable
from monitor.storage.fingerprints import (
    BaselineEpoch,
    identity_answers,
    identity_epochs,
    identity_tokenizers,
)
from monitor.storage.tables import observations


def prompt(query: Query) -> str:
    """A hash of a canned query's text: answers to an earlier text do not count."""
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
    """Store answers, the latest `MOST_CAPTURED` of a model and query. `model` None: held."""
    if not answers:
        return
    rows: list[dict[str, object]] = [
        {
            "target": epoch.target,
            "epoch": epoch.number,
            "model": model,
            "query": query.id,
            "prompt_sha256": prompt(query),
            "text": storable(answer.text),
            "chunk_lengths": [],  # nothing is judged by them
            "tokens": answer.tokens,
            "verified_by": verified_by,
        }
        for answer in answers
    ]
    await connection.execute(insert(identity_answers), rows)
    table = identity_answers.c
    of = (
        table.target == epoch.target,
        table.epoch == epoch.number,
        table.query == query.id,
        table.model.is_not_distinct_from(model),
    )
    kept = select(table.id).where(*of).order_by(table.id.desc()).limit(MOST_CAPTURED)
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
    """The answers of each known model to the queries in their current wording, oldest first."""
    table = identity_answers.c
    wanted = select(table.model, table.query, table.text).where(
        table.target == epoch.target,
        table.epoch == epoch.number,
        table.model.is_not(None),
        table.prompt_sha256.in_([prompt(query) for query in queries]),
    )
    if until is not None:
        wanted = wanted.where(table.captured_at <= until)
    found: dict[str, list[AnswerText]] = {}
    for row in await connection.execute(wanted.order_by(table.id)):
        found.setdefault(row.model, []).append(AnswerText(row.query, row.text))
    return found


async def held(connection: AsyncConnection, epoch: BaselineEpoch) -> list[AnswerText]:
    """The held answers of an epoch, oldest first: those that `adopt` would take."""
    table = identity_answers.c
    wanted = (
        select(table.query, table.text)
        .where(table.target == epoch.target, table.epoch == epoch.number, table.model.is_(None))
        .order_by(table.id)
    )
    return [AnswerText(row.query, row.text) for row in await connection.execute(wanted)]


async def counts(connection: AsyncConnection, epoch: BaselineEpoch) -> Sequence[AnswerCount]:
    """How many answers are stored in an epoch, by model and query."""
    table = identity_answers.c
    counted = (
        select(table.model, table.query, func.count(), func.max(table.captured_at))
        .where(table.target == epoch.target, table.epoch == epoch.number)
        .group_by(table.model, table.query)
        .order_by(table.model.nulls_last(), table.query)
    )
    return [AnswerCount(*row) for row in await connection.execute(counted)]


async def adopt(connection: AsyncConnection, old: BaselineEpoch, new: BaselineEpoch) -> int:
    """Make the held answers of one epoch the baseline of another; returns how many.

    The answers of fallbacks are carried over.
    """
    table = identity_answers.c
    of_old = (table.target == old.target, table.epoch == old.number)
    held = (
        update(identity_answers)
        .where(*of_old, table.model.is_(None))
        .values(epoch=new.number, model=new.model, verified_by=new.verified_by)
    )
    adopted = len((await connection.execute(held.returning(table.id))).all())
    copied = [
        table.target,
        table.model,
        table.query,
        table.prompt_sha256,
        table.text,
        table.chunk_lengths,
        table.tokens,
        table.verified_by,
        table.captured_at,
    ]
    theirs = select(*copied, literal(new.number)).where(*of_old, table.model != old.model)
    await connection.execute(
        insert(identity_answers).from_select([*(c.name for c in copied), "epoch"], theirs)
    )
    return adopted


async def release(connection: AsyncConnection, epoch: BaselineEpoch) -> None:
    """Delete held answers: the suspicion has passed."""
    table = identity_answers.c
    await connection.execute(
        delete(identity_answers).where(
            table.target == epoch.target, table.epoch == epoch.number, table.model.is_(None)
        )
    )


# Token counts in the database: with confirmed answers, and among the claims of probes.


_CLAIMS: TypeAdapter[tuple[Claim, ...]] = TypeAdapter(tuple[Claim, ...])
FRESH = timedelta(hours=6)  # older answers are not combined with current ones
_COUNTED = [{"kind": "accounting"}]


async def confirmed(
    connection: AsyncConnection, target: str, queries: Collection[Query]
) -> dict[str, list[TokenCount]]:
    """The counts of the current baseline's answers, by model, oldest first."""
    table = identity_answers.c
    kept = (
        select(table.model, table.query, table.text, table.tokens)
        .where(table.target == target, table.epoch == _in_force(target))
        .where(table.model.is_not(None), table.tokens >= LEAST)
        .where(table.prompt_sha256.in_([prompt(query) for query in queries]))
        .order_by(table.id)
    )
    found: dict[str, list[TokenCount]] = {}
    for row in await connection.execute(kept):
        count = TokenCount(row.query, row.tokens, shape(row.text), language(row.text))
        found.setdefault(row.model, []).append(count)
    return found


def _in_force(target: str) -> ScalarSelect[int]:
    """The number of the target's current baseline: the highest that is not reverted."""
    table = identity_epochs.c
    numbers = select(func.max(table.epoch))
    return numbers.where(table.target == target, table.reverted_at.is_(None)).scalar_subquery()


async def newest(connection: AsyncConnection, target: str) -> tuple[int, int]:
    """What changes whenever `confirmed` would find others: its epoch, and its newest row."""
    table = identity_answers.c
    latest = (
        select(table.epoch, func.max(table.id))
        .where(table.target == target, table.epoch == _in_force(target))
        .where(table.model.is_not(None), table.tokens >= LEAST)
        .group_by(table.epoch)
    )
    row = (await connection.execute(latest)).one_or_none()
    return (row[0], row[1]) if row else (0, 0)


async def before(
    connection: AsyncConnection, target: str, *, at: datetime, most: int
) -> Sequence[TokenCount]:
    """The counts of the answers before an instant, newest first."""
    table = observations.c
    latest = (
        select(table.query, table.claims)
        .where(table.target == target, table.started_at < at, table.started_at >= at - FRESH)
        .where(table.outcome == Outcome.ANSWERED.value, table.origin != "manual")
        .where(table.claims.contains(_COUNTED))
        .order_by(table.started_at.desc())
        .limit(most)
    )
    rows = await connection.execute(latest)
    counts = (recounted(_CLAIMS.validate_python(row.claims), row.query) for row in rows)
    return [count for count in counts if count]


async def seen_to_fit(connection: AsyncConnection, target: str) -> frozenset[Fitted]:
    """Models whose tokenizer once fitted this target's counts, and for which query."""
    table = identity_tokenizers.c
    found = select(table.model, table.query).where(table.target == target)
    return frozenset((row.model, row.query) for row in await connection.execute(found))


async def fits(connection: AsyncConnection, target: str, found: Iterable[Fitted]) -> None:
    """Record for which queries these models' tokenizers fit. Safe to repeat."""
    rows = [{"target": target, "model": model, "query": query} for model, query in found]
    if rows:
        await connection.execute(insert(identity_tokenizers).on_conflict_do_nothing(), rows)


# The true sizes of prompts: what streams and the provider's records state.


LOOK_BACK = timedelta(days=7)


class PromptSizes(NamedTuple):
    """Prompt tokens of one query, means of the last week. None: nothing states them."""

    reported: int | None
    reports: int
    recorded: int | None
    records: int


async def sizes(connection: AsyncConnection, target: str) -> Mapping[str, PromptSizes]:
    """By query id: as streams reported them, and as the provider's receipts recorded them."""
    rows = await connection.execute(text(_SIZES), {"target": target, "back": LOOK_BACK})
    return {row.query: PromptSizes(*row[1:]) for row in rows}


_SIZES = """
    SELECT o.query,
        round(avg(o.prompt_tokens) FILTER (WHERE o.cost_source = 'reported'))::integer AS reported,
        count(o.prompt_tokens) FILTER (WHERE o.cost_source = 'reported')::integer AS reports,
        round(avg(r.prompt_tokens))::integer AS recorded,
        count(r.prompt_tokens)::integer AS records
    FROM observations AS o
    LEFT JOIN receipts AS r
        ON r.observation = o.id AND r.slot = o.slot AND r.model IS NOT NULL
    WHERE o.target = :target AND o.slot >= now() - CAST(:back AS interval)
    GROUP BY o.query
"""
