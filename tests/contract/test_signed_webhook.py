"""The webhook: what is sent, how it is signed, and what each answer means."""

import asyncio
import hashlib
import hmac
import json
import re
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import TypeAdapter

from monitor.domain import Delivery, Finding, GiveUp, Identity, Sent, TryLater
from monitor.incidents.planner import plan
from monitor.incidents.state_machine import ReminderPolicy
from monitor.notifications import NOTIFIERS
from monitor.notifications.signed_webhook import (
    NoticeDocument,
    SignedWebhook,
    WebhookOptions,
    document,
    signature,
)
from monitor.rules import FallbackRule, Window
from monitor.rules.cause_kinds import CauseKind
from monitor.rules.likely_cause import LikelyCause, explained
from tests.contract.channel_services import ChannelFailure
from tests.contract.example_notices import FIRING, RESOLVED, notice
from tests.contract.http_sink import SECRET, HttpSink, http_sink
from tests.probe_notation import EVERY, INHIBITIONS, after, marked
from tests.scripted_server import head as http_head
from tests.scripted_server import scripted_server

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "webhook.md").read_text(encoding="utf-8")
EXAMPLE = r"```json\n(\{\n  \"version\".*?\n)```"
KEY = "canary-signing-key-9d2"
BASE64_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FULL = replace(
    FIRING, finding=Finding(what="slow", extent="All of 4 answers", cause="a fallback"),
    facts={"Who answered": "Claude <3.5>"}, rows=(uuid4(),), also=("down: no answer",), peak=2000.0,
)  # fmt: skip


def webhook(sink: HttpSink, secret: str = KEY, **options: Any) -> SignedWebhook:
    made = WebhookOptions(url=sink.url, secret=secret, **options)
    return SignedWebhook("on-call", made, timeout_s=5)


async def sent(sink: HttpSink, *steps: ChannelFailure | int) -> Delivery:
    sink.script.extend(steps)
    return await webhook(sink).send(FIRING)


async def test_the_document_is_what_the_schema_and_the_page_say() -> None:
    schema = json.loads((DOCS / "webhook.schema.json").read_text(encoding="utf-8"))
    valid = pytest.importorskip("fastjsonschema").compile(schema)
    for item in (
        FULL,
        RESOLVED,
        notice(sentence="s" * 9_000),
        replace(FIRING, number=None),
        replace(FIRING, value=Decimal("2.10"), limit=float("inf"), peak=float("nan")),
    ):
        valid(json.loads(document(item, "on-call")))
    (example,) = re.findall(EXAMPLE, PAGE, re.S)
    valid(json.loads(example))
    with pytest.raises(Exception, match="must contain"):
        valid({})


def test_the_schema_is_that_of_the_code() -> None:
    """`python -m tests.contract.test_signed_webhook` writes it."""
    assert json.loads((DOCS / "webhook.schema.json").read_text(encoding="utf-8")) == schema_now()


def test_every_key_stands_on_the_page() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M))
    assert set(schema_now()["properties"]) <= rows


