"""The spend of each hour by target, model, provider and meter, from the slices of the day's sum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from monitor.pricing.meters import UsdAmount, traffic_shares
from monitor.pricing.spend_day import SpendSlice
from monitor.pricing.spend_day import _serving as serving_by_slice

Meter = Literal["probes", "traffic"]
Key = tuple[str, str | None, str | None, Meter]
_HALF_HOUR = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentHour:
    """What one target cost in an hour on one model, by one meter.

    `model` None: not identified. `provider` None: nobody can tell who bills.
    """

    starts_at: datetime
    until: datetime
    target: str
    model: str | None
    provider: str | None
    meter: Meter
    spent: UsdAmount


def hour_of(at: datetime, zone: tzinfo) -> datetime:
    """Start of the zone's hour that an instant lies in, UTC, as `report.hour_of` in SQL.

    Where the clock steps by half an hour, the hour of the step lasts 30 or 90 minutes.
    """
    return at.astimezone(zone).replace(minute=0, second=0, microsecond=0).astimezone(UTC)


def hour_end(at: datetime, zone: tzinfo) -> datetime:
    """End of that hour, UTC."""
    end = starts_at = hour_of(at, zone)
    while hour_of(end, zone) == starts_at:
        end += _HALF_HOUR
    return end


def spent_hours(
    received: Sequence[SpendSlice],
    *,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    daily_queries: Mapping[str, int],
    provider_of: Callable[[str], str | None],
    zone: tzinfo = UTC,
    length: timedelta | None = None,
) -> list[SpentHour]:
    """Split a day so far, from `starts_at` to `ends_at`, into its hours; the last may be short.

    As in the day's sum, traffic is taken to be served as it last was where nothing was heard.
    `length`: of a whole day, where `starts_at` is not its midnight; its first hour may be short.
    """
    until = min(now, ends_at)
    sums: dict[tuple[datetime, Key], UsdAmount] = {}

    def add(at: datetime, key: Key, amount: UsdAmount) -> None:
        hour = max(hour_of(at, zone), starts_at)
        sums[hour, key] = sums.get((hour, key), UsdAmount()) + amount

    for item in received:
        provider = provider_of(item.model) if item.model else None
        add(item.starts_at, (item.target, item.model, provider, "probes"), item.spent)
    for target, queries in daily_queries.items():
        own = [item for item in received if item.target == target]
        for begins, span, serving in serving_by_slice(own, starts_at, until, provider_of):
            used = traffic_shares(
                serving, daily_queries=queries, span=span, day=length or ends_at - starts_at
            )
            for share, spent in used:
                model, provider = (share.model, share.provider) if share else (None, None)
                add(begins, (target, model, provider, "traffic"), spent)
    return [
        SpentHour(starts_at=hour, until=min(hour_end(hour, zone), until), target=target,
                  model=model, provider=provider, meter=meter, spent=spent)
        for (hour, (target, model, provider, meter)), spent in sums.items()
    ]  # fmt: skip
