"""Three separate meters of spend, and the sum of a day that they make.

- probes: our own observations, summed
- traffic: the service's own use, estimated from what canned queries cost now
- account: what a provider reports as spent, if one of its keys is configured

The day's spend is summed over providers: a provider's account if it is known, else probes and
traffic answered by that provider's models. One account alone would look good whenever it stops
growing because another provider answers instead.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from itertools import groupby
from typing import Literal

from monitor.pricing.price_table import rounded

FRESH_FOR = timedelta(minutes=30)  # six readings at the default interval of five minutes

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class UsdAmount:
    """Dollars that are certain, and up to so much more (`margin_usd`).

    Answers of unknown model cost between `usd` and `high_usd`; the margin is 0 if all are known.
    `at_least`: something in the sum has no price.
    """

    usd: Decimal = Decimal(0)
    at_least: bool = False
    margin_usd: Decimal = Decimal(0)

    @property
    def high_usd(self) -> Decimal:
        return self.usd + self.margin_usd

    def __add__(self, other: "UsdAmount") -> "UsdAmount":
        return UsdAmount(
            self.usd + other.usd,
            self.at_least or other.at_least,
            self.margin_usd + other.margin_usd,
        )


@dataclass(frozen=True, slots=True)
class AccountSpend:
    """The spend of one day as a provider reports it, and when it was last read."""

    spent: UsdAmount
    at: datetime


@dataclass(frozen=True, slots=True)
class ServedAnswers:
    """Answers of one provider's model, and what a canned query costs there.

    `provider` None: unknown. `model` None: unknown. `mean_usd` None: no price; if the model is
    unknown it is the mean on the cheapest declared model, and `mean_high_usd` the mean on the most
    expensive one. `at_least`: some of the answers have no price, or an incomplete range.
    """

    provider: str | None
    answers: int
    mean_usd: Decimal | None
    mean_high_usd: Decimal | None = None
    at_least: bool = False
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderDay:
    """One provider's meters on one day. `provider` None: unknown.

    `held`: the part of probes and traffic by unknown models that other providers' accounts may
    already include, as an amount to subtract.
    """

    provider: str | None
    probes: UsdAmount = UsdAmount()
    traffic: UsdAmount = UsdAmount()
    account: AccountSpend | None = None
    held: UsdAmount = UsdAmount()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpend:
    """A provider's share of the day's spend, and the meter it was taken from."""

    day: ProviderDay
    spent: UsdAmount
    meter: Literal["account", "estimate"]
    because: str


@dataclass(frozen=True, slots=True)
class DailySpend:
    """The spend of a day over all providers, and how it was computed."""

    total: UsdAmount
    lines: tuple[ProviderSpend, ...]


def fresh_for(every: timedelta) -> timedelta:
    """How long an account reading is valid at that interval: two may be missed."""
    return max(FRESH_FOR, 3 * every)


def day_of(at: datetime, zone: tzinfo = UTC) -> tuple[date, datetime, datetime]:
    """The day of an instant in a time zone, with its bounds in UTC, 23 to 25 hours apart."""
    day = at.astimezone(zone).date()
    starts, ends = (
        datetime.combine(midnight, time(), zone).astimezone(UTC)
        for midnight in (day, day + timedelta(days=1))
    )
    return day, starts, ends


def traffic(
    serving: Iterable[ServedAnswers], *, daily_queries: int, span: timedelta, day: timedelta
) -> dict[str | None, UsdAmount]:
    """The service's own spend over a part of the day, by billing provider.

    `serving`: the answers received in that time, which show which models serve. Queries are assumed
    to be spread evenly over the day, and over models as the answers are. Without answers the cost
    is unknown: at least zero. With no daily queries the meter is off, and the result is empty.
    """
    spent: dict[str | None, UsdAmount] = {}
    for share, amount in traffic_shares(serving, daily_queries=daily_queries, span=span, day=day):
        provider = share.provider if share else None
        spent[provider] = spent.get(provider, UsdAmount()) + amount
    return spent


def traffic_shares(
    serving: Iterable[ServedAnswers], *, daily_queries: int, span: timedelta, day: timedelta
) -> Iterator[tuple[ServedAnswers | None, UsdAmount]]:
    """The same by share; without answers a share of None, at least zero."""
    received = [share for share in serving if share.answers > 0]
    if daily_queries <= 0 or span <= timedelta(0):
        return
    if not received:
        yield None, UsdAmount(at_least=True)
    queries = Decimal(daily_queries) * (span // _TICK) / (day // _TICK)
    answers = sum(share.answers for share in received)
    for share in received:
        low = rounded((share.mean_usd or Decimal(0)) * queries * share.answers / answers)
        high = low
        if share.mean_high_usd is not None:
            high = rounded(share.mean_high_usd * queries * share.answers / answers)
        at_least = share.at_least or share.mean_usd is None
        yield share, UsdAmount(low, at_least, high - low)


def account_spend(
    readings: Sequence[tuple[datetime, Decimal]], *, starts_at: datetime, ends_at: datetime
) -> AccountSpend | None:
    """An account's spend between two instants, from its readings in order of time.

    Each reading is the spend since the UTC midnight before it, which is how providers count. A day
    in another zone takes the end of one UTC day and the start of the next. If the part before the
    first reading is unknown, the sum is a lower bound. None: no reading lies within.
    """
    total, last = UsdAmount(), None
    for midnight, of_day in groupby(readings, key=lambda reading: day_of(reading[0])[1]):
        until = [(at, usd) for at, usd in of_day if at < ends_at]
        within = [usd for at, usd in until if at >= starts_at]
        if not within:
            continue
        before = [usd for at, usd in until if at < starts_at]
        whole = midnight >= starts_at
        base = Decimal(0) if whole else before[-1] if before else within[0]
        total += UsdAmount(max(within[-1] - base, Decimal(0)), at_least=not whole and not before)
        last = until[-1][0]
    return None if last is None else AccountSpend(total, last)


def daily_spend(
    days: Iterable[ProviderDay], *, now: datetime, fresh_for: timedelta = FRESH_FOR
) -> DailySpend:
    """Sum a day over its providers, each by its account if known.

    `now` is the instant of the sum, not after the day's end. Each provider occurs once in `days`.
    """
    lines = tuple(_line(day, now, fresh_for) for day in days)
    return DailySpend(sum((line.spent for line in lines), UsdAmount()), lines)


def _line(day: ProviderDay, now: datetime, fresh_for: timedelta) -> ProviderSpend:
    estimate, account = day.probes + day.traffic, day.account
    if account is None:
        because = "probes and traffic"
        if day.held != UsdAmount():
            because += "; accounts may include the cost of unknown models"
        spent = UsdAmount(
            estimate.usd - day.held.usd,
            estimate.at_least,
            estimate.margin_usd - day.held.margin_usd,
        )
        return ProviderSpend(day=day, spent=spent, meter="estimate", because=because)
    if now - account.at <= fresh_for:
        return ProviderSpend(
            day=day, spent=account.spent, meter="account", because="reported by the account"
        )
    minutes = (now - account.at) // timedelta(minutes=1)
    because = f"the account was last read {minutes} minutes ago"
    # A stale account does not mean low usage: the larger of the two counts, as a lower bound.
    if account.spent.usd < estimate.usd:
        spent = UsdAmount(estimate.usd, at_least=True, margin_usd=estimate.margin_usd)
        return ProviderSpend(day=day, spent=spent, meter="estimate", because=because)
    spent = UsdAmount(account.spent.usd, at_least=True)
    return ProviderSpend(day=day, spent=spent, meter="account", because=because)
