"""How large prompts really are: what streams and the provider's records say of them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

LOOK_BACK = timedelta(days=7)


class PromptSizes(NamedTuple):
    """Prompt tokens of one query, means of the last week. None: nothing says so."""

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