async def test_what_is_sent_verifies_as_the_page_says() -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    verify: dict[str, Any] = {}
    exec(compile(snippet, "docs/webhook.md", "exec"), verify)  # noqa: S102  our own page
    for secret in (KEY, BASE64_KEY):
        with http_sink() as sink:
            assert await webhook(sink, secret).send(FULL) == Sent()
        [request] = sink.taken
        assert verify["verified"](request.headers, request.body, secret) == request.json
        for headers, body, used in (
            (request.headers, request.body + b" ", secret),
            (request.headers, request.body, "another"),
            (request.headers | {"Webhook-Timestamp": "1700000000"}, request.body, secret),
            (request.headers | {"Webhook-Id": str(uuid4())}, request.body, secret),
        ):
            with pytest.raises(ValueError, match=r"signature|old"):
                verify["verified"](headers, body, used)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's reference libraries."""
    body = b'{"test": 2432232314}'
    found = signature(BASE64_KEY, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    plain = hmac.new(KEY.encode(), b"id.1." + body, hashlib.sha256).digest()
    assert signature(KEY, "id", "1", body)[3:].encode() == __import__("base64").b64encode(plain)


async def test_every_attempt_sends_the_same_document_under_the_same_key() -> None:
    with http_sink() as sink:
        await webhook(sink).send(FULL)
        await webhook(sink).send(replace(FULL, repeated=True))
    first, second = sink.taken
    assert first.body == second.body
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"] == str(FULL.id)
    assert "Monitor-Repeated" not in first.headers
    assert second.headers["Monitor-Repeated"] == "true"


async def test_the_authorization_is_sent() -> None:
    with http_sink() as sink:
        await webhook(sink, authorization="Bearer canary").send(FIRING)
    assert sink.taken[0].headers["Authorization"] == "Bearer canary"
    assert sink.taken[0].headers["Content-Type"] == "application/json"
    assert "canary" not in repr(webhook(sink, authorization="Bearer canary"))


LATER = [408, 425, 429, 500, 502, 503, 504, 599]
MESSAGE = [400, 406, 409, 413, 415, 422]
CHANNEL = [401, 402, 403, 404, 405, 410, 451, 301, 302, 307, 308]


@pytest.mark.parametrize("status", [*LATER, *MESSAGE, *CHANNEL, 201, 202, 204])
async def test_the_status_decides(status: int) -> None:
    with http_sink() as sink:
        delivery = await sent(sink, status)
    why = f"the receiver answered HTTP {status}"
    match delivery:
        case Sent():
            assert status < 300
        case TryLater(reason):
            assert (reason, status in LATER) == (why, True)
            assert delivery.after_s == (7 if status == 429 else None)
            assert delivery.channel_wide == (status == 429)
            assert delivery.maybe_sent == (status in (502, 504))
        case GiveUp(reason):
            assert reason.startswith(why)
            assert delivery.channel_broken == (status in CHANNEL)


@pytest.mark.parametrize(("header", "wait_s"), [
    ("30", 30), ("0", 0), ("soon", None), ("-5", None), ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
    (None, None),
])  # fmt: skip
async def test_a_wait_is_read_from_any_answer_that_asks_for_one(
    header: str | None, wait_s: float | None
) -> None:
    with http_sink() as sink:
        sink.headers = {"Retry-After": header} if header else {}
        delivery = await sent(sink, 503)
    assert isinstance(delivery, TryLater)
    assert delivery.after_s == wait_s


async def test_a_date_to_wait_for_is_read() -> None:
    at = datetime.now(UTC) + timedelta(minutes=10)
    with http_sink() as sink:
        sink.headers = {"Retry-After": at.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        delivery = await sent(sink, 503)
    assert isinstance(delivery, TryLater)
    assert delivery.after_s is not None
    assert 500 < delivery.after_s <= 600


async def test_a_redirect_is_not_followed() -> None:
    with http_sink() as other, http_sink() as sink:
        sink.headers = {"Location": other.url}
        delivery = await sent(sink, 307)
    assert isinstance(delivery, GiveUp)
    assert "a redirect, which is not followed" in delivery.reason
    assert other.taken == []


async def test_an_answer_without_end_is_not_read_and_a_silent_one_ends_in_time() -> None:
    endless = http_head() + b"x" * 1_000_000
    async with scripted_server(endless) as server:
        options = WebhookOptions(url=server.url, secret=KEY)
        async with asyncio.timeout(60):
            assert await SignedWebhook("a", options).send(FIRING) == Sent()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}"
        options = WebhookOptions(url=url, secret=KEY)
        delivery = await SignedWebhook("a", options, timeout_s=0.2).send(FIRING)
    assert delivery == TryLater("no complete reply within 0.2 s", maybe_sent=True)


@pytest.mark.parametrize(("options", "sentence"), [
    ({"secret": "whsec_%%"}, "secret begins with whsec_, but the rest is not base64"),
    ({"secret": "whsec_"}, "secret is empty"),
    ({"authorization": "Bearer a\nX: b"}, "authorization must be one line of ASCII"),
])  # fmt: skip
def test_an_unusable_option_is_refused(options: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        NOTIFIERS["webhook"](**{"url": "https://x.example.com", "secret": KEY} | options)


def test_the_example_on_the_page_is_what_is_sent() -> None:
    """`python -m tests.contract.test_signed_webhook` writes it."""
    (example,) = re.findall(EXAMPLE, PAGE, re.S)
    assert json.loads(example) == example_now()


def example_now() -> dict[str, Any]:
    """The document of a fallback of the default target, as the worker makes it."""
    scope, usd = "nuzantara", {Identity.EXPECTED: "0.000124", Identity.FALLBACK: "0.00186"}
    seen = Window(scope, every=EVERY, queries=3, a_day=333)
    for one in marked("...|" * 12 + "FFF|FFF"):
        why = "The response names the model."
        seen.add(replace(one, cost_usd=Decimal(usd[one.identity]), confidence=0.9999, why=why))
    verdict = FallbackRule().judge(seen, None, after(seen))
    cause = LikelyCause(CauseKind.KEY, "the key of openrouter expired, at 12:58 UTC")
    (step,) = plan(
        (), [explained(verdict, cause)], inhibitions=INHIBITIONS, policy=ReminderPolicy(),
        now=after(seen),
    )  # fmt: skip
    assert step.notice is not None
    sent = replace(step.notice, number=42)
    wiki = "https://wiki.example.com/runbook"
    found: dict[str, Any] = json.loads(document(sent, "ops", runbook_url=wiki))
    return found


def schema_now() -> dict[str, Any]:
    found = TypeAdapter(NoticeDocument).json_schema(mode="serialization")
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return found


if __name__ == "__main__":
    text = json.dumps(schema_now(), indent=2, ensure_ascii=False)
    (DOCS / "webhook.schema.json").write_text(text + "\n", encoding="utf-8")
    shown = json.dumps(example_now(), indent=2, ensure_ascii=False)
    page = re.sub(EXAMPLE, lambda _: f"```json\n{shown}\n```", PAGE, flags=re.S)
    (DOCS / "webhook.md").write_text(page, encoding="utf-8")
