"""How the answers of a target came about: failed attempts, gateway headers, configurations."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import ClaimKind, ProviderAttempt
from monitor.identity.claims import FALLBACK_COUNTS
from monitor.rules.cause_sources import AnswerRoute
from monitor.storage.observations import PARTITIONS_AHEAD
from monitor.storage.tables import observations

MOST = 200  # answers of one incident that are examined
# A round may last longer than its slot suggests: its answers are found by their own time.
_ROUTES = text("""
    SELECT o.id, o.started_at, record.attempts, header.value ->> 'value', header.value ->> 'source'
    FROM observations AS o
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(attempt.value) AS attempts
        FROM receipts AS r CROSS JOIN LATERAL jsonb_array_elements(r.attempts) AS attempt
        WHERE r.slot = o.slot AND r.observation = o.id AND r.attempts IS NOT NULL
    ) AS record ON true
    LEFT JOIN LATERAL (
        SELECT claim.value FROM jsonb_array_elements(o.claims) AS claim
        WHERE claim.value ->> 'kind' = :header AND claim.value ->> 'source' = ANY(:counts)
        ORDER BY claim.value ->> 'value' DESC LIMIT 1
    ) AS header ON true
    WHERE o.target = :target AND o.origin <> 'manual' AND o.outcome = 'answered'
        AND o.slot BETWEEN CAST(:since AS timestamptz) - interval '1 hour' AND :until
        AND o.started_at BETWEEN :since AND :until
        AND (record.attempts IS NOT NULL OR header.value IS NOT NULL)
    ORDER BY o.started_at, o.id LIMIT :most
""")


async def routes(
    connection: AsyncConnection, target: str, *, since: datetime, until: datetime
) -> Sequence[AnswerRoute]:
    """Of the answers that began in this time, those with a record or a count, oldest first."""
    found = await connection.execute(
        _ROUTES,
        {"target": target, "since": since, "until": until, "most": MOST}
        | {"header": ClaimKind.HEADER.value, "counts": sorted(FALLBACK_COUNTS)},
    )
    return [
        AnswerRoute(id, at, _attempts(attempts), _number(count), header or "")
        for id, at, attempts, count, header in found
    ]


def _attempts(stored: Any) -> Sequence[ProviderAttempt] | None:
    if not isinstance(stored, list):
        return None
    return [ProviderAttempt(one["status"], one["host"], one["model"]) for one in stored]


def _number(value: str | None) -> int | None:
    """A plausible number of attempts; a header is foreign."""
    return (
        int(value) if value and value.isascii() and value.isdecimal() and len(value) < 4 else None
    )


async def configurations(
    connection: AsyncConnection, target: str, *, since: datetime, until: datetime
) -> Sequence[datetime]:
    """When the configuration changed in that time, oldest first; one may come back.

    A worker has another one than in its round before, or a new worker has another one than the
    round before in its region. A change counts from the second round that the worker has it. It
    does not count if a new worker only joins one that goes on with the old configuration, as in
    a rolling deployment: then both are in use.
    """
    table = observations.c
    at = func.min(table.started_at).label("at")
    # a round is all queries of a slot; a worker may read its configuration again meanwhile
    of_rounds = (
        select(table.region, table.worker, table.config_hash, at)
        .where(table.target == target, table.slot >= since, table.origin != "manual")
        .where(table.started_at <= until + PARTITIONS_AHEAD)
        .group_by(table.region, table.worker, table.slot, table.config_hash)
        .order_by(table.region, at, table.worker)
    )
    rounds = [_Round(*row) for row in await connection.execute(of_rounds)]
    regions = groupby(rounds, key=lambda one: one.region)
    return sorted(at for _, found in regions for at in _changes(list(found)))


class _Round(NamedTuple):
    region: str
    worker: str
    config_hash: str
    at: datetime


def _changes(rounds: Sequence[_Round]) -> Iterator[datetime]:
    """When the configuration changed in the rounds of one region, which are in order of time."""
    latest: dict[str, _Round] = {}  # of each worker so far
    for nth, one in enumerate(rounds):
        before = latest.get(one.worker) or (rounds[nth - 1] if nth else one)
        if one.config_hash != before.config_hash:
            later = rounds[nth + 1 :]
            kept = next((r.config_hash for r in later if r.worker == one.worker), None)
            goes_on = one.worker not in latest and any(
                r.config_hash == before.config_hash and r.worker in latest for r in later
            )
            if kept == one.config_hash and not goes_on:
                yield one.at
        latest[one.worker] = one
