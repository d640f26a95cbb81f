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
_EXCERPT = 200  # characters of a captured answer, as of the excerpt of an observation
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
    """The start of an answer that belongs to an incident, and of an expected one to compare.

    `before` is a captured answer of the baseline that was in force, else the last expected answer
    from before the round that preceded the breach: that round may already be of the new model.
    """

    query: str
    now: str
    before: str | None

    def facts(self, *, in_breach: bool) -> Mapping[str, str]:
        """As facts of a message. `in_breach`: the incident is in breach at present."""
        said = {f"Answer {'now' if in_breach else 'during the breach'} ({self.query})": self.now}
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

    `since`: when the breach began. The answer before it is one to the same query, if there is one.
    """
    if not rows:
        return None
    given = {"ids": list(rows), "since": since, "oldest": since - _EXPECTED, "most": _EXCERPT}
    found = (await connection.execute(_EXCERPTS, given)).one_or_none()
    return AnswerExcerpts(*found) if found else None


_BY_QUERY = text("""
    WITH probes AS (
        SELECT target, query, good, ttft_judged_ms, cost_usd, model_detected,
            started_at >= :since AS during
        FROM report.observations
        WHERE (:every OR target = :scope) AND slot >= :before AND slot <= :until
            AND started_at >= :before AND started_at < :until
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
    , doubtful AS (
        SELECT coalesce((
            SELECT before.slot FROM observations AS before
            WHERE before.target = latest.target AND before.slot >= :oldest
                AND before.slot < breach.slot AND before.started_at < :since
            ORDER BY before.started_at DESC LIMIT 1
        ), breach.slot) AS slot
        FROM latest CROSS JOIN LATERAL (
            SELECT first.slot FROM observations AS first
            WHERE first.target = latest.target AND first.slot >= :oldest
                AND first.started_at >= :since
            ORDER BY first.started_at LIMIT 1
        ) AS breach
    ), captured AS (
        SELECT left(answer.text, :most) AS excerpt
        FROM latest CROSS JOIN doubtful CROSS JOIN LATERAL (
            SELECT epoch, model FROM identity_epochs
            WHERE target = latest.target AND began_at < :since
                AND (reverted_at IS NULL OR reverted_at > :since)
            ORDER BY epoch DESC LIMIT 1
        ) AS baseline
        JOIN identity_answers AS answer ON answer.target = latest.target
            AND answer.query = latest.query AND answer.epoch = baseline.epoch
            AND answer.model = baseline.model
        WHERE answer.verified_by = 'operator' AND answer.captured_at < doubtful.slot
        ORDER BY answer.captured_at DESC LIMIT 1
    ), earlier AS (
        SELECT earlier.answer_excerpt AS excerpt
        FROM latest CROSS JOIN doubtful
        JOIN observations AS earlier USING (target, query)
        WHERE earlier.identity = 'expected' AND earlier.answer_excerpt IS NOT NULL
            AND earlier.slot >= :oldest AND earlier.slot < doubtful.slot
            AND earlier.started_at >= :oldest
        ORDER BY earlier.started_at DESC LIMIT 1
    )
    SELECT query, answer_excerpt,
        coalesce((SELECT excerpt FROM captured), (SELECT excerpt FROM earlier))
    FROM latest
""")
