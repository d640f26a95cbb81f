"""Anthropic: the organization's cost report. Amounts are decimal text in **cents**.

Needs an admin key, which individual accounts cannot have. Priority-tier costs are not included, and
the spend of the last minutes may be missing.
"""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import ClassVar

from monitor.accounts.replies import (
    CostReport,
    ProviderAccount,
    ProviderBill,
    items,
    number,
    total,
)
from monitor.domain import AccountReading, AccountState
from monitor.pricing.meters import day_of

_CENTS = 100


class AnthropicAccount(ProviderAccount):
    """The account an Anthropic admin key belongs to."""

    name: ClassVar[str] = "anthropic"
    key_variable: ClassVar[str] = "ANTHROPIC_ADMIN_KEY"
    shows: ClassVar[str] = "cost report of the organization, by an admin key"
    public_url: ClassVar[str] = "https://api.anthropic.com/v1"

    async def read(self, at: datetime) -> AccountReading:
        """Today's spend so far; the bucket of the current day has no end yet."""
        spent = await self._costs(at, starting_at=_instant(day_of(at)[1]))
        if isinstance(spent, AccountReading):
            return spent
        return AccountReading(
            provider=self.name, at=at, state=AccountState.OK, spent_today_usd=spent
        )

    async def bill(self, day: date, at: datetime) -> ProviderBill | AccountReading:
        """The costs of a closed day."""
        _, starts_at, ends_at = day_of(datetime.combine(day, time(12), UTC))
        spent = await self._costs(at, starting_at=_instant(starts_at), ending_at=_instant(ends_at))
        if isinstance(spent, AccountReading):
            return spent
        return ProviderBill(provider=self.name, day=day, usd=spent)

    async def _costs(self, at: datetime, **span: str) -> Decimal | AccountReading:
        report = CostReport(
            provider=self.name,
            url=f"{self.base_url.rstrip('/')}/organizations/cost_report",
            parameters={**span, "bucket_width": "1d"},
            headers={"x-api-key": self.key, "anthropic-version": "2023-06-01"},
        )
        found = await items(self.get, report, at=at)
        if isinstance(found, AccountReading):
            return found
        amounts = [(number(item.get("amount")), item.get("currency", "USD")) for item in found]
        return total(self.name, amounts, at, per_dollar=_CENTS)


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
