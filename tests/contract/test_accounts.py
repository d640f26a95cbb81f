"""Provider accounts against servers on loopback that answer as the providers document it."""

import gzip
import logging
import ssl
import subprocess
import traceback
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from monitor.accounts import ACCOUNTS
from monitor.accounts.openrouter import OpenRouterAccount, ProviderReceipt, price_list
from monitor.accounts.replies import ProviderBill
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
from monitor.pricing.price_table import Price, PriceRates, PriceTier
from monitor.probing.fetch import FetchedDocument, fetch
from tests.contract.provider_api import HeldReply, ProviderRequest, SlowReply, provider, reply
from tests.single_probe import target_at

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CANARY = "sk-canary-3f9a1c77"
get = partial(fetch, timeout_s=60, max_bytes=200_000)

KEY = {
    "label": "sk-or-v1-abc...123",
    "limit": 20,
    "limit_remaining": 12.5,
    "limit_reset": "monthly",
    "usage": 100.25,
    "usage_daily": 0.1234567,
    "usage_weekly": 1,
    "usage_monthly": 2,
    "byok_usage": 0,
    "byok_usage_daily": 0,
    "include_byok_in_limit": False,
    "expires_at": "2026-12-07T12:00:00Z",
    "is_free_tier": False,
    "is_management_key": False,
    "rate_limit": {"requests": -1, "interval": "10s"},
}
CENTS = {
    "data": [
        {
            "starting_at": "2026-11-23T00:00:00Z",
            "ending_at": "2026-11-24T00:00:00Z",
            "results": [
                {"currency": "USD", "amount": "123.45", "workspace_id": None},
                {"currency": "USD", "amount": "0.55", "workspace_id": "wrkspc_1"},
            ],
        }
    ],
    "has_more": False,
    "next_page": None,
}
DOLLARS = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": 1795392000,
            "end_time": 1795478400,
            "results": [
                {"amount": {"value": 0.06, "currency": "usd"}, "line_item": None},
                {"amount": {"value": 1.2e-05, "currency": "usd"}, "line_item": None},
            ],
        }
    ],
    "has_more": False,
    "next_page": None,
}
GOOD = {"openrouter": {"data": KEY}, "anthropic": CENTS, "openai": DOLLARS}


async def read(name: str, *replies: bytes, path: str = "/v1") -> AccountReading:
    async with provider(*replies) as served:
        return await ACCOUNTS[name](get, CANARY, served.address + path).read(NOON)


def test_every_account_has_a_documented_response() -> None:
    assert GOOD.keys() == ACCOUNTS.keys(), "GOOD needs one documented response of each account"


# --- what each provider says when all is well ---


async def test_openrouters_key_reports_state_expiry_credit_and_todays_spend() -> None:
    async with provider(reply(body={"data": KEY})) as served:
        found = await OpenRouterAccount(get, CANARY, served.address + "/api/v1/").read(NOON)
    assert found == AccountReading(
        provider="openrouter",
        at=NOON,
        state=AccountState.OK,
        expires_at=NOON + timedelta(days=14),
        limit_usd=Decimal(20),
        remaining_usd=Decimal("12.5"),
        spent_today_usd=Decimal("0.1234567"),
    )
    assert [requested.path for requested in served.asked] == ["/api/v1/key"]
    assert served.asked[0].headers["authorization"] == f"Bearer {CANARY}"
    assert served.asked[0].headers["accept-encoding"] == "identity"
    assert served.asked[0].headers["user-agent"].startswith("rag-monitor/")


