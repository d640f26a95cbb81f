"""Fields of a provider's JSON, parsed defensively: a field of the wrong type is None."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Protocol
from urllib.parse import urlencode

from monitor.domain import AccountReading, AccountState
from monitor.pricing.price_table import exact


def table(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None


def tables(value: object) -> list[Mapping[str, Any]] | None:
    """A list of tables, complete or not at all."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return None
    return value


def text_of(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def number(value: object) -> Decimal | None:
    """A finite number, given as a number or as decimal text."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    try:
        read = Decimal(value)
    except (InvalidOperation, ValueError):
        return None
    return read if read.is_finite() else None


def usd(value: object) -> Decimal | None:
    """A plausible amount of money: finite, not negative, storable."""
    read = number(value)
    return None if read is None else exact(read)


def count(value: object) -> int | None:
    """A whole number, not negative."""
    return value if type(value) is int and value >= 0 else None


def instant(value: object) -> datetime | None:
    """An ISO 8601 instant; one without a zone is UTC, as providers mean it."""
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


# Requests to provider accounts, and the ways in which they fail.


class AccountReply(Protocol):
    """The reply to one GET. `error` says why there is none; header names in lower case."""

    @property
    def status(self) -> int | None: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def json(self) -> Any: ...
    @property
    def error(self) -> str | None: ...


class JsonGetter(Protocol):
    """Gets one JSON document; raises nothing for expected failures."""

    async def __call__(self, url: str, *, headers: Mapping[str, str]) -> AccountReply: ...


@dataclass(frozen=True, slots=True)
class ProviderAccount(ABC):
    """A provider account, read with `get`, which does the HTTP request.

    A subclass has its provider's name, the environment variable of its key, what that key shows,
    and the base URL that precedes the paths in the provider's documentation.
    `<NAME>_BASE_URL` replaces that URL.
    """

    name: ClassVar[str]
    key_variable: ClassVar[str]
    shows: ClassVar[str]  # for the documents
    public_url: ClassVar[str]

    get: JsonGetter = field(repr=False)
    key: str = field(repr=False)
    base_url: str

    @abstractmethod
    async def read(self, at: datetime) -> AccountReading:
        """The current reading; expected failures are readings, too."""

    async def bill(self, day: date, at: datetime) -> "ProviderBill | AccountReading | None":
        """What the provider bills for a UTC day that is over; a reading says why that failed.

        None: the provider has no such report. `at`: now, on the day after or later.
        """
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderBill:
    """A provider's own figure for a closed UTC day, in USD.

    `running_usd`: where a provider reports totals alone, the total up to the end of the day; the
    day is then the difference to the day before.
    """

    provider: str
    day: date
    usd: Decimal | None = None
    running_usd: Decimal | None = None


LONGEST_WAIT_S = 86_400.0

_REFUSALS = {
    401: (AccountState.REJECTED, "the key is rejected: expired, disabled or wrong"),
    402: (AccountState.OUT_OF_CREDIT, "the account is out of credit"),
    403: (AccountState.REJECTED, "the key is not allowed to read this account"),
    429: (AccountState.THROTTLED, "rate limited"),
}


def refusal(provider: str, answer: AccountReply, at: datetime) -> AccountReading | None:
    """The reading for a reply that reports a failure; None if the reply can be parsed."""
    status = answer.status
    if status in _REFUSALS:  # the status counts even if the body is incomplete
        state, reason = _REFUSALS[status]
        detail = f"HTTP {status}: {reason}"
        wait = retry_after_s(answer.headers.get("retry-after"), at)
        return AccountReading(
            provider=provider, at=at, state=state, detail=detail, retry_after_s=wait
        )
    if answer.error is not None:
        return failing(provider, at, answer.error)
    if status != 200:
        return failing(provider, at, f"HTTP {status}")
    return None


def failing(provider: str, at: datetime, reason: str) -> AccountReading:
    """A reading that only says why there is none."""
    return AccountReading(provider=provider, at=at, state=AccountState.FAILING, detail=reason)


def retry_after_s(header: str | None, at: datetime) -> float | None:
    """Seconds to wait, a day at most, from either form of the header; None if it is absent."""
    if header is None:
        return None
    try:
        seconds = float(header) if header.strip().isdecimal() else _until(header, at)
    except (TypeError, ValueError):  # no date, or a date without a zone
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_S)


def _until(header: str, at: datetime) -> float:
    return (parsedate_to_datetime(header) - at).total_seconds()


# Cost reports in daily buckets on several pages, as Anthropic and OpenAI both provide them.


MOST_PAGES = 20

Amount = tuple[Decimal | None, object]  # and its currency


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """A paged report to request. `headers` include the key."""

    provider: str
    url: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)


async def items(
    get: JsonGetter, report: CostReport, *, at: datetime
) -> list[Mapping[str, Any]] | AccountReading:
    """Every result of every bucket, or a reading with the reason why they are unavailable.

    A reply without its list is not an empty report: that would read as nothing spent.
    """
    found: list[Mapping[str, Any]] = []
    page: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        url = f"{report.url}?{urlencode({**report.parameters, **page})}"
        answer = await get(url, headers=report.headers)
        refused = refusal(report.provider, answer, at)
        if refused is not None:
            return refused
        body = table(answer.json) or {}
        results = _results(body)
        if results is None or type(body.get("has_more")) is not bool:
            return failing(report.provider, at, "the report is not in the documented form")
        found += results
        if not body["has_more"]:
            return found
        following = text_of(body.get("next_page"))
        if following is None or following == page.get("page"):
            break
        page = {"page": following}
    return failing(report.provider, at, "the report has invalid paging")


def total(
    provider: str, found: Sequence[Amount], at: datetime, *, per_dollar: int = 1
) -> Decimal | AccountReading:
    """The sum of amounts with their currencies, in USD; a failing reading if one is not in USD."""
    values = [value for value, _ in found if value is not None]
    dollars = all(currency in ("usd", "USD") for _, currency in found)
    spent = usd(sum(values, Decimal(0)) / per_dollar)
    if not dollars or len(values) < len(found) or spent is None:
        return failing(provider, at, "the report contains an amount that is not in US dollars")
    return spent


def _results(body: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    buckets = tables(body.get("data"))
    if buckets is None:
        return None
    found = [tables(bucket.get("results")) for bucket in buckets]
    if None in found:
        return None
    return [item for results in found for item in results or ()]
