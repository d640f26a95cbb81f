"""Incidents written from raw replies of providers, gateways and pages, judged as a sceptic would.

Each script is a short story in minutes from the start of the incident: what was read, as the
provider wrote it. The replies go through the parsers that the worker uses. Two causes that are
supported equally are "cannot tell".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from monitor import identity
from monitor.accounts.openrouter import (
    OpenRouterAccount,
    ProviderReceipt,
    host_statistics,
    offered,
    offered_models,
)
from monitor.domain import AccountReading, CauseOwner, Finding, Outcome, Sample
from monitor.pricing.price_change import changed_rates, changes_text
from monitor.rules import DownRule, FallbackRule
from monitor.rules.cause_kinds import CauseKind
from monitor.rules.cause_sources import (
    AnswerRoute,
    CauseSources,
    ListedModel,
    ModelStatistics,
    PageChange,
    PriceChange,
)
from monitor.rules.likely_cause import LikelyCause, likely_cause
from tests.probe_notation import LLAMA, NOON, after, marked, window

HAIKU = "anthropic/claude-haiku-4.5"
KINDS = CauseKind
GOOD = "...|...|...|...|...|...|...|"
BEGUN = NOON + timedelta(minutes=35, seconds=1)


def at(minutes: float) -> Any:
    return BEGUN + timedelta(minutes=minutes)


@dataclass
class Reply:
    """One HTTP reply."""

    json: Any = None
    status: int | None = 200
    error: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, url: str, *, headers: Mapping[str, str]) -> "Reply":
        return self


def key(**data: Any) -> Reply:
    said = {"limit_remaining": None, "usage": 1.5, "usage_daily": 0.25, "expires_at": None}
    return Reply({"data": said | data})


def record(*attempts: tuple[int, str]) -> Reply:
    """A generation record: status and model of each attempt."""
    tried = [
        {"status": status, "provider_name": "Groq", "model_permaslug": model}
        for status, model in attempts
    ]
    data: dict[str, Any] = {"model": HAIKU, "total_cost": 0.001}
    return Reply({"data": data | ({"provider_responses": tried} if attempts else {})})


def models(**prices: str) -> Reply:
    """The list; a price is of the prompt, per token."""
    given = {"scout": LLAMA, "haiku": HAIKU}
    rows = [
        {"id": given[name], "pricing": {"prompt": usd, "completion": "0.000001"}}
        for name, usd in prices.items()
    ]
    return Reply({"data": [*rows, {"id": "other/model"}]})


def hosts(*uptimes: Any) -> Reply:
    return Reply({"data": {"endpoints": [
        {"provider_name": f"h{n}", "uptime_last_5m": up, "latency_last_30m": None}
        for n, up in enumerate(uptimes)
    ]}})  # fmt: skip


@dataclass
class Script:
    """An incident. Readings by minute; `records`: of the affected answers, in turn."""

    marks: str = "FFF|FFF|FFF"
    before: str = GOOD
    errors: Sequence[str] = ()
    outcome: Outcome = Outcome.ERROR_EVENT
    keys: Mapping[float, Reply] = field(default_factory=dict)
    records: Sequence[Reply | None] = ()
    header: str = ""  # of a gateway, on each affected answer
    lists: Mapping[float, Reply] = field(default_factory=dict)
    statistics: Mapping[float, Reply] = field(default_factory=dict)
    pages: Mapping[float, tuple[int | None, dict[str, Any]]] = field(default_factory=dict)
    configured: Sequence[float] = ()
    costs: tuple[str, str] | None = None  # a cost drift: USD a day before and now
    charged: bool = True


async def judged(script: Script) -> LikelyCause | None:
    samples: list[Sample] = []
    for one in marked(script.before + script.marks):
        if one.at >= BEGUN and one.outcome is Outcome.REFUSED and script.errors:
            text = script.errors[len(samples) % len(script.errors)]
            one = replace(one, outcome=script.outcome, error=text)
        samples.append(one)
    of = window(iter(samples))
    rule = DownRule() if "x" in script.marks else FallbackRule()
    verdict = rule.judge(of, None, after(of))
    if script.costs:
        before, now = map(Decimal, script.costs)
        finding = Finding(what="cost of 3 queries: $2", usd_a_day=now, usual_usd_a_day=before)
        verdict = replace(
            verdict, rule="cost_drift", rows=tuple(s.id for s in samples[-9:]), finding=finding
        )
    fallen = [s for s in samples if s.model and s.model != LLAMA]
    accounts: list[AccountReading] = [
        await OpenRouterAccount(reply, "k", "http://x").read(at(minute))
        for minute, reply in sorted(script.keys.items())
    ]
    routes = []
    for nth, sample in enumerate(fallen):
        reply = script.records[nth % len(script.records)] if script.records else None
        if reply is not None:
            receipt = await OpenRouterAccount(reply, "k", "http://x").receipt("gen-1", BEGUN)
            assert isinstance(receipt, ProviderReceipt)
            routes.append(AnswerRoute(sample.id, sample.at, receipt.attempts))
        elif script.header:
            count = int(script.header)
            routes.append(AnswerRoute(sample.id, sample.at, None, count, "x-litellm-attempts"))
    listings, prices = await read_lists(script)
    return likely_cause(
        verdict,
        CauseSources(
            begun=BEGUN, model=LLAMA, samples=of.samples, routes=routes, accounts=accounts,
            pages=pages(script), configurations=[at(minute) for minute in script.configured],
            listings=listings, prices=prices, charged=script.charged,
            statistics=[
                ModelStatistics(at(minute), found)
                for minute, reply in sorted(script.statistics.items())
                if isinstance(found := await host_statistics(reply, LLAMA, key=None, at=BEGUN),
                              Sequence)
            ],
        ),
    )  # fmt: skip


async def read_lists(script: Script) -> tuple[list[ListedModel], list[PriceChange]]:
    listings: list[ListedModel] = []
    prices: list[PriceChange] = []
    rates: dict[str, tuple[float, Mapping[str, str]]] = {}
    for minute, reply in sorted(script.lists.items()):
        found = await offered_models(reply, at=at(minute))
        if not isinstance(found, Sequence):
            continue
        there = offered(LLAMA, found, same=identity.same) is not None
        if listings and listings[-1].listed is there:
            listings[-1] = replace(listings[-1], checked_at=at(minute))
        else:
            listings.append(ListedModel(at(minute), at(minute), there))
        for model in (LLAMA, HAIKU):
            offer = offered(model, found, same=identity.same)
            if offer is None:
                continue
            last, old = rates.get(model, (minute, offer.rates))
            changes = changed_rates(old, offer.rates)
            if changes:
                rises = {(now or 0) > (was or 0) for was, now in changes.values()}
                prices.append(
                    PriceChange(model, at(minute), at(last), model == LLAMA,
                                rises.pop() if len(rises) == 1 else None, changes_text(changes))
                )  # fmt: skip
            rates[model] = minute, offer.rates
    return listings, prices


def pages(script: Script) -> list[PageChange]:
    changes, last = [], None
    for minute, (status, facts) in sorted(script.pages.items()):
        if last is not None and last[1:] != (status, facts):
            changes.append(PageChange(at(minute), at(last[0]), status, facts, last[1], last[2]))
        last = (minute, status, facts)
    return changes


V52, V53 = (200, {"version": "5.2"}), (200, {"version": "5.3"})
LIMITED = key(limit=5, limit_remaining=0)
NO_KEY = Reply({"error": {"message": "User not found.", "code": 401}}, status=401)
REFUSALS = [record((401, LLAMA), (200, HAIKU))]
OVERLOADED = [record((429, LLAMA), (503, LLAMA), (200, HAIKU))]
BUSY = [record((429, LLAMA), (200, HAIKU))]
BROKEN = [record((503, LLAMA), (200, HAIKU))]
ROUTED = [record((200, HAIKU))]

SCRIPTS: dict[str, tuple[CauseKind | None, Script]] = {
    "the limit of the key is used up, and the next reading is late": (
        KINDS.CREDIT, Script(keys={-6: key(limit=5, limit_remaining=0.2), 4: LIMITED})),
    "the key is deleted, and the records agree": (
        KINDS.KEY, Script(keys={-4: key(), 1: NO_KEY}, records=REFUSALS)),
    "the key expired as announced, and its account is not readable since": (
        KINDS.KEY, Script(keys={-9: key(expires_at=at(-1).isoformat()), 2: Reply(status=500)})),
    "the credit was used up and topped up before the incident": (
        None, Script(keys={-25: key(limit_remaining=1), -20: LIMITED, -10: key(limit_remaining=9),
                           0.5: key(limit_remaining=9)})),
    "the key was rejected, but the expected model answered for half an hour": (
        None, Script(keys={-40: key(), -31: NO_KEY, 3: NO_KEY})),
    "the key is accepted while attempts get 401": (
        None, Script(keys={-4: key(), 2: key()}, records=REFUSALS)),
    "429 and 503 of all hosts, then another model": (
        KINDS.PROVIDER_LIMIT, Script(records=OVERLOADED)),
    "429 of the provider": (KINDS.PROVIDER_LIMIT, Script(records=BUSY)),
    "429 in the records, and the statistics show hosts that are down": (
        KINDS.PROVIDER_LIMIT, Script(records=BUSY, statistics={6: hosts(40, 12)})),
    "503 in the records, after a deployment": (
        KINDS.PROVIDER_ERRORS, Script(records=BROKEN, pages={-14: V52, -9: V53})),
    "only half of the answers had a failed attempt": (
        KINDS.UNATTRIBUTED, Script(records=[*BROKEN, *ROUTED], header="", pages={-14: V52, -9: (
            503, {})})),
    "records without attempts, and a gateway that counts them": (
        KINDS.GATEWAY, Script(records=[record(), None], header="1")),
    "records that show that the fallback was requested itself": (None, Script(records=ROUTED)),
    "the statistics of all hosts fall": (
        KINDS.PROVIDER_STATISTICS, Script(statistics={3: hosts(88, 97), 6: hosts(12, 40)})),
    "the statistics say nothing": (None, Script(statistics={3: hosts(None, None)})),
    "the statistics fall, and the key is rejected": (
        None, Script(statistics={3: hosts(12, 40)}, keys={-4: key(), 1: NO_KEY})),
    "the model leaves the list, with 404 in the records": (
        KINDS.MODEL_REMOVED, Script(
            lists={-600: models(scout="0.1", haiku="1"), 5: models(haiku="1")},
            records=[record((404, LLAMA), (200, HAIKU))])),
    "the model is missing from one list and is back in the next": (
        None, Script(lists={-600: models(scout="0.1"), 5: models(haiku="1"),
                            15: models(scout="0.1")})),
    "an empty list": (None, Script(lists={-600: models(scout="0.1"), 5: Reply({"data": []})})),
    "the expected model becomes more expensive": (
        KINDS.PRICE, Script(lists={-600: models(scout="0.0000001", haiku="0.000001"),
                                   5: models(scout="0.0000009", haiku="0.000001")})),
    "the fallback becomes cheaper": (
        KINDS.PRICE, Script(lists={-600: models(scout="0.0000001", haiku="0.000001"),
                                   5: models(scout="0.0000001", haiku="0.00000005")})),
    "the fallback becomes more expensive, which explains nothing": (
        None, Script(lists={-600: models(scout="0.0000001", haiku="0.000001"),
                            5: models(scout="0.0000001", haiku="0.000002")})),
    "the expected model becomes more expensive, after a deployment": (
        None, Script(lists={-600: models(scout="0.0000001"), 5: models(scout="0.0000009")},
                     pages={-14: V52, -9: V53})),
    "the charge follows the list price": (
        KINDS.PRICE, Script(marks="...|...|...", costs=("1", "2"), lists={
            -600: models(scout="0.0000001"), 5: models(scout="0.0000009")})),
    "our own price book does not follow the list price": (
        None, Script(marks="...|...|...", costs=("1", "2"), charged=False, lists={
            -600: models(scout="0.0000001"), 5: models(scout="0.0000009")})),
    "costs fall while the list price rises": (
        None, Script(marks="...|...|...", costs=("2", "1"), lists={
            -600: models(scout="0.0000001"), 5: models(scout="0.0000009")})),
    "costs move while the key is rejected, but the expected model answers": (
        None, Script(marks="...|...|...", costs=("1", "2"), keys={-4: key(), 1: NO_KEY})),
    "costs move after an edit of our configuration": (
        KINDS.CONFIGURATION, Script(marks="...|...|...", costs=("1", "2"), configured=[-4])),
    "a deployment and nothing else": (KINDS.DEPLOYMENT, Script(pages={-14: V52, -9: V53})),
    "two instances of two versions answer the page in turn": (
        None, Script(pages={-45: V52, -40: V53, -35: V52, -30: V53, -25: V52, -20: V53})),
    "a roll-back": (
        KINDS.DEPLOYMENT, Script(pages={-40: V52, -20: V53, -15: V53, -4: V52})),
    "a page without its facts": (
        None, Script(pages={-14: (200, {"region": "fra"}), -9: (200, {})})),
    "a deployment and an edit of our configuration": (
        None, Script(pages={-14: V52, -9: V53}, configured=[-8])),
    "an edit of our configuration, half an hour of good rounds before": (
        None, Script(configured=[-32])),
    "an edit of our configuration just before": (KINDS.CONFIGURATION, Script(configured=[-6])),
    "the index of the service fails": (
        KINDS.UNATTRIBUTED, Script("xxx|xxx|xxx", errors=["vector store returned 503"])),
    "embeddings are refused by a provider": (
        KINDS.KEY, Script("xxx|xxx|xxx", errors=[
            "embedding failed: openai Error code: 401 - invalid api key: incorrect api key"])),
    "the service reports credit and key in turn": (
        None, Script("xxx|xxx|xxx", errors=["402 Insufficient credits", "401 invalid x-api-key"])),
    "the certificate expired, while the key is fine": (
        KINDS.CERTIFICATE, Script("xxx|xxx|xxx", outcome=Outcome.TLS, keys={-4: key(), 1: key()},
                                  errors=["certificate verify failed: certificate has expired"])),
    "a certificate that our own trust store lacks": (
        None, Script("xxx|xxx|xxx", outcome=Outcome.TLS, errors=[
            "certificate verify failed: unable to get local issuer certificate"])),
    "our probes are refused": (KINDS.PROBES_LIMITED, Script("xrr|xrr|xrr")),
}  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_sceptic_agrees(name: str) -> None:
    kind, script = SCRIPTS[name]
    cause = await judged(script)
    assert (cause.kind if cause else None) is kind, cause
    if cause is not None and cause.kind is None:
        assert cause.owner is CauseOwner.CANNOT_TELL
        assert cause.sentence.startswith("cannot tell, the evidence disagrees: ")
