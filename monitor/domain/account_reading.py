"""What a provider account says of itself: is the key alive, what is left, what was spent."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class AccountState(StrEnum):
    OK = "ok"
    REJECTED = "rejected"  # the key is expired, disabled, wrong, or not of the kind needed
    OUT_OF_CREDIT = "out_of_credit"
    THROTTLED = "throttled"  # about us: ask later
    FAILING = "failing"  # the provider, or the way to it; says nothing about the key


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReading:
    """One read-out of a provider account. None: the provider does not say.

    `spent_today_usd` counts from the UTC midnight before `at`. `detail` is our own words
    for a person; nothing a provider wrote stands in it.
    """

    provider: str
    at: datetime
    state: AccountState
    detail: str | None = None
    expires_at: datetime | None = None
    limit_usd: Decimal | None = None
    remaining_usd: Decimal | None = None
    spent_today_usd: Decimal | None = None
    retry_after_s: float | None = None
