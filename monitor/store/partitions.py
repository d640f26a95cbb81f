"""Month partitions of the observations, made ahead of time."""

from datetime import date, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

AHEAD = 2  # months besides the running one


def months(today: date, ahead: int = AHEAD) -> list[tuple[date, date]]:
    """First days of the month before, the running one and those ahead, each with its end."""
    first = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    spans = []
    for _ in range(ahead + 2):
        following = (first + timedelta(days=31)).replace(day=1)
        spans.append((first, following))
        first = following
    return spans


async def ensure(connection: AsyncConnection, today: date) -> list[str]:
    """Make what is missing; returns the names of those made. May be killed anywhere."""
    made = []
    for first, following in months(today):
        name = f"observations_{first:%Y_%m}"
        if await connection.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": name}):
            continue
        await connection.execute(text(
            f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF observations "  # a date makes the name
            f"FOR VALUES FROM ('{first} 00:00+00') TO ('{following} 00:00+00')"
        ))  # fmt: skip
        made.append(name)
    return made