@pytest.mark.parametrize(
    ("reported", "attribute", "value"),
    [
        ({"limit": None, "limit_remaining": None}, "remaining_usd", None),
        ({"limit": None, "limit_remaining": None}, "state", AccountState.OK),
        ({"limit_remaining": 0}, "state", AccountState.OUT_OF_CREDIT),
        ({"limit_remaining": -0.25}, "state", AccountState.OUT_OF_CREDIT),
        ({"limit_remaining": -0.25}, "remaining_usd", Decimal(0)),
        ({"limit_remaining": 0.01}, "state", AccountState.OK),
        ({"expires_at": None}, "expires_at", None),
        ({"expires_at": "soon"}, "expires_at", None),
        ({"expires_at": "2026-12-07T13:00:00+01:00"}, "expires_at", NOON + timedelta(days=14)),
        ({"byok_usage_daily": 0.5, "usage_daily": 0.25}, "spent_today_usd", Decimal("0.75")),
        ({"usage_daily": None}, "spent_today_usd", None),  # unknown, and never nothing
        ({"usage_daily": "NaN"}, "spent_today_usd", None),
        ({"usage_daily": -1}, "spent_today_usd", None),
        ({"usage_daily": True}, "spent_today_usd", None),
        ({"usage_daily": 1e300}, "spent_today_usd", None),
        ({"usage_daily": 0}, "spent_today_usd", Decimal(0)),
    ],
)
async def test_fields_of_openrouters_key(
    reported: dict[str, object], attribute: str, value: object
) -> None:
    found = await read("openrouter", reply(body={"data": {**KEY, **reported}}))
    assert getattr(found, attribute) == value


async def test_anthropics_amounts_are_cents() -> None:
    async with provider(reply(body=CENTS)) as served:
        found = await ACCOUNTS["anthropic"](get, CANARY, served.address + "/v1").read(NOON)
    assert found.spent_today_usd == Decimal("1.24")
    assert served.asked[0].path == (
        "/v1/organizations/cost_report?starting_at=2026-11-23T00%3A00%3A00Z&bucket_width=1d"
    )
    assert served.asked[0].headers["x-api-key"] == CANARY
    assert served.asked[0].headers["anthropic-version"] == "2023-06-01"


async def test_openais_amounts_are_dollars_and_exact() -> None:
    async with provider(reply(body=DOLLARS)) as served:
        found = await ACCOUNTS["openai"](get, CANARY, served.address + "/v1").read(NOON)
    assert found.spent_today_usd == Decimal("0.060012")
    midnight = int(datetime(2026, 11, 23, tzinfo=UTC).timestamp())
    assert served.asked[0].path == (
        f"/v1/organization/costs?start_time={midnight}&bucket_width=1d&limit=1"
    )
    assert served.asked[0].headers["authorization"] == f"Bearer {CANARY}"


@pytest.mark.parametrize(
    ("name", "whole", "sum_usd"), [("anthropic", CENTS, "2.48"), ("openai", DOLLARS, "0.120024")]
)
async def test_reports_are_read_to_their_last_page(
    name: str, whole: dict[str, object], sum_usd: str
) -> None:
    first = {**whole, "has_more": True, "next_page": "page two&more"}
    async with provider(reply(body=first), reply(body=whole)) as served:
        found = await ACCOUNTS[name](get, CANARY, served.address).read(NOON)
    assert found.spent_today_usd == Decimal(sum_usd)
    assert len(served.asked) == 2
    assert served.asked[1].path.endswith("&page=page+two%26more")


@pytest.mark.parametrize("name", ["anthropic", "openai"])
async def test_a_report_that_does_not_end_is_left(name: str) -> None:
    endless = reply(body={"data": [], "has_more": True, "next_page": "again"})
    async with provider(endless) as served:
        found = await ACCOUNTS[name](get, CANARY, served.address).read(NOON)
    assert (found.state, found.detail) == (AccountState.FAILING, "the report has invalid paging")
    assert len(served.asked) == 2

    turn = iter(range(1000))

    def new_page(requested: ProviderRequest) -> bytes:
        return reply(body={"data": [], "has_more": True, "next_page": f"p{next(turn)}"})

    async with provider(new_page) as served:
        found = await ACCOUNTS[name](get, CANARY, served.address).read(NOON)
    assert found.detail == "the report has invalid paging"
    assert len(served.asked) == 20


@pytest.mark.parametrize("name", ["anthropic", "openai"])
async def test_an_empty_report_is_a_day_without_spend(name: str) -> None:
    found = await read(name, reply(body={"data": [], "has_more": False, "next_page": None}))
    assert (found.state, found.spent_today_usd) == (AccountState.OK, Decimal(0))


# --- refusals and faults, the same for all ---


