"""OpenRouter: the state of the key, the record of one generation, and the price list.

None of these calls spends tokens. Days are UTC days.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import urlencode

from monitor.accounts.replies import (
    AccountReply,
    JsonGetter,
    ProviderAccount,
    count,
    failing,
    instant,
    number,
    refusal,
    table,
    tables,
    text_of,
    usd,
)
from monitor.domain import (
    AccountReading,
    AccountState,
    Claim,
    ClaimKind,
    GiveUp,
    TryLater,
    Usage,
)
from monitor.pricing.price_table import BadPrices, Price, rows

RECEIPT_LAG_S = 30.0  # a record appears seconds after a stream, later after a broken one

_RATES = {
    "input": "prompt",
    "output": "completion",
    "cached": "input_cache_read",
    "reasoning": "internal_reasoning",
    "cache_write": "input_cache_write",
    "cache_write_1h": "input_cache_write_1h",
}


@dataclass(frozen=True, slots=True)
class ProviderReceipt:
    """The provider's own record of one generation: the model that answered, and the charge."""

    claim: Claim
    usage: Usage


class OpenRouterAccount(ProviderAccount):
    """The account of an ordinary OpenRouter key."""

    name: ClassVar[str] = "openrouter"
    key_variable: ClassVar[str] = "OPENROUTER_API_KEY"
    shows: ClassVar[str] = "state and spend of the key that the service uses"
    public_url: ClassVar[str] = "https://openrouter.ai/api/v1"

    async def read(self, at: datetime) -> AccountReading:
        """The state of the key. Includes spend through the user's own provider keys."""
        answer = await self._get("key")
        refused = refusal(self.name, answer, at)
        if refused is not None:
            return refused
        data = table((table(answer.json) or {}).get("data"))
        if data is None:
            return failing(self.name, at, "the reply is not in the documented form")
        left = number(data.get("limit_remaining"))
        empty = left is not None and left <= 0
        return AccountReading(
            provider=self.name,
            at=at,
            state=AccountState.OUT_OF_CREDIT if empty else AccountState.OK,
            detail="the key's limit is used up" if empty else None,
            expires_at=instant(data.get("expires_at")),
            limit_usd=usd(data.get("limit")),
            remaining_usd=None if left is None else usd(max(left, Decimal(0))),
            spent_today_usd=_spent_today(data),
        )

    async def receipt(self, generation: str, at: datetime) -> ProviderReceipt | TryLater | GiveUp:
        """The record of a generation by its id; it appears some time after the answer."""
        answer = await self._get("generation", id=generation)
        if answer.status == 404:
            return TryLater("HTTP 404: not recorded yet", after_s=RECEIPT_LAG_S)
        refused = refusal(self.name, answer, at)
        if refused is not None:
            reason = refused.detail or refused.state.value
            if refused.state is AccountState.REJECTED:
                return GiveUp(reason)
            return TryLater(reason, after_s=refused.retry_after_s)
        data = table((table(answer.json) or {}).get("data")) or {}
        model = text_of(data.get("model"))
        if model is None:
            return GiveUp("the record names no model")
        return ProviderReceipt(
            Claim(ClaimKind.RECEIPT, "openrouter generation", model), _usage(data)
        )

    async def _get(self, path: str, **parameters: str) -> AccountReply:
        query = f"?{urlencode(parameters)}" if parameters else ""
        url = f"{self.base_url.rstrip('/')}/{path}{query}"
        return await self.get(url, headers={"Authorization": f"Bearer {self.key}"})


async def price_list(
    get: JsonGetter, *, at: datetime, base_url: str = OpenRouterAccount.public_url
) -> tuple[Price, ...] | TryLater:
    """OpenRouter's current prices, one row per model that is priced by tokens. Needs no key."""
    source = f"{base_url.rstrip('/')}/models"
    answer = await get(source, headers={})
    refused = refusal(OpenRouterAccount.name, answer, at)
    if refused is not None:
        return TryLater(refused.detail or refused.state.value, after_s=refused.retry_after_s)
    models = tables((table(answer.json) or {}).get("data"))
    if models is None:
        return TryLater("the reply is not in the documented form")
    return tuple(_listed(models, source=source, on=at.date()))


def _spent_today(data: Mapping[str, Any]) -> Decimal | None:
    spent, upstream = usd(data.get("usage_daily")), usd(data.get("byok_usage_daily"))
    return None if spent is None else usd(spent + (upstream or 0))


def _listed(models: list[Mapping[str, Any]], *, source: str, on: date) -> Iterator[Price]:
    for model in models:
        name, pricing = text_of(model.get("id")), table(model.get("pricing"))
        if name is None or pricing is None:
            continue
        row = {
            **_rates(pricing),
            "provider": OpenRouterAccount.name,
            "source": source,
            "checked": on,
        }
        row["tiers"] = [
            {**_rates({**pricing, **tier}), "min_prompt_tokens": tier["min_prompt_tokens"]}
            for tier in tables(pricing.get("overrides")) or ()
            if "min_prompt_tokens" in tier and "utc_start" not in tier
        ]
        try:
            yield from rows({name: row})
        except BadPrices:  # -1 stands for "depends on where it is routed"
            continue


def _rates(pricing: Mapping[str, Any]) -> dict[str, object]:
    """USD per million tokens from decimal text in USD per token."""
    per_token = {ours: number(pricing.get(theirs)) for ours, theirs in _RATES.items()}
    million = {name: rate.scaleb(6) for name, rate in per_token.items() if rate is not None}
    return {**million, "request": number(pricing.get("request"))}


def _usage(data: Mapping[str, Any]) -> Usage:
    """Native tokens are billed. Upstream cost is a charge only with the user's own key."""
    own_key = data.get("is_byok") is True
    return Usage(
        prompt_tokens=count(data.get("native_tokens_prompt")),
        answer_tokens=count(data.get("native_tokens_completion")),
        reasoning_tokens=count(data.get("native_tokens_reasoning")),
        cached_tokens=count(data.get("native_tokens_cached")),
        cost_usd=usd(data.get("total_cost")),
        upstream_cost_usd=usd(data.get("upstream_inference_cost")) if own_key else None,
    )
