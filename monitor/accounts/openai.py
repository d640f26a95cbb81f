"""OpenAI: the organization's costs. Amounts are numbers in **dollars**. Needs an admin key."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import ClassVar

from monitor.accounts.replies import (
    CostReport,
    ProviderAccount,
    ProviderBill,
    items,
    number,
    table,
    total,
)
from monitor.domain import AccountReading, AccountState
from monitor.pricing.meters import day_of


class OpenAIAccount(ProviderAccount):
    """The account an OpenAI admin key belongs to."""

    name: ClassVar[str] = "openai"
    key_variable: ClassVar[str] = "OPENAI_ADMIN_KEY"
    shows: ClassVar[str] = "costs of the organization, by an admin key"
    public_url: ClassVar[str] = "https://api.openai.com/v1"

    async def read(self, at: datetime) -> AccountReading:
        """Today's spend so far."""
        spent = await self._costs(at, start_time=str(int(day_of(at)[1].timestamp())))
        if isinstance(spent, AccountReading):
            return spent
        return AccountReading(
            provider=self.name, at=at, state=AccountState.OK, spent_today_usd=spent
        )

    async def bill(self, day: date, at: datetime) -> ProviderBill | AccountReading:
        """The costs of a closed day. Source: platform.openai.com/docs/api-reference/usage/costs"""
        _, starts_at, ends_at = day_of(datetime.combine(day, time(12), UTC))
        spent = await self._costs(
            at,
            start_time=str(int(starts_at.timestamp())),
            end_time=str(int(ends_at.timestamp())),
        )
        if isinstance(spent, AccountReading):
            return spent
        return ProviderBill(provider=self.name, day=day, usd=spent)

    async def _costs(self, at: datetime, **span: str) -> Decimal | AccountReading:
        report = CostReport(
            provider=self.name,
            url=f"{self.base_url.rstrip('/')}/organization/costs",
            parameters={**span, "bucket_width": "1d", "limit": "1"},
            headers={"Authorization": f"Bearer {self.key}"},
        )
        found = await items(self.get, report, at=at)
        if isinstance(found, AccountReading):
            return found
        amounts = [table(item.get("amount")) or {} for item in found]
        return total(
            self.name,
            [(number(amount.get("value")), amount.get("currency", "usd")) for amount in amounts],
            at,
        )
