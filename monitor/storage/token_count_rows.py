"""Token counts in the database: beside confirmed answers, and among the claims of probes."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from pydantic import TypeAdapter
from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Claim, Outcome, Query
from monitor.identity.fingerprint.language import language
from monitor.identity.token_counts.comparison import Fitted
from monitor.identity.token_counts.counts import LEAST, TokenCount, recounted, shape
from monitor.storage.baseline_answers import prompt
from monitor.storage.identity_tables import (
    identity_answers,
    identity_epochs,
    identity_tokenizers,
)
from monitor.storage.tables import observations

_CLAIMS: TypeAdapter[tuple[Claim, ...]] = TypeAdapter(tuple[Claim, ...])
FRESH = timedelta(hours=6)  # older answers do not speak with one of now
_COUNTED = [{"kind": "accounting"}]


async def confirmed(
    connection: AsyncConnection, target: str, queries: Collection[Query]
) -> dict[str, list[TokenCount]]:
    """The counts beside the answers of the baseline in force, by model, oldest first."""
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
    """The number of the target's baseline in force: the highest that is not reverted."""
    table = identity_epochs.c
    numbers = select(func.max(table.epoch))
    return numbers.where(table.target == target, table.reverted_at.is_(None)).scalar_subquery()


async def newest(connection: AsyncConnection, target: str) -> tuple[int, int]:
    """What changes whenever `confirmed` finds others: its epoch, and its newest row."""
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
    """Write down for which queries these models' tokenizers fit. Safe to repeat."""
    rows = [{"target": target, "model": model, "query": query} for model, query in found]
    if rows:
        await connection.execute(insert(identity_tokenizers).on_conflict_do_nothing(), rows)
