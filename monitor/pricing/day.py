"""The spend of one day, put together from slices of five minutes and account readings."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import attrgetter

from monitor.pricing.meters import (
    FRESH_FOR,
    Account,
    Amount,
    DailySpend,
    ProviderDay,
    Serving,
    daily_spend,
    traffic,
)

SLICE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What one model of one target was heard to answer, and cost us, in five minutes.

    `answers` counts whole answers; `unpriced` those of any kind that have no price;
    `mean_usd` is the mean of the priced ones.
    """

    target: str
    starts_at: datetime
    model: str | None
    probes_usd: Decimal
    answers: int
    unpriced: int
    mean_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class SpentDay:
    """The day so far, and what each five minutes of it cost by our own meters."""

    spend: DailySpend
    slices: tuple[tuple[datetime, Decimal], ...]


def spent_day(
    heard: Sequence[Slice],
    *,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    daily_queries: Mapping[str, int],
    provider_of: Callable[[str], str | None],
    accounts: Mapping[str, Account],
    fresh_for: timedelta = FRESH_FOR,
) -> SpentDay:
    """Sum the day over providers: each by its account where known, else probes and traffic.

    `heard` lies within the day, in any order. Where nothing was heard for a slice, traffic
    is taken to be served as it last was: silence of ours is not thrift of theirs.
    """
    until = min(now, ends_at)
    probes: dict[str | None, Amount] = {}
    by_slice: dict[datetime, Decimal] = {}
    for item in heard:
        provider = provider_of(item.model) if item.model else None
        probes[provider] = probes.get(provider, Amount()) + Amount(
            item.probes_usd, at_least=item.unpriced > 0
        )
        by_slice[item.starts_at] = by_slice.get(item.starts_at, Decimal(0)) + item.probes_usd
    used: dict[str | None, Amount] = {}
    for target, queries in daily_queries.items():
        own = [item for item in heard if item.target == target]
        for begins, span, serving in _serving(own, starts_at, until, provider_of):
            spent = traffic(serving, daily_queries=queries, span=span, day=ends_at - starts_at)
            for provider, amount in spent.items():
                used[provider] = used.get(provider, Amount()) + amount
                by_slice[begins] = by_slice.get(begins, Decimal(0)) + amount.usd
    days = [
        ProviderDay(
            provider=provider,
            probes=probes.get(provider, Amount()),
            traffic=used.get(provider, Amount()),
            account=accounts.get(provider) if provider else None,
        )
        for provider in sorted({*probes, *used, *accounts}, key=str)
    ]
    return SpentDay(
        daily_spend(days, now=until, fresh_for=fresh_for), tuple(sorted(by_slice.items()))
    )


def _serving(
    heard: Iterable[Slice],
    starts_at: datetime,
    until: datetime,
    provider_of: Callable[[str], str | None],
) -> Iterator[tuple[datetime, timedelta, list[Serving]]]:
    """Who served in every slice of the day so far; before anything was heard, who came first."""
    at = attrgetter("starts_at")
    found = {
        begins: [_share(item, provider_of) for item in items if item.answers > 0]
        for begins, items in groupby(sorted(heard, key=at), key=at)
    }
    served = next((shares for shares in found.values() if shares), [])
    begins = starts_at
    while begins < until:
        served = found.get(begins) or served
        yield begins, min(SLICE, until - begins), served
        begins += SLICE


def _share(item: Slice, provider_of: Callable[[str], str | None]) -> Serving:
    provider = provider_of(item.model) if item.model else None
    return Serving(provider, item.answers, item.mean_usd)
