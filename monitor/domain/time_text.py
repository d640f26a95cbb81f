"""Times and durations as people read them."""

from datetime import UTC, datetime, timedelta


def instant(at: datetime, *, now: datetime) -> str:
    """A time in UTC, with its date unless that is today's."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def lasting(span: timedelta) -> str:
    """A duration in its two largest units, cut to whole ones; in seconds below a minute."""
    seconds = max(int(span.total_seconds()), 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds} s"
