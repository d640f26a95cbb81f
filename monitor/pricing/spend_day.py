"""The spend of one day, computed from five-minute slices and account readings."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import chain, groupby
from operator import attrgetter
from typing import Literal, TypeVar

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
PIECE = 200  # targets added in one step


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
    probes: int = 0  # of any outcome

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


class RunningDay:
    """A day of spend as a running sum: slices that are over are added once.

    Each target's slices are added in order of time. Those from `closed_until` on are not in the
    sums: `so_far` adds them to a copy. `length`: of a whole day, if `starts_at` is not its
    midnight. With `zone` the hours of the zone are summed, too.
    """

    def __init__(
        self,
        *,
        starts_at: datetime,
        ends_at: datetime,
        daily_queries: Mapping[str, int],
        provider_of: Callable[[str], str | None],
        length: timedelta | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        self.starts_at, self.ends_at = starts_at, ends_at
        self.closed_until = starts_at
        self.unpriced: dict[str | None, int] = {}  # answers without a price, by provider
        self._daily_queries = {name: n for name, n in daily_queries.items() if n > 0}
        self._provider_of = provider_of
        self._length = length or ends_at - starts_at
        self._zone = zone
        self._probes: dict[str | None, UsdAmount] = {}
        self._used: dict[str | None, UsdAmount] = {}
        self._unknown: dict[str, UsdAmount] = {}  # by target, the cost of answers of unknown model
        self._by_slice: dict[datetime, Decimal] = {}
        self._hours: dict[tuple[datetime, Key], UsdAmount] = {}
        # By target: the models that served last, and until when its traffic is added.
        self._served: dict[str, tuple[Sequence[ServedAnswers], datetime]] = {}

    def close(self, received: Iterable[SpendSlice], until: datetime) -> None:
        """Add the slices from `closed_until` to `until`, at which a slice begins or the day ends.

        Traffic from before the first answer of a target waits for it.
        """
        self._add(received, until, waiting=True)
        self.closed_until = until

    def so_far(self, received: Sequence[SpendSlice], now: datetime) -> "RunningDay":
        """The day up to now, with the slices that are not closed; to read only."""
        if self._whole(received, now):
            return self
        day = self._copy(now)
        day._add(received, day.closed_until, waiting=False)
        return day

    def in_pieces(
        self, received: Mapping[str, Sequence[SpendSlice]], now: datetime
    ) -> Iterator["RunningDay"]:
        """The same as `so_far` of many targets, in several steps; the last one is the day.

        `received`: the slices that are not closed, by target.
        """
        if self._whole(received, now):
            yield self
            return
        day = self._copy(now)
        names = list(dict.fromkeys((*self._daily_queries, *received)))
        for first in range(0, max(len(names), 1), PIECE):
            piece = names[first : first + PIECE]
            slices = chain.from_iterable(received.get(name, ()) for name in piece)
            day._add(slices, day.closed_until, waiting=False, targets=piece)
            yield day

    def _whole(self, received: Collection[object], now: datetime) -> bool:
        """Whether nothing is left to add."""
        closed = self.closed_until >= min(now, self.ends_at)
        return closed and not received and self._served.keys() >= self._daily_queries.keys()

    def _copy(self, now: datetime) -> "RunningDay":
        day = copy(self)
        for name in ("unpriced", "_probes", "_used", "_unknown", "_by_slice", "_hours", "_served"):
            setattr(day, name, getattr(self, name).copy())
        day.closed_until = min(now, self.ends_at)
        return day

    def _add(
        self,
        received: Iterable[SpendSlice],
        until: datetime,
        *,
        waiting: bool,
        targets: Collection[str] | None = None,
    ) -> None:
        """Add slices of these targets, and their traffic; None: of all."""
        own: dict[str, list[SpendSlice]] = {}
        # Most slices have only a price and a time, which are summed before anything else is done.
        plain: dict[tuple[str | None, datetime], tuple[Decimal, int]] = {}
        for item in received:
            if item.ranged or self._zone is not None:
                provider = self._add_probes(item.model, item.starts_at, item.spent, item.unpriced)
                if item.ranged:
                    _increase(self._unknown, item.target, item.spent)
                key: Key = (item.target, item.model, provider, "probes")
                self._add_hour(item.starts_at, key, item.spent)
            else:
                usd, unpriced = plain.get((item.model, item.starts_at), (Decimal(0), 0))
                plain[item.model, item.starts_at] = usd + item.probes_usd, unpriced + item.unpriced
            if item.target in self._daily_queries:
                own.setdefault(item.target, []).append(item)
        for (model, at), (usd, unpriced) in plain.items():
            self._add_probes(model, at, UsdAmount(usd, unpriced > 0), unpriced)
        for target in self._daily_queries if targets is None else targets:
            if (queries := self._daily_queries.get(target, 0)) == 0:
                continue
            served, begins_at = self._served.get(target, ((), self.starts_at))
            answers = own.get(target, ())
            if waiting and not served and not any(item.answers > 0 for item in answers):
                continue
            for begins, span, serving in _serving(
                answers, begins_at, until, self._provider_of, served
            ):
                self._add_traffic(target, queries, begins, span, serving)
                served = serving
            self._served[target] = served, until

    def _add_probes(
        self, model: str | None, at: datetime, spent: UsdAmount, unpriced: int
    ) -> str | None:
        """Add what answers of one model cost; its provider."""
        provider = self._provider_of(model) if model else None
        _increase(self._probes, provider, spent)
        self.unpriced[provider] = self.unpriced.get(provider, 0) + unpriced
        self._add_slice(at, spent.usd)
        return provider

    def _add_traffic(
        self,
        target: str,
        queries: int,
        begins: datetime,
        span: timedelta,
        serving: Sequence[ServedAnswers],
    ) -> None:
        used = traffic_shares(serving, daily_queries=queries, span=span, day=self._length)
        for share, amount in used:
            model, provider = (share.model, share.provider) if share else (None, None)
            _increase(self._used, provider, amount)
            if share and share.mean_high_usd is not None:
                _increase(self._unknown, target, amount)
            self._add_slice(begins, amount.usd)
            self._add_hour(begins, (target, model, provider, "traffic"), amount)

    def _add_slice(self, at: datetime, usd: Decimal) -> None:
        self._by_slice[at] = self._by_slice.get(at, Decimal(0)) + usd

    def _add_hour(self, at: datetime, key: Key, amount: UsdAmount) -> None:
        if self._zone is not None:
            _increase(self._hours, (max(hour_of(at, self._zone), self.starts_at), key), amount)

    @property
    def unknown(self) -> Collection[str]:
        """The targets with answers of unknown model."""
        return self._unknown.keys()

    def spent(
        self,
        accounts: Mapping[str, AccountSpend],
        *,
        fresh_for: timedelta = FRESH_FOR,
        billers: Mapping[str, Collection[str | None]] | None = None,
    ) -> SpentDay:
        """The sum over providers up to `closed_until`: each by its account if known, else probes
        and traffic. `billers`: see `spent_day`; those of the `unknown` targets are enough.
        """
        until = self.closed_until
        read = {name for name, account in accounts.items() if until - account.at <= fresh_for}
        held = sum(
            (
                _held(amount, (billers or {}).get(target, ()), known=accounts.keys(), read=read)
                for target, amount in self._unknown.items()
            ),
            UsdAmount(),
        )
        days = [
            ProviderDay(
                provider=provider,
                probes=self._probes.get(provider, UsdAmount()),
                traffic=self._used.get(provider, UsdAmount()),
                account=accounts.get(provider) if provider else None,
                held=UsdAmount() if provider else held,
            )
            for provider in sorted({*self._probes, *self._used, *accounts}, key=str)
        ]
        return SpentDay(
            daily_spend(days, now=until, fresh_for=fresh_for),
            tuple(sorted(self._by_slice.items())),
        )

    def spent_hours(self) -> list["SpentHour"]:
        """The hours up to `closed_until`; the last may be short."""
        zone = self._zone or UTC
        return [
            SpentHour(
                starts_at=hour,
                until=min(hour_end(hour, zone), self.closed_until),
                target=target,
                model=model,
                provider=provider,
                meter=meter,
                spent=spent,
            )
            for (hour, (target, model, provider, meter)), spent in self._hours.items()
        ]

    def forget_hours(self, before: datetime) -> None:
        """Forget the sums of the hours that began before an instant."""
        self._hours = {key: spent for key, spent in self._hours.items() if key[0] >= before}


K = TypeVar("K")


def _increase(sums: dict[K, UsdAmount], key: K, amount: UsdAmount) -> None:
    sums[key] = sums.get(key, UsdAmount()) + amount


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
    day = RunningDay(
        starts_at=starts_at,
        ends_at=ends_at,
        daily_queries=daily_queries,
        provider_of=provider_of,
        length=length,
    )
    return day.so_far(received, now).spent(accounts, fresh_for=fresh_for, billers=billers)


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
    served: Sequence[ServedAnswers],
) -> Iterator[tuple[datetime, timedelta, Sequence[ServedAnswers]]]:
    """The serving models in every slice so far; before the first answer, the first model.

    `served`: the models that served before.
    """
    at = attrgetter("starts_at")
    found = {
        begins: [_share(item, provider_of) for item in items if item.answers > 0]
        for begins, items in groupby(sorted(received, key=at), key=at)
    }
    served = served or next((shares for shares in found.values() if shares), [])
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