@pytest.mark.parametrize("name", ACCOUNTS)
@pytest.mark.parametrize(
    ("status", "state"),
    [
        (401, AccountState.REJECTED),
        (403, AccountState.REJECTED),
        (402, AccountState.OUT_OF_CREDIT),
        (429, AccountState.THROTTLED),
        (400, AccountState.FAILING),
        (404, AccountState.FAILING),
        (500, AccountState.FAILING),
        (502, AccountState.FAILING),
        (529, AccountState.FAILING),
    ],
)
async def test_refusals_become_states(name: str, status: int, state: AccountState) -> None:
    body = {"error": {"message": f"Incorrect API key provided: {CANARY}", "code": status}}
    found = await read(name, reply(status, body))
    assert found.state is state
    assert found.detail is not None
    assert found.detail.startswith(f"HTTP {status}")
    assert found.spent_today_usd is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("Mon, 23 Nov 2026 12:01:00 GMT", 60.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("9" * 400, 86_400.0),
        ("soon", None),
        ("-5", None),
        (None, None),
    ],
)
async def test_a_throttled_account_says_how_long(header: str | None, seconds: float | None) -> None:
    headers = {} if header is None else {"Retry-After": header}
    found = await read("openrouter", reply(429, {}, headers=headers))
    assert (found.state, found.retry_after_s) == (AccountState.THROTTLED, seconds)


@pytest.mark.parametrize("name", ACCOUNTS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>welcome</html>",
        b"null",
        b"[]",
        b"{}",
        b'{"data": null}',
        b'{"data": "yes"}',
        b'{"data": [1, 2], "has_more": false}',
        b'{"data": [{}], "has_more": false}',
        b'{"data": []}',  # nothing spent, if the envelope were whole
        b'{"data": {"usage_daily": NaN}}',
        b'{"data": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b"\xff\xfe\x00",
    ],
)
async def test_a_malformed_reply_is_a_failure_and_never_nothing_spent(
    name: str, body: bytes
) -> None:
    found = await read(name, reply(200, body))
    assert found.state is AccountState.FAILING
    assert found.spent_today_usd is None


@pytest.mark.parametrize(
    ("name", "results"),
    [
        ("anthropic", [{"currency": "EUR", "amount": "1"}]),
        ("anthropic", [{"currency": "USD", "amount": "1"}, {"currency": "USD"}]),
        ("anthropic", [{"currency": "USD", "amount": "NaN"}]),
        ("anthropic", [{"currency": "USD", "amount": "-5"}]),
        ("openai", [{"amount": {"value": 1, "currency": "eur"}}]),
        ("openai", [{"amount": {"value": 1, "currency": "usd"}}, {"amount": None}]),
        ("openai", [{"amount": {"value": True, "currency": "usd"}}]),
    ],
)
async def test_an_amount_that_is_not_dollars_spoils_the_report(
    name: str, results: list[dict[str, object]]
) -> None:
    found = await read(name, reply(body={"data": [{"results": results}], "has_more": False}))
    assert found.state is AccountState.FAILING
    assert found.spent_today_usd is None


