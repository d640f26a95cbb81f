"""What observations say of an incident: figures of each query, and an answer now and before.

Both are read when they are shown and not stored again: texts of answers go with their rows.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import ALL

LONGEST = timedelta(days=7)  # of an incident, looked at
BEFORE = timedelta(days=1)  # looked at to compare with
_EXPECTED = timedelta(days=7)  # an older answer of the expected model is not searched for


class IncidentQuery(NamedTuple):
    """One query during an incident and in the day before it. None: not known."""

    target: str
    query: str
    probes: int
    failed: int
    ttft_ms: float | None  # medians
    ttft_before_ms: float | None
    cost_usd: Decimal | None  # means
    cost_before_usd: Decimal | None
    models: Sequence[str]  # that answered during it, most frequent first


class AnswerExcerpts(NamedTuple):
    """The start of an answer that belongs to an incident, and of the last expected one before."""

    query: str
    now: str
    before: str | None

    @property
    def facts(self) -> Mapping[str, str]:
        """As facts of a message."""
        said = {f"Answer now ({self.query})": self.now}
        return said | ({f"Answer before ({self.query})": self.before} if self.before else {})


async def by_query(
    connection: AsyncConnection, scope: str, *, since: datetime, until: datetime
) -> Sequence[IncidentQuery]:
    """Figures of every query of a target, or of all, that was asked between the two times."""
    since = max(since, until - LONGEST)
    given = {"every": scope == ALL, "scope": scope, "since": since, "until": until}
    rows = await connection.execute(_BY_QUERY, given | {"before": since - BEFORE})
    return [IncidentQuery(*row) for row in rows]


async def excerpts(
    connection: AsyncConnection, rows: Sequence[UUID], *, since: datetime
) -> AnswerExcerpts | None:
    """Of the newest of these rows that still has its text; None where none has.

    `since`: when the breach began. The answer before it is one to the same query.
    """
    if not rows:
        return None
    given = {"ids": list(rows), "since": since, "oldest": since - _EXPECTED}
    found = (await connection.execute(_EXCERPTS, given)).one_or_none()
    return AnswerExcerpts(*found) if found else None


_BY_QUERY = text("""
    WITH probes AS (
        SELECT target, query, good, ttft_judged_ms, cost_usd, model_detected,
            started_at >= :since AS during
        FROM report.observations
        WHERE (:every OR target = :scope) AND slot >= :before AND slot <= :until
            AND started_at >= :before AND started_at <= :until
    ), models AS (
        SELECT target, query, array_agg(model ORDER BY answers DESC, model) AS names
        FROM (
            SELECT target, query, model_detected AS model, count(*) AS answers
            FROM probes WHERE during AND model_detected IS NOT NULL GROUP BY 1, 2, 3
        ) AS counted GROUP BY 1, 2
    )
    SELECT target, query, count(*) FILTER (WHERE during),
        count(*) FILTER (WHERE during AND NOT good),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY ttft_judged_ms) FILTER (WHERE during),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY ttft_judged_ms) FILTER (WHERE NOT during),
        avg(cost_usd) FILTER (WHERE during), avg(cost_usd) FILTER (WHERE NOT during),
        coalesce(names, '{}')
    FROM probes LEFT JOIN models USING (target, query)
    GROUP BY target, query, names HAVING bool_or(during)
    ORDER BY target, query LIMIT 30
""")

_EXCERPTS = text("""
    WITH latest AS (
        SELECT target, query, answer_excerpt
        FROM observations
        WHERE id = ANY(:ids) AND slot >= :oldest AND answer_excerpt IS NOT NULL
        ORDER BY started_at DESC, query LIMIT 1
    )
    SELECT query, answer_excerpt, (
        SELECT earlier.answer_excerpt
        FROM observations AS earlier
        WHERE earlier.target = latest.target AND earlier.query = latest.query
            AND earlier.identity = 'expected' AND earlier.answer_excerpt IS NOT NULL
            AND earlier.slot >= :oldest
            AND earlier.started_at >= :oldest AND earlier.started_at < :since
        ORDER BY earlier.started_at DESC LIMIT 1
    )
    FROM latest
""")
