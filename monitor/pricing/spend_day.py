"""The spend of one day, computed from five-minute slices and account readings."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Literal

from monitor.pricing.meters import (
    FRESH_FOR,
    AccountSpend,
    DailySpend,
    ProviderDay,
    ServedAnswers,
    UsdAmount,
    daily_spend,
    traffic_shares,
)

SLICE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendSlice:
    """The answers of one model of one target in five minutes, and their cost.

    `answers` counts complete answers; `unpriced` those of any kind without a price; `mean_usd` is
    the mean of the priced ones. Answers of unknown model with a range form a slice of their own:
    `probes_usd` and `mean_usd` are its low end, `high_usd` and `mean_high_usd` its high end,
    `unpriced` those whose range lacks a model.
    """

    target: str
    starts_at: datetime
    model: str | None
    probes_usd: Decimal
    answers: int
    unpriced: int
    mean_usd: Decimal | None
    high_usd: Decimal | None = None
    mean_high_usd: Decimal | None = None

    @property
    def ranged(self) -> bool:
        return self.high_usd is not None

    @property
    def spent(self) -> UsdAmount:
        """What our own probes cost."""
        margin = Decimal(0) if self.high_usd is None else self.high_usd - self.probes_usd
        return UsdAmount(self.probes_usd, self.unpriced > 0, margin)


@dataclass(frozen=True, slots=True)
class SpentDay:
    """The day so far, and what each five minutes of it cost by our own meters."""

    spend: DailySpend
    slices: tuple[tuple[datetime, Decimal], ...]


def spent_day(
    received: Sequence[SpendSlice],
    *,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    daily_queries: Mapping[str, int],
    provider_of: Callable[[str], str | None],
    accounts: Mapping[str, AccountSpend],
    fresh_for: timedelta = FRESH_FOR,
    billers: Mapping[str, Collection[str | None]] | None = None,
    length: timedelta | None = None,
) -> SpentDay:
    """Sum the day over providers: each by its account if known, else probes and traffic.

    `received` lies within the day, in any order. In a slice without probes, traffic is assumed to
    be served as before: missing probes do not mean low usage. `billers`: by target, the providers
    that bill for its declared models. If the account of one is known, it may already include an
    answer of unknown model: then only the high end of that answer counts, and nothing of it if the
    accounts of all are known. `length`: of a whole day, if `starts_at` is not its midnight.
    """
    until = min(now, ends_at)
    probes: dict[str | None, UsdAmount] = {}
    by_slice: dict[datetime, Decimal] = {}
    unknown: dict[str, UsdAmount] = {}  # by target, the cost of its answers of unknown model
    for item in received:
        provider = provider_of(item.model) if item.model else None
        probes[provider] = probes.get(provider, UsdAmount()) + item.spent
        if item.ranged:
            unknown[item.target] = unknown.get(item.target, UsdAmount()) + item.spent
        by_slice[item.starts_at] = by_slice.get(item.starts_at, Decimal(0)) + item.probes_usd
    used: dict[str | None, UsdAmount] = {}
    for target, queries in daily_queries.items():
        own = [item for item in received if item.target == target]
        for begins, span, serving in _serving(own, starts_at, until, provider_of):
            spent = traffic_shares(
                serving, daily_queries=queries, span=span, day=length or ends_at - starts_at
            )
            for share, amount in spent:
                provider = share.provider if share else None
                used[provider] = used.get(provider, UsdAmount()) + amount
                if share and share.mean_high_usd is not None:
                    unknown[target] = unknown.get(target, UsdAmount()) + amount
                by_slice[begins] = by_slice.get(begins, Decimal(0)) + amount.usd
    read = {name for name, account in accounts.items() if until - account.at <= fresh_for}
    held = sum(
        (
            _held(amount, (billers or {}).get(target, ()), known=accounts.keys(), read=read)
            for target, amount in unknown.items()
        ),
        UsdAmount(),
    )
    days = [
        ProviderDay(
            provider=provider,
            probes=probes.get(provider, UsdAmount()),
            traffic=used.get(provider, UsdAmount()),
            account=accounts.get(provider) if provider else None,
            held=UsdAmount() if provider else held,
        )
        for provider in sorted({*probes, *used, *accounts}, key=str)
    ]
    return SpentDay(
        daily_spend(days, now=until, fresh_for=fresh_for), tuple(sorted(by_slice.items()))
    )


def _held(
    unknown: UsdAmount, billers: Collection[str | None], *, known: Collection[str], read: Set[str]
) -> UsdAmount:
    """What to subtract for accounts that may include it: the low end, or all of it."""
    if billers and set(billers) <= read:
        return UsdAmount(unknown.usd, margin_usd=unknown.margin_usd)
    if any(provider in known for provider in billers):
        return UsdAmount(unknown.usd, margin_usd=-unknown.usd)
    return UsdAmount()


def _serving(
    received: Iterable[SpendSlice],
    starts_at: datetime,
    until: datetime,
    provider_of: Callable[[str], str | None],
) -> Iterator[tuple[datetime, timedelta, list[ServedAnswers]]]:
    """The serving models in every slice so far; before the first answer, the first model."""
    at = attrgetter("starts_at")
    found = {
        begins: [_share(item, provider_of) for item in items if item.answers > 0]
        for begins, items in groupby(sorted(received, key=at), key=at)
    }
    served = next((shares for shares in found.values() if shares), [])
    begins = starts_at
    while begins < until:
        served = found.get(begins) or served
        yield begins, min(SLICE, until - begins), served
        begins += SLICE


def _share(item: SpendSlice, provider_of: Callable[[str], str | None]) -> ServedAnswers:
    provider = provider_of(item.model) if item.model else None
    return ServedAnswers(
        provider, item.answers, item.mean_usd, item.mean_high_usd, item.unpriced > 0, item.model
    )


# The spend of each hour by target, model, provider and meter, from the slices of the day.


Meter = Literal["probes", "traffic"]
Key = tuple[str, str | None, str | None, Meter]
_HALF_HOUR = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentHour:
    """What one target cost in an hour on one model, by one meter.

    `model` None: not identified. `provider` None: unknown.
    """

    starts_at: datetime
    until: datetime
    target: str
    model: str | None
    provider: str | None
    meter: Meter
    spent: UsdAmount


def hour_of(at: datetime, zone: tzinfo) -> datetime:
    """Start of the zone's hour that contains an instant, in UTC, as `report.hour_of` in SQL.

    Where the clock is changed by half an hour, that hour lasts 30 or 90 minutes.
    """
    return at.astimezone(zone).replace(minute=0, second=0, microsecond=0).astimezone(UTC)


def hour_end(at: datetime, zone: tzinfo) -> datetime:
    """End of that hour, in UTC."""
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

    As in the day's sum, traffic is assumed to be served as before where there are no answers.
    `length`: of a whole day, if `starts_at` is not its midnight; its first hour may be short.
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
        for begins, span, serving in _serving(own, starts_at, until, provider_of):
            used = traffic_shares(
                serving, daily_queries=queries, span=span, day=length or ends_at - starts_at
            )
            for share, spent in used:
                model, provider = (share.model, share.provider) if share else (None, None)
                add(begins, (target, model, provider, "traffic"), spent)
    return [
        SpentHour(
            starts_at=hour,
            until=min(hour_end(hour, zone), until),
            target=target,
            model=model,
            provider=provider,
            meter=meter,
            spent=spent,
        )
        for (hour, (target, model, provider, meter)), spent in sums.items()
    ]
