"""The spend of each hour by target, provider and meter, from the same slices as the day's sum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from monitor.pricing.day import Slice
from monitor.pricing.day import _serving as serving_by_slice
from monitor.pricing.meters import Amount, traffic

Key = tuple[str, str | None, Literal["probes", "traffic"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentHour:
    """What one target cost in an hour by one meter. `provider` None: nobody can tell who bills."""

    starts_at: datetime
    until: datetime
    target: str
    provider: str | None
    meter: Literal["probes", "traffic"]
    spent: Amount


def spent_hours(
    heard: Sequence[Slice],
    *,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    daily_queries: Mapping[str, int],
    provider_of: Callable[[str], str | None],
) -> list[SpentHour]:
    """Split a day so far, from `starts_at` to `ends_at`, into its hours; the last may be short.

    As in the day's sum, traffic is taken to be served as it last was where nothing was heard.
    """
    until = min(now, ends_at)
    sums: dict[tuple[datetime, Key], Amount] = {}

    def add(at: datetime, key: Key, amount: Amount) -> None:
        hour = starts_at + (at - starts_at) // timedelta(hours=1) * timedelta(hours=1)
        sums[hour, key] = sums.get((hour, key), Amount()) + amount

    for item in heard:
        provider = provider_of(item.model) if item.model else None
        add(item.starts_at, (item.target, provider, "probes"), item.spent)
    for target, queries in daily_queries.items():
        own = [item for item in heard if item.target == target]
        for begins, span, serving in serving_by_slice(own, starts_at, until, provider_of):
            used = traffic(serving, daily_queries=queries, span=span, day=ends_at - starts_at)
            for provider, spent in used.items():
                add(begins, (target, provider, "traffic"), spent)
    return [
        SpentHour(starts_at=hour, until=min(hour + timedelta(hours=1), until), target=target,
                  provider=provider, meter=meter, spent=spent)
        for (hour, (target, provider, meter)), spent in sums.items()
    ]  # fmt: skip
