"""How the answers of a target came about: failed attempts, gateway headers, configurations."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

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
    """When each configuration in that time came into use, oldest first; one may come back."""
    table = observations.c
    order = (table.started_at, table.id)
    seen = (
        select(
            table.started_at.label("at"),
            table.config_hash,
            func.lag(table.config_hash).over(order_by=order).label("before"),
        )
        .where(table.target == target, table.slot >= since, table.origin != "manual")
        .where(table.started_at <= until + PARTITIONS_AHEAD)
        .subquery()
    )
    changed = select(seen.c.at).where(seen.c.config_hash.is_distinct_from(seen.c.before))
    return list(await connection.scalars(changed.order_by(seen.c.at)))