@pytest.mark.parametrize("name", ACCOUNTS)
async def test_a_slow_provider_is_left_in_time(name: str) -> None:
    hasty = partial(fetch, timeout_s=0.2, max_bytes=200_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
    for reported in (HeldReply(), HeldReply(head + b"{"), SlowReply(head + b" " * 499)):
        async with provider(reported) as served:
            found = await ACCOUNTS[name](hasty, CANARY, served.address).read(NOON)
        assert found.state is AccountState.FAILING
        assert found.detail == "no complete reply within 0.2 s"


# --- receipts ---

GENERATION = {
    "id": "gen-1",
    "model": "meta-llama/llama-4-scout",
    "provider_name": "DeepInfra",
    "total_cost": 0.0000123,
    "usage": 0.0000123,
    "upstream_inference_cost": 0.0000123,
    "is_byok": False,
    "tokens_prompt": 30,
    "tokens_completion": 7,
    "native_tokens_prompt": 27,
    "native_tokens_completion": 8,
    "native_tokens_reasoning": 0,
    "native_tokens_cached": None,
}


async def receipt(
    *replies: bytes, generation: str = "gen-1"
) -> ProviderReceipt | TryLater | GiveUp:
    async with provider(*replies) as served:
        return await OpenRouterAccount(get, CANARY, served.address).receipt(generation, NOON)


async def test_a_receipt_names_who_answered_and_the_charge() -> None:
    async with provider(reply(body={"data": GENERATION})) as served:
        found = await OpenRouterAccount(get, CANARY, served.address).receipt("gen-1 &x=", NOON)
    assert found == ProviderReceipt(
        Claim(ClaimKind.RECEIPT, "openrouter generation", "meta-llama/llama-4-scout"),
        Usage(
            prompt_tokens=27,
            answer_tokens=8,
            reasoning_tokens=0,
            cost_usd=Decimal("0.0000123"),
        ),
    )
    assert served.asked[0].path == "/generation?id=gen-1+%26x%3D"


async def test_a_receipt_lists_the_attempts_that_failed_before_the_answer() -> None:
    llama = "meta-llama/llama-4-scout"
    responses = [
        {"status": 503, "provider_name": "Groq", "model_permaslug": llama, "latency": 12},
        {"status": "429", "provider_name": None},
        {"status": 200, "provider_name": "Anthropic"},
    ]
    found = await receipt(reply(body={"data": {**GENERATION, "provider_responses": responses}}))
    assert isinstance(found, ProviderReceipt)
    assert found.attempts == (
        ProviderAttempt(503, "Groq", llama),
        ProviderAttempt(None, None, None),
        ProviderAttempt(200, "Anthropic", None),
    )
    for odd in ("none", [1], {}, None):
        found = await receipt(reply(body={"data": {**GENERATION, "provider_responses": odd}}))
        assert isinstance(found, ProviderReceipt)
        assert found.attempts is None


async def test_a_receipt_with_a_key_of_ones_own_holds_the_upstream_cost() -> None:
    own = {**GENERATION, "is_byok": True, "total_cost": 0, "upstream_inference_cost": 0.02}
    found = await receipt(reply(body={"data": own}))
    assert isinstance(found, ProviderReceipt)
    assert found.usage.cost_usd == 0
    assert found.usage.upstream_cost_usd == Decimal("0.02")


@pytest.mark.parametrize(
    ("reported", "outcome"),
    [
        (reply(404, {}), TryLater("HTTP 404: not recorded yet", after_s=30.0)),
        (reply(429, {}, headers={"Retry-After": "7"}), TryLater("HTTP 429: rate limited", 7.0)),
        (reply(502, {}), TryLater("HTTP 502")),
        (reply(401, {}), GiveUp("HTTP 401: the key is rejected: expired, disabled or wrong")),
        (reply(200, {"data": {}}), GiveUp("the record names no model")),
        (reply(200, b"gone"), GiveUp("the record names no model")),
    ],
)
async def test_a_receipt_lags_and_may_never_come(
    reported: bytes, outcome: TryLater | GiveUp
) -> None:
    assert await receipt(reported) == outcome


# --- the price list ---

MODELS = {
    "data": [
        {
            "id": "meta-llama/llama-4-scout",
            "pricing": {"prompt": "0.00000008", "completion": "0.0000003", "request": "0"},
        },
        {
            "id": "anthropic/claude-haiku-5.5",
            "pricing": {
                "prompt": "0.0000001",
                "completion": "0.0000005",
                "input_cache_read": "0.00000001",
                "web_search": "0.01",
                "overrides": [
                    {"min_prompt_tokens": 100001, "prompt": "0.0000005"},
                    {"utc_start": "00:30", "utc_end": "08:30", "prompt": "0"},
                ],
            },
        },
        {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}},
        {"id": "image/only", "pricing": {"image": "0.1"}},
        {"pricing": {}},
    ]
}


