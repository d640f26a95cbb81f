"""Anthropic: the organization's cost report. Amounts are decimal text in **cents**.

Needs an admin key, which individual accounts cannot have. Priority-tier costs are not included, and
the spend of the last minutes may be missing.
"""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from monitor.accounts.replies import CostReport, ProviderAccount, failing, items, number, usd
from monitor.domain import AccountReading, AccountState
from monitor.pricing.meters import day_of

_CENTS = Decimal(100)


class AnthropicAccount(ProviderAccount):
    """The account an Anthropic admin key belongs to."""

    name: ClassVar[str] = "anthropic"
    key_variable: ClassVar[str] = "ANTHROPIC_ADMIN_KEY"
    shows: ClassVar[str] = "cost report of the organization, by an admin key"
    public_url: ClassVar[str] = "https://api.anthropic.com/v1"

    async def read(self, at: datetime) -> AccountReading:
        """Today's spend so far; the bucket of the current day has no end yet."""
        midnight = day_of(at)[1]
        report = CostReport(
            provider=self.name,
            url=f"{self.base_url.rstrip('/')}/organizations/cost_report",
            parameters={"starting_at": f"{midnight:%Y-%m-%dT%H:%M:%SZ}", "bucket_width": "1d"},
            headers={"x-api-key": self.key, "anthropic-version": "2023-06-01"},
        )
        found = await items(self.get, report, at=at)
        if isinstance(found, AccountReading):
            return found
        cents = [number(item.get("amount")) for item in found]
        dollars = all(item.get("currency", "USD") == "USD" for item in found)
        known = [amount for amount in cents if amount is not None]
        spent = usd(sum(known, Decimal(0)) / _CENTS)
        if not dollars or len(known) < len(cents) or spent is None:
            return failing(self.name, at, "the report contains an amount that is not in US dollars")
        return AccountReading(
            provider=self.name, at=at, state=AccountState.OK, spent_today_usd=spent
        )
