"""Exact dollar amounts, and price tables: the one place where an amount is rounded or refused."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TypeVar

PLACES = Decimal("0.000000000001")  # what NUMERIC(20,12) can store
LIMIT = Decimal(100_000_000)  # the smallest amount that it cannot store


def rounded(usd: Decimal) -> Decimal:
    """Rounded to the twelve stored decimals, half to even."""
    return usd.quantize(PLACES, ROUND_HALF_EVEN)


def exact(usd: Decimal) -> Decimal | None:
    """A cost as it is stored; None for an impossible one: NaN, negative or too large."""
    if not usd.is_finite() or not 0 <= usd < LIMIT:
        return None
    stored = abs(rounded(usd))
    return stored if stored < LIMIT else None


# One row of the price book: a model's token prices, their dates and their source.


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRates:
    """USD per million tokens; `request` is USD per request. None: no rate of its own.

    Without `cached` or `cache_write`, prompt tokens read from or written to the cache cost `input`;
    without `reasoning`, reasoning tokens cost `output`. `cache_write` applies to the five-minute
    cache or an unstated time; without `cache_write_1h` it applies to one hour as well.
    """

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    reasoning: Decimal | None = None
    cache_write: Decimal | None = None  # kept five minutes
    cache_write_1h: Decimal | None = None
    request: Decimal | None = None


RATES = tuple(field.name for field in fields(PriceRates))


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTier:
    """Rates of the whole request from a prompt of so many tokens on."""

    min_prompt_tokens: int
    rates: PriceRates


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one model costs. `provider` is the one that bills; None: any provider.

    `valid_from` and `valid_to` are UTC days, both inclusive; tiers are in ascending order.
    `checked` None: the date is unknown.
    """

    model: str
    rates: PriceRates
    source: str
    provider: str | None = None
    checked: date | None = None
    valid_from: date | None = None
    valid_to: date | None = None
    tiers: tuple[PriceTier, ...] = ()

    def holds(self, day: date) -> bool:
        """Whether this price applies on that UTC day."""
        begun = self.valid_from is None or self.valid_from <= day
        return begun and (self.valid_to is None or day <= self.valid_to)

    def rates_for(self, prompt_tokens: int) -> PriceRates:
        """The rates of a request with a prompt of that size."""
        reached = [t.rates for t in self.tiers if t.min_prompt_tokens <= prompt_tokens]
        return reached[-1] if reached else self.rates


# Tables of prices, as written in TOML, turned into rows of the price book.
#
# The data file and the `[prices]` section of `monitor.toml` have the same shape:
#
#     [prices."meta-llama/llama-4-scout"]
#     input = "0.20"                # USD per million tokens; quoted, or a TOML number
#     output = "0.20"
#     # cached, reasoning, cache_write, cache_write_1h: USD per million tokens; request: USD
#     # provider: who bills; source, checked: where and when it was read
#     # valid_from, valid_to: UTC days, both included
#     # tiers = [{ min_prompt_tokens = 100001, input = "0.50", output = "2.50" }]


_COLUMNS = (*RATES, "provider", "source", "checked", "valid_from", "valid_to", "tiers")
_TIER_COLUMNS = ("min_prompt_tokens", *RATES)

T = TypeVar("T")


class BadPrices(ValueError):
    """Every error of a set of price tables, each with key, value and remedy."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(faults))


def rows(tables: Mapping[str, object], *, source: str | None = None) -> tuple[Price, ...]:
    """Prices by model; a list of tables under one model holds its dated rows.

    `source` applies to rows that name none. None as a value means: not given. Raises BadPrices.
    """
    faults: list[str] = []
    read = [
        _price(_Table(f"prices.{model}", table, _COLUMNS, faults), model, source=source)
        for model, found in tables.items()
        for table in (found if isinstance(found, (list, tuple)) else [found])
    ]
    if faults:
        raise BadPrices(faults)
    return tuple(price for price in read if price is not None)


class _Table:
    """One table being read, with its errors."""

    def __init__(
        self, key: str, table: object, columns: tuple[str, ...], faults: list[str]
    ) -> None:
        self.key, self.faults = key, faults
        self.given: dict[str, object] = {}
        if not isinstance(table, Mapping):
            faults.append(f"{key}: must be a table with input and output")
            return
        self.given = {str(name): value for name, value in table.items() if value is not None}
        for name in sorted(self.given.keys() - set(columns)):
            self.faults.append(f"{key}.{name}: unknown key; known here: {', '.join(columns)}")

    def refuse(self, name: str, remedy: str) -> None:
        shown = f" = {self.given[name]}" if name in self.given else ""
        self.faults.append(f"{self.key}.{name}{shown}: {remedy}")

    def read(self, name: str, kind: Callable[[object], T]) -> T | None:
        if name not in self.given:
            return None
        try:
            return kind(self.given[name])
        except (TypeError, ValueError) as error:
            self.refuse(name, str(error))
            return None


def _price(table: _Table, model: str, *, source: str | None) -> Price | None:
    rates = _rates(table)
    source = table.read("source", _text) or source
    begin, end = table.read("valid_from", _day), table.read("valid_to", _day)
    if begin and end and end < begin:
        table.refuse("valid_to", "is before valid_from; swap them")
    if source is None:
        table.refuse("source", "missing; name the source of the price")
    tiers = tuple(_tiers(table))
    if rates is None or source is None:
        return None
    return Price(
        model=model,
        rates=rates,
        source=source,
        provider=table.read("provider", _text),
        checked=table.read("checked", _day),
        valid_from=begin,
        valid_to=end,
        tiers=tiers,
    )


def _rates(table: _Table) -> PriceRates | None:
    for name in ("input", "output"):
        if name in table.given:
            continue
        table.refuse(name, "missing; write USD per million tokens")
    read = {name: table.read(name, _rate) for name in RATES}
    known = {name: rate for name, rate in read.items() if rate is not None}
    return PriceRates(**known) if {"input", "output"} <= known.keys() else None


def _tiers(table: _Table) -> Iterator[PriceTier]:
    floor = 0
    for number, given in enumerate(table.read("tiers", _tables) or ()):
        tier = _Table(f"{table.key}.tiers.{number}", given, _TIER_COLUMNS, table.faults)
        rates, start = _rates(tier), tier.given.get("min_prompt_tokens")
        if type(start) is not int or start <= floor:
            tier.refuse("min_prompt_tokens", "write whole tokens, rising from tier to tier")
        elif rates is not None:
            floor = start
            yield PriceTier(min_prompt_tokens=start, rates=rates)


def _rate(value: object) -> Decimal:
    remedy = 'write dollars in quotes as "0.20": digits and a point, without a sign or a unit'
    if not isinstance(value, (str, int, Decimal)) or isinstance(value, bool):
        raise TypeError(remedy)  # a float: it would not be exact
    try:
        rate = Decimal(value)
    except InvalidOperation:
        raise ValueError(remedy) from None
    if not rate.is_finite() or not 0 <= rate < LIMIT:
        raise ValueError("must be a finite amount, zero or more")
    return rate


def _day(value: object) -> date:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError("write a day such as 2026-11-22") from None
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError("write a day such as 2026-11-22")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a non-empty text")
    return value.strip()


def _tables(value: object) -> list[object]:
    if not isinstance(value, (list, tuple)):
        raise TypeError("must be a list of tables")
    return list(value)