async def test_the_price_list_is_read_in_dollars_per_million() -> None:
    async with provider(reply(body=MODELS)) as served:
        found = await price_list(get, at=NOON, base_url=served.address + "/api/v1")
    source, day = served.address + "/api/v1/models", NOON.date()
    rates = PriceRates(input=Decimal("0.1"), output=Decimal("0.5"), cached=Decimal("0.01"))
    higher = PriceRates(input=Decimal("0.5"), output=Decimal("0.5"), cached=Decimal("0.01"))
    tier = PriceTier(min_prompt_tokens=100_001, rates=higher)
    scout = PriceRates(input=Decimal("0.08"), output=Decimal("0.30"), request=Decimal(0))
    assert found == (
        Price(
            model="meta-llama/llama-4-scout",
            rates=scout,
            source=source,
            provider="openrouter",
            checked=day,
        ),
        Price(
            model="anthropic/claude-haiku-5.5",
            rates=rates,
            source=source,
            provider="openrouter",
            checked=day,
            tiers=(tier,),
        ),
    )
    assert "authorization" not in served.asked[0].headers


async def test_an_unreachable_price_list_is_reported_and_is_not_empty() -> None:
    async with provider(reply(503, {})) as served:
        found = await price_list(get, at=NOON, base_url=served.address)
    assert found == TryLater("HTTP 503")
    async with provider(reply(200, {})) as served:
        found = await price_list(get, at=NOON, base_url=served.address)
    assert found == TryLater("the reply is not in the documented form")


# --- the getter itself ---


async def test_redirects_are_not_followed_so_that_keys_do_not_travel() -> None:
    async with provider(reply(200, {"data": KEY})) as elsewhere:
        moved = reply(302, {}, headers={"Location": elsewhere.address + "/key"})
        found = await read("openrouter", moved)
    assert (found.state, found.detail) == (AccountState.FAILING, "HTTP 302")
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("reported", "error_reason"),
    [
        (reply(200, b"[" + b" " * 300_000 + b"]"), "the reply exceeds 200000 bytes"),
        (
            reply(200, gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}),
            "the reply is compressed, which was not requested",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the reply is not complete HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "the reply is not complete HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "the reply is not complete HTTP"),
    ],
)
async def test_the_getter_is_bounded_and_reports_trouble_as_a_value(
    reported: bytes, error_reason: str
) -> None:
    async with provider(reported) as served:
        found = await get(served.address, headers={})
    assert found.error == error_reason
    assert found.json is None


@pytest.mark.parametrize(
    ("url", "error_reason"),
    [
        ("http://127.0.0.1:1/", "no connection: Connection refused"),
        ("ftp://127.0.0.1/", "the request is not valid HTTP: check the address and the key"),
        ("http://", "the request is not valid HTTP: check the address and the key"),
        ("http://[::1", "the request is not valid HTTP: check the address and the key"),
    ],
)
async def test_an_address_that_leads_nowhere_is_trouble_and_no_exception(
    url: str, error_reason: str
) -> None:
    assert await get(url, headers={}) == FetchedDocument(error=error_reason, sent=False)


@pytest.mark.parametrize("key", [f"{CANARY}\n", f"{CANARY}é", f"{CANARY}\0"])
async def test_a_key_no_header_can_hold_is_trouble_without_the_key(key: str) -> None:
    async with provider(reply(body={"data": KEY})) as served:
        found = await OpenRouterAccount(get, key, served.address).read(NOON)
    assert found.state is AccountState.FAILING
    assert found.detail == "the request is not valid HTTP: check the address and the key"


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_a_certificate_no_one_vouches_for_is_refused(self_signed: ssl.SSLContext) -> None:
    async with provider(reply(200, {}), ssl_context=self_signed) as served:
        found = await get(served.address, headers={"Authorization": CANARY})
    assert found.status is None
    assert found.error is not None
    assert found.error.startswith("no connection: certificate verify failed")
    assert served.asked == []


async def test_an_authority_of_ones_own_may_be_named_and_a_useless_one_is_trouble(
    self_signed: ssl.SSLContext, tmp_path: Path
) -> None:
    async with provider(reply(200, {"yes": 1}), ssl_context=self_signed) as served:
        trusted = str(tmp_path / "certificate.pem")
        found = await get(served.address, headers={}, target=target_at("http://x", ca_file=trusted))
        assert found.json == {"yes": 1}
        useless = target_at("http://x", ca_file=str(tmp_path / "none.pem"))
        none = await get(served.address, headers={}, target=useless)
    assert none.status is None
    assert none.error is not None
    assert "cannot be used: No such file or directory" in none.error


