"""The spend of one day, put together from slices of five minutes and account readings."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
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
    traffic_shares,
)

SLICE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What one model of one target was heard to answer, and cost us, in five minutes.

    `answers` counts whole answers; `unpriced` those of any kind that have no price;
    `mean_usd` is the mean of the priced ones. Answers of unknown model that have a range make
    a slice of their own: `probes_usd` and `mean_usd` are its low end, `high_usd` and
    `mean_high_usd` its high end, `unpriced` those whose range leaves a model out.
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
    def spent(self) -> Amount:
        """What our own probes cost."""
        margin = Decimal(0) if self.high_usd is None else self.high_usd - self.probes_usd
        return Amount(self.probes_usd, self.unpriced > 0, margin)


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
    billers: Mapping[str, Collection[str | None]] | None = None,
    length: timedelta | None = None,
) -> SpentDay:
    """Sum the day over providers: each by its account where known, else probes and traffic.

    `heard` lies within the day, in any order. Where nothing was heard for a slice, traffic
    is taken to be served as it last was: silence of ours is not thrift of theirs.
    `billers`: by target, who bills for its declared models. Where the account of one is known,
    it may hold an answer of unknown model already: then only its high end counts, and nothing
    of it where the accounts of all are read. `length`: of a whole day, where `starts_at` is not
    its midnight.
    """
    until = min(now, ends_at)
    probes: dict[str | None, Amount] = {}
    by_slice: dict[datetime, Decimal] = {}
    unknown: dict[str, Amount] = {}  # by target, what its answers of unknown model cost
    for item in heard:
        provider = provider_of(item.model) if item.model else None
        probes[provider] = probes.get(provider, Amount()) + item.spent
        if item.ranged:
            unknown[item.target] = unknown.get(item.target, Amount()) + item.spent
        by_slice[item.starts_at] = by_slice.get(item.starts_at, Decimal(0)) + item.probes_usd
    used: dict[str | None, Amount] = {}
    for target, queries in daily_queries.items():
        own = [item for item in heard if item.target == target]
        for begins, span, serving in _serving(own, starts_at, until, provider_of):
            spent = traffic_shares(
                serving, daily_queries=queries, span=span, day=length or ends_at - starts_at
            )
            for share, amount in spent:
                provider = share.provider if share else None
                used[provider] = used.get(provider, Amount()) + amount
                if share and share.mean_high_usd is not None:
                    unknown[target] = unknown.get(target, Amount()) + amount
                by_slice[begins] = by_slice.get(begins, Decimal(0)) + amount.usd
    read = {name for name, account in accounts.items() if until - account.at <= fresh_for}
    held = sum(
        (
            _held(amount, (billers or {}).get(target, ()), known=accounts.keys(), read=read)
            for target, amount in unknown.items()
        ),
        Amount(),
    )
    days = [
        ProviderDay(
            provider=provider,
            probes=probes.get(provider, Amount()),
            traffic=used.get(provider, Amount()),
            account=accounts.get(provider) if provider else None,
            held=Amount() if provider else held,
        )
        for provider in sorted({*probes, *used, *accounts}, key=str)
    ]
    return SpentDay(
        daily_spend(days, now=until, fresh_for=fresh_for), tuple(sorted(by_slice.items()))
    )


def _held(
    unknown: Amount, billers: Collection[str | None], *, known: Collection[str], read: Set[str]
) -> Amount:
    """What to take off for accounts that may hold it: the low end, or all of it."""
    if billers and set(billers) <= read:
        return Amount(unknown.usd, margin_usd=unknown.margin_usd)
    if any(provider in known for provider in billers):
        return Amount(unknown.usd, margin_usd=-unknown.usd)
    return Amount()


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
    return Serving(
        provider, item.answers, item.mean_usd, item.mean_high_usd, item.unpriced > 0, item.model
    )
