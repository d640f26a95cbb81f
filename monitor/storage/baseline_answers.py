"""Captured answers, from which fingerprints are learned, and held answers of unknown model."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import ScalarSelect, delete, func, literal, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Claim, Query
from monitor.identity.fingerprint.features import AnswerText, language
from monitor.identity.learning import MOST_CAPTURED, AnswerCount
from monitor.identity.token_counts.comparison import Fitted
from monitor.identity.token_counts.counts import LEAST, TokenCount, recounted, shape
from monitor.redaction import storable
from monitor.storage.fingerprints import BaselineEpoch
from monitor.storage.identity_tables import identity_answers, identity_epochs, identity_tokenizers


def prompt(query: Query) -> str:
    """A hash of a canned query's text: answers to an earlier text do not count."""
    return hashlib.sha256(query.text.encode()).hexdigest()


class NewAnswer(NamedTuple):
    """An answer to store. `model` None: held until its model is known."""

    epoch: BaselineEpoch
    query: Query
    answer: AnswerText
    model: str | None
    verified_by: str | None


async def add(
    connection: AsyncConnection,
    epoch: BaselineEpoch,
    query: Query,
    answers: Sequence[AnswerText],
    *,
    model: str | None,
    verified_by: str | None,
) -> None:
    """Store answers of one model to one query."""
    new = [NewAnswer(epoch, query, answer, model, verified_by) for answer in answers]
    await add_each(connection, new)


async def add_each(connection: AsyncConnection, new: Sequence[NewAnswer]) -> None:
    """Store answers; the latest `MOST_CAPTURED` of each model and query are kept."""
    if not new:
        return
    rows: list[dict[str, object]] = [
        {
            "target": one.epoch.target,
            "epoch": one.epoch.number,
            "model": one.model,
            "query": one.query.id,
            "prompt_sha256": prompt(one.query),
            "text": storable(one.answer.text),
            "chunk_lengths": [],  # nothing is judged by them
            "tokens": one.answer.tokens,
            "verified_by": one.verified_by,
        }
        for one in new
    ]
    await connection.execute(insert(identity_answers), rows)
    groups = {(one.epoch.target, one.epoch.number, one.model, one.query.id) for one in new}
    columns = zip(*groups, strict=True)
    values = dict(zip(("targets", "epochs", "models", "queries"), map(list, columns), strict=True))
    await connection.execute(_TRIM, values | {"most": MOST_CAPTURED})


_TRIM = text("""
    DELETE FROM identity_answers WHERE target = ANY(CAST(:targets AS text[])) AND id IN (
        SELECT id FROM (
            SELECT a.id, row_number() OVER (
                PARTITION BY a.target, a.epoch, a.model, a.query ORDER BY a.id DESC
            ) AS nth
            FROM unnest(
                CAST(:targets AS text[]), CAST(:epochs AS integer[]), CAST(:models AS text[]),
                CAST(:queries AS text[])
            ) AS given (target, epoch, model, query)
            JOIN identity_answers AS a ON a.target = given.target AND a.epoch = given.epoch
                AND a.query = given.query AND a.model IS NOT DISTINCT FROM given.model
            WHERE a.target = ANY(CAST(:targets AS text[]))
        ) AS counted
        WHERE nth > :most
    )
""")


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
    found = await captured(connection, [epoch])
    return found[epoch.target].counts if epoch.target in found else ()


@dataclass(slots=True)
class CapturedSoFar:
    """The answers stored in one epoch.

    `newest`: the id of the newest one whose token count is usable, which changes whenever
    `confirmed` would find others; 0: there is none.
    """

    counts: list[AnswerCount] = field(default_factory=list)
    newest: int = 0


async def captured(
    connection: AsyncConnection, epochs: Iterable[BaselineEpoch]
) -> Mapping[str, CapturedSoFar]:
    """What is stored in these epochs, by target; targets without answers are left out."""
    table = identity_answers.c
    usable = func.max(table.id).filter(table.model.is_not(None), table.tokens >= LEAST)
    counted = (
        select(
            table.target,
            table.model,
            table.query,
            func.count(),
            func.max(table.captured_at),
            func.coalesce(usable, 0),
        )
        .where(tuple_(table.target, table.epoch).in_([(one.target, one.number) for one in epochs]))
        .group_by(table.target, table.model, table.query)
        .order_by(table.model.nulls_last(), table.query)
    )
    found: dict[str, CapturedSoFar] = {}
    for target, model, query, count, latest_at, newest in await connection.execute(counted):
        of = found.setdefault(target, CapturedSoFar())
        of.counts.append(AnswerCount(model, query, count, latest_at))
        of.newest = max(of.newest, newest)
    return found


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


async def before(
    connection: AsyncConnection, targets: Collection[str], *, at: datetime, most: int
) -> Mapping[str, Sequence[TokenCount]]:
    """The counts of each target's answers before an instant, newest first."""
    values = {"targets": list(targets), "at": at, "since": at - FRESH, "most": most}
    found: dict[str, list[TokenCount]] = {target: [] for target in targets}
    for target, query, claims in await connection.execute(_BEFORE, values):
        count = recounted(_CLAIMS.validate_python(claims), query)
        if count is not None:
            found[target].append(count)
    return found


_BEFORE = text("""
    SELECT given.target, latest.query, latest.claims
    FROM unnest(CAST(:targets AS text[])) AS given (target) CROSS JOIN LATERAL (
        SELECT o.query,
            jsonb_path_query_array(o.claims, '$[*] ? (@.kind == "accounting")') AS claims
        FROM observations AS o
        WHERE o.target = given.target AND o.started_at < :at AND o.started_at >= :since
            AND o.outcome = 'answered' AND o.origin <> 'manual'
            AND o.claims @> '[{"kind": "accounting"}]'
        ORDER BY o.started_at DESC LIMIT :most
    ) AS latest
""")


async def seen_to_fit(
    connection: AsyncConnection, targets: Collection[str]
) -> Mapping[str, frozenset[Fitted]]:
    """Models whose tokenizer once fitted each target's counts, and for which query."""
    table = identity_tokenizers.c
    found = select(table.target, table.model, table.query).where(table.target.in_(targets))
    fitted: dict[str, set[Fitted]] = {target: set() for target in targets}
    for row in await connection.execute(found):
        fitted[row.target].add((row.model, row.query))
    return {target: frozenset(of) for target, of in fitted.items()}


async def fits(connection: AsyncConnection, found: Iterable[tuple[str, Fitted]]) -> None:
    """Record which models' tokenizers fit, and for which target and query. Safe to repeat."""
    rows = [{"target": target, "model": of[0], "query": of[1]} for target, of in sorted(found)]
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