# --- secrets ---


@pytest.mark.parametrize("name", ACCOUNTS)
async def test_the_key_appears_in_no_output(
    name: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    echo = {"error": {"message": f"bad key {CANARY}"}, "data": CANARY}
    reported = [
        *(reply(status, echo, headers={"X-Echo": CANARY}) for status in (200, 401, 402, 429, 500)),
        reply(200, CANARY.encode()),
        reply(302, {}, headers={"Location": f"http://127.0.0.1/{CANARY}"}),
        b"HTTP/1.1 " + CANARY.encode(),
    ]
    shown = []
    for one in reported:
        async with provider(one) as served:
            account = ACCOUNTS[name](get, CANARY, served.address)
            found = await account.read(NOON)
            raw = await get(served.address, headers={"x-api-key": CANARY})
        shown += [repr(account), repr(found), str(asdict(found)), repr(raw)]
        if isinstance(account, OpenRouterAccount):
            shown.append(repr(await receipt(one, generation="gen-1")))
    captured = capfd.readouterr()
    shown += [caplog.text, captured.out, captured.err]
    assert not [text for text in shown if CANARY in text]


@pytest.mark.parametrize("name", ACCOUNTS)
async def test_an_exception_on_the_way_does_not_show_the_key(name: str) -> None:
    async def broken(url: str, *, headers: object) -> FetchedDocument:
        raise RuntimeError("a bug")

    account = ACCOUNTS[name](broken, CANARY, "http://127.0.0.1")
    with pytest.raises(RuntimeError) as raised:
        await account.read(NOON)
    assert CANARY not in "".join(traceback.format_exception(raised.value))


async def test_every_reply_documented_is_read_without_complaint() -> None:
    for name, body in GOOD.items():
        found = await read(name, reply(body=body))
        assert (name, found.state) == (name, AccountState.OK)
        assert found.detail is None


# --- bills of closed days ---

YESTERDAY = NOON.date() - timedelta(days=1)
BILLS = {
    "anthropic": (CENTS, {"usd": Decimal("1.24")}),
    "openai": (DOLLARS, {"usd": Decimal("0.060012")}),
    "openrouter": (
        {"data": KEY | {"usage": 7.5, "usage_daily": 0.25, "byok_usage": 1, "byok_usage_daily": 1}},
        {"running_usd": Decimal("7.25")},
    ),
}


@pytest.mark.parametrize("name", ACCOUNTS)
async def test_the_bill_of_yesterday(name: str) -> None:
    assert name in BILLS, f"add a row for {name} to BILLS, or one whose bill is None"
    body, wanted = BILLS[name]
    async with provider(reply(body=body)) as served:
        bill = await ACCOUNTS[name](get, CANARY, served.address + "/v1").bill(YESTERDAY, NOON)
        failed = await ACCOUNTS[name](get, CANARY, "http://127.0.0.1:1").bill(YESTERDAY, NOON)
    assert isinstance(bill, ProviderBill)
    assert {key: getattr(bill, key) for key in wanted} == wanted
    assert (bill.provider, bill.day) == (name, YESTERDAY)
    assert isinstance(failed, AccountReading)
    assert failed.state is AccountState.FAILING


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("openai", "start_time=1795305600&end_time=1795392000&bucket_width=1d"),
        ("anthropic", "starting_at=2026-11-22T00%3A00%3A00Z&ending_at=2026-11-23T00%3A00%3A00Z"),
    ],
)
async def test_a_bill_asks_for_one_whole_utc_day(name: str, wanted: str) -> None:
    async with provider(reply(body=GOOD[name])) as served:
        await ACCOUNTS[name](get, CANARY, served.address).bill(YESTERDAY, NOON)
    assert wanted in served.asked[0].path


async def test_openrouter_knows_its_total_up_to_yesterday_alone() -> None:
    async with provider(reply(body={"data": KEY})) as served:
        account = OpenRouterAccount(get, CANARY, served.address)
        assert await account.bill(YESTERDAY - timedelta(days=1), NOON) is None
    assert not served.asked
