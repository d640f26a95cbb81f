"""The ways in which an account may not have said anything of itself."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Protocol

from monitor.domain import AccountReading, AccountState


class AccountReply(Protocol):
    """A reply to one GET. `error` says why there is none; header names in lower case."""

    @property
    def status(self) -> int | None: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def json(self) -> Any: ...
    @property
    def error(self) -> str | None: ...


class JsonGetter(Protocol):
    """Gets one JSON document; raises nothing for expected trouble."""

    async def __call__(self, url: str, *, headers: Mapping[str, str]) -> AccountReply: ...


class ProviderAccount(Protocol):
    """A provider account that can be read."""

    name: ClassVar[str]

    async def read(self, at: datetime) -> AccountReading: ...


LONGEST_WAIT_S = 86_400.0

_REFUSALS = {
    401: (AccountState.REJECTED, "the key is rejected: expired, disabled or wrong"),
    402: (AccountState.OUT_OF_CREDIT, "the account is out of credit"),
    403: (AccountState.REJECTED, "the key is not allowed to read this account"),
    429: (AccountState.THROTTLED, "asked too often"),
}


def refusal(provider: str, answer: AccountReply, at: datetime) -> AccountReading | None:
    """The reading of a reply that is no read-out; None for one that may be."""
    status = answer.status
    if status in _REFUSALS:  # the status is told even if the body did not come whole
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
    """A reading that says only why there is none."""
    return AccountReading(provider=provider, at=at, state=AccountState.FAILING, detail=reason)


def retry_after_s(header: str | None, at: datetime) -> float | None:
    """Seconds to wait, a day at most, from either form of the header; None: it says nothing."""
    if header is None:
        return None
    try:
        seconds = float(header) if header.strip().isdecimal() else _until(header, at)
    except (TypeError, ValueError):  # no date, or a date without a zone
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_S)


def _until(header: str, at: datetime) -> float:
    return (parsedate_to_datetime(header) - at).total_seconds()
