"""OpenAI: the organization's costs. Amounts are numbers in **dollars**. Needs an admin key."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from monitor.accounts.replies import CostReport, ProviderAccount, failing, items, number, table, usd
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
        report = CostReport(
            provider=self.name,
            url=f"{self.base_url.rstrip('/')}/organization/costs",
            parameters={
                "start_time": str(int(day_of(at)[1].timestamp())),
                "bucket_width": "1d",
                "limit": "1",
            },
            headers={"Authorization": f"Bearer {self.key}"},
        )
        found = await items(self.get, report, at=at)
        if isinstance(found, AccountReading):
            return found
        amounts = [table(item.get("amount")) or {} for item in found]
        dollars = all(amount.get("currency", "usd") == "usd" for amount in amounts)
        values = [number(amount.get("value")) for amount in amounts]
        known = [value for value in values if value is not None]
        spent = usd(sum(known, Decimal(0)))
        if not dollars or len(known) < len(values) or spent is None:
            return failing(self.name, at, "the report contains an amount that is not in US dollars")
        return AccountReading(
            provider=self.name, at=at, state=AccountState.OK, spent_today_usd=spent
        )
