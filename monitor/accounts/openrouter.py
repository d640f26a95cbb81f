"""OpenRouter: the state of the key, the record of one generation, and the price list.

None of these calls spends tokens. Days are UTC days.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from monitor.accounts.replies import (
    AccountReply,
    JsonGetter,
    ProviderAccount,
    ProviderBill,
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
    ProviderAttempt,
    TryLater,
    Usage,
)
from monitor.pricing.meters import day_of
from monitor.pricing.price_table import BadPrices, Price, rows
from monitor.pricing.published import variant
from monitor.redaction import plain, storable
from monitor.rules.cause_sources import HostStatistics

MOST_ATTEMPTS = 16  # of one answer that are kept
MOST_HOSTS = 64  # of one model that are kept
MOST_TIERS = 8  # of the price of one model that are kept
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
    """The provider's own record of one generation: the model that answered, and the charge.

    `attempts`: what the router tried, in order, the failed attempts included; None: not stated.
    """

    claim: Claim
    usage: Usage
    attempts: tuple[ProviderAttempt, ...] | None = None


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

    async def bill(self, day: date, at: datetime) -> ProviderBill | AccountReading | None:
        """The total up to the end of yesterday: everything the key has spent but today's.

        The total is exact where today's figure may lag, because both leave out the same.
        """
        if day != day_of(at)[0] - timedelta(days=1):
            return None
        answer = await self._get("key")
        refused = refusal(self.name, answer, at)
        if refused is not None:
            return refused
        data = table((table(answer.json) or {}).get("data")) or {}
        whole = [number(data.get(name)) for name in ("usage", "byok_usage")]
        today = _spent_today(data)
        if whole[0] is None or today is None:
            return failing(self.name, at, "the reply is not in the documented form")
        running = usd(max(whole[0] + (whole[1] or 0) - today, Decimal(0)))
        return ProviderBill(provider=self.name, day=day, running_usd=running)

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
            Claim(ClaimKind.RECEIPT, "openrouter generation", model), _usage(data), _attempts(data)
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


# The public list of models, and what the hosts of a model state about it. Neither needs a key.


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model in the list. `rates`: USD per million tokens (`request`: per request), as text."""

    name: str
    alias: str | None
    expires_on: date | None
    rates: Mapping[str, str]  # also of tiers, see `_offered_rates`


async def offered_models(
    get: JsonGetter, *, at: datetime, base_url: str = OpenRouterAccount.public_url
) -> Sequence[OfferedModel] | TryLater:
    """All models in the list. A list without models is a failure, not the end of all models."""
    answer = await get(f"{base_url.rstrip('/')}/models", headers={})
    refused = refusal(OpenRouterAccount.name, answer, at)
    if refused is not None:
        return TryLater(refused.detail or refused.state.value, after_s=refused.retry_after_s)
    models = tables((table(answer.json) or {}).get("data"))
    found = [_offered(name, row) for row in models or () if (name := text_of(row.get("id")))]
    return found or TryLater("the reply is not in the documented form")


def offered(
    model: str, models: Iterable[OfferedModel], *, same: Callable[[str, str], bool | None]
) -> OfferedModel | None:
    """The entry of a model; None if there is none. An entry of the same name comes first."""
    alike = [
        offer
        for offer in models
        if variant(offer.name) == variant(model)
        and any(name and same(name, model) for name in (offer.name, offer.alias))
    ]
    wanted = model.casefold()
    return min(
        alike,
        key=lambda offer: (wanted not in (offer.name.casefold(), offer.alias), offer.name),
        default=None,
    )


async def host_statistics(
    get: JsonGetter,
    model: str,
    *,
    key: str | None,
    at: datetime,
    base_url: str = OpenRouterAccount.public_url,
) -> Sequence[HostStatistics] | TryLater:
    """Uptime and TTFT of a model at each host. Without a key the TTFT is not stated."""
    url = f"{base_url.rstrip('/')}/models/{quote(model, safe='/:')}/endpoints"
    answer = await get(url, headers={} if key is None else {"Authorization": f"Bearer {key}"})
    refused = refusal(OpenRouterAccount.name, answer, at)
    if refused is not None:
        return TryLater(refused.detail or refused.state.value, after_s=refused.retry_after_s)
    data = table((table(answer.json) or {}).get("data")) or {}
    hosts = tables(data.get("endpoints"))
    if hosts is None:
        return TryLater("the reply is not in the documented form")
    return [_statistics(host) for host in hosts[:MOST_HOSTS]]


def _offered(name: str, row: Mapping[str, Any]) -> OfferedModel:
    pricing = table(row.get("pricing")) or {}
    expires_at = instant(row.get("expiration_date"))
    return OfferedModel(
        name=storable(name[:200]),
        alias=text_of(row.get("canonical_slug")),
        expires_on=None if expires_at is None else expires_at.date(),
        rates=_offered_rates(pricing),
    )


def _offered_rates(pricing: Mapping[str, Any]) -> Mapping[str, str]:
    """The rates, and those of tiers as `input@200000`: from a prompt of so many tokens on."""
    rates = _texts(_rates(pricing))
    for tier in _tiers(pricing)[:MOST_TIERS]:
        start = count(tier["min_prompt_tokens"])
        if start:
            rates |= {f"{name}@{start}": usd for name, usd in _texts(_rates(tier)).items()}
    return rates


def _texts(rates: Mapping[str, object]) -> dict[str, str]:
    return {name: f"{usd:f}" for name, usd in rates.items() if isinstance(usd, Decimal)}


def _tiers(pricing: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Rates for longer prompts; those for a time of the day are left out."""
    return [
        tier
        for tier in tables(pricing.get("overrides")) or ()
        if "min_prompt_tokens" in tier and "utc_start" not in tier
    ]


def _statistics(host: Mapping[str, Any]) -> HostStatistics:
    uptime = _finite(host.get("uptime_last_5m"))
    if uptime is None:
        uptime = _finite(host.get("uptime_last_30m"))
    return HostStatistics(
        host=plain(text_of(host.get("provider_name")) or "", 100),
        uptime_percent=uptime if uptime is None or 0 <= uptime <= 100 else None,
        ttft_ms=_finite((table(host.get("latency_last_30m")) or {}).get("p50")),
    )


def _finite(value: object) -> float | None:
    """A number that JSON can hold; it is foreign."""
    read = number(value)
    return float(read) if read is not None and 0 <= read < 10**9 else None


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
            for tier in _tiers(pricing)
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


def _attempts(data: Mapping[str, Any]) -> tuple[ProviderAttempt, ...] | None:
    responses = tables(data.get("provider_responses"))
    if responses is None:
        return None
    return tuple(
        ProviderAttempt(
            status=status
            if (status := count(response.get("status")) or 0) in range(100, 1000)
            else None,
            host=text_of(response.get("provider_name")),
            model=text_of(response.get("model_permaslug")),
        )
        for response in responses[:MOST_ATTEMPTS]
    )


def _http_status(value: object) -> int | None:
    status = count(value)
    return status if status in range(100, 1000) else None


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
