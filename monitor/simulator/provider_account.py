"""A stand-in for the OpenRouter account that pays for the expected model's answers."""

from dataclasses import dataclass
from decimal import Decimal

from monitor.simulator.http_server import HttpReply, HttpRequest, json_reply
from monitor.simulator.situations import ServiceSituation

BASE = "/openrouter/api/v1"
KEY = f"{BASE}/key"
_USD_A_TOKEN = Decimal("0.20") / 1_000_000


@dataclass(slots=True)
class SimulatedAccount:
    """One key: its spend, its limit and its expiry. Its day never ends."""

    spent_usd: Decimal = Decimal(0)
    limit_usd: Decimal | None = Decimal(10)
    expires_at: str | None = None

    def charge(self, tokens: int) -> None:
        self.spent_usd += tokens * _USD_A_TOKEN

    def reply(self, request: HttpRequest, situation: ServiceSituation) -> HttpReply:
        """The provider's reply about the key that was sent."""
        if request.method != "GET":
            return json_reply(405, {"error": {"message": "Method Not Allowed", "code": 405}})
        keyed = request.headers.get("authorization", "").startswith("Bearer ")
        if not keyed or situation is ServiceSituation.KEY_REJECTED:
            message = "No cookie auth credentials found"
            return json_reply(401, {"error": {"message": message, "code": 401}})
        spent = float(self.spent_usd)
        left = None if self.limit_usd is None else float(self.limit_usd - self.spent_usd)
        data = {
            "label": "sk-or-v1-dem...o00",
            "limit": None if self.limit_usd is None else float(self.limit_usd),
            "limit_remaining": left,
            "limit_reset": None,
            "usage": spent,
            "usage_daily": spent,
            "usage_weekly": spent,
            "usage_monthly": spent,
            "byok_usage": 0,
            "byok_usage_daily": 0,
            "byok_usage_weekly": 0,
            "byok_usage_monthly": 0,
            "include_byok_in_limit": False,
            "expires_at": self.expires_at,
            "is_free_tier": False,
            "is_management_key": False,
            "is_provisioning_key": False,
            "creator_user_id": None,
            "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
        }
        return json_reply(200, {"data": data})
