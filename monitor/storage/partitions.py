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
    """Make what is missing; returns the names of those made. May be killed anywhere.

    Rows that came before their month was made move into it.
    """
    made = []
    for first, _ in months(today):
        if await connection.scalar(text("SELECT make_month(:first)"), {"first": first}):
            made.append(f"observations_{first:%Y_%m}")
    return made
