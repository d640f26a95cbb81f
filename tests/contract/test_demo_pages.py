"""The simulated service's pages beside its stream, and its control desk."""

import json

import pytest

from monitor.simulator.answer_plan import PlaybackPace
from monitor.simulator.provider_account import SimulatedAccount
from monitor.simulator.service import SimulatedService
from monitor.simulator.service_state import ServiceState
from monitor.simulator.situations import ServiceSituation
from tests.contract.stream_grammar import exchange, get, parse, question_request, split

AT_ONCE = PlaybackPace(0, 0)
STATES = ServiceSituation
STREAM, CHAT, KEY = "/bali-zero/chat-stream", "/bali-zero/chat", "/openrouter/api/v1/key"


def service(situation=ServiceSituation.HEALTHY, **options):
    return SimulatedService(situation, **{"pace": AT_ONCE, "rate_limited": False, **options})


async def reply(simulated, target, *headers, method="GET", body=b""):
    return split(await exchange(simulated.url, get(target, *headers, method=method, body=body)))


async def ask_in_one_piece(simulated, **reported):
    status, _, body = await reply(
        simulated, CHAT, method="POST", body=json.dumps(reported).encode()
    )
    return status, json.loads(body)


async def test_health_says_healthy_whatever_happens_and_is_not_limited():
    async with service(STATES.UNAVAILABLE, rate_limited=True) as simulated:
        for _ in range(40):
            status, headers, body = await reply(simulated, "/health")
    assert status == 200
    assert "x-ratelimit-limit" not in headers
    notified = json.loads(body)
    assert (notified["status"], notified["version"]) == ("healthy", "v100-perfect")
    assert notified["postgresql"] is True
    assert notified["ai"] == {"claude_haiku_available": False, "has_ai": False}


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "body"),
    [
        ("HEAD", "/health", (), 405, b""),
        ("POST", STREAM, (), 405, b'{"detail":"Method Not Allowed"}'),
        ("GET", CHAT, (), 405, b'{"detail":"Method Not Allowed"}'),
        ("GET", f"{STREAM}/?query=Hi", (), 307, b""),
        ("OPTIONS", STREAM, (), 204, b""),
        ("OPTIONS", STREAM, ("Origin: a", "Access-Control-Request-Method: GET"), 200, b"OK"),
        ("GET", "/metrics", (), 500, b"# Error generating metrics"),
        ("GET", "/cache/stats", (), 200, b'{"hits":0,"misses":0}'),
        ("GET", "/", (), 200, b'{"ai":"Llama 4 Scout ACTIVE"}'),
        ("GET", "/elsewhere", (), 404, b'{"detail":"Not Found"}'),
    ],
)
async def test_the_other_pages(method, target, headers, status, body):
    async with service() as simulated:
        seen = await reply(simulated, target, *headers, method=method)
    assert (seen[0], seen[2]) == (status, body)
    if status == 307:
        assert seen[1]["location"] == f"http://service.test{STREAM}?query=Hi"


async def test_unavailable_is_a_503_and_shows_in_the_warm_up_only():
    detail = b'{"detail":"Intelligent Router not available - Claude AI required"}'
    async with service(STATES.UNAVAILABLE) as simulated:
        assert (await reply(simulated, f"{STREAM}?query=Hi"))[::2] == (503, detail)
        notified = json.loads((await reply(simulated, "/warmup/stats"))[2])
    assert notified["healthy"] is True
    assert notified["services"]["intelligent_router"] is False


async def test_the_blocking_endpoint_lies_in_ai_used_and_is_true_in_model_used():
    async with service() as simulated:
        llama = await ask_in_one_piece(simulated, query="Hi")
        by_design = await ask_in_one_piece(simulated, query="Hi", tools=[{"name": "pricing_x"}])
        simulated.situation = STATES.KEY_REJECTED
        haiku = await ask_in_one_piece(simulated, query="KBLI?")
    assert [status for status, _ in (llama, by_design, haiku)] == [200, 200, 200]
    assert [notified["ai_used"] for _, notified in (llama, by_design, haiku)] == ["haiku"] * 3
    assert llama[1]["model_used"] == "meta-llama/llama-4-scout"
    assert llama[1]["usage"]["input_tokens"] == 587
    assert (llama[1]["sources"], llama[1]["used_rag"]) == (None, False)
    assert len(llama[1]["response"].split()) <= 30
    assert by_design[1]["model_used"] == haiku[1]["model_used"] == "claude-3-5-haiku-20241022"
    assert haiku[1]["used_rag"] is True
    assert len(haiku[1]["sources"]) == 3
    assert "\n\nNeed help? Contact us on WhatsApp" in haiku[1]["response"]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"{}", b'{"query": 1}'])
async def test_the_blocking_endpoint_wants_a_query(body):
    async with service() as simulated:
        status, _, notified = await reply(simulated, CHAT, method="POST", body=body)
    assert status == 422
    assert isinstance(json.loads(notified)["detail"], list)


async def test_the_blocking_endpoint_fails_with_a_500():
    async with service(STATES.BOTH_REJECTED) as simulated:
        status, notified = await ask_in_one_piece(simulated, query="Hi")
    assert status == 500
    assert notified["detail"].startswith("Chat failed: Routing failed: Error code: 401 - {'type'")


async def test_the_account_is_charged_by_the_expected_model_only_and_rejects_with_the_key():
    account = SimulatedAccount(expires_at="2025-11-06T22:00:00Z")
    bearer = "Authorization: Bearer sk-or-demo"
    async with service(play=ServiceState(account=account)) as simulated:
        assert (await reply(simulated, KEY))[0] == 401
        before = json.loads((await reply(simulated, KEY, bearer))[2])["data"]
        await exchange(simulated.url, question_request("Hi"))
        after = json.loads((await reply(simulated, KEY, bearer))[2])["data"]
        simulated.situation = STATES.KEY_REJECTED
        await exchange(simulated.url, question_request("Hi"))
        status, _, refused = await reply(simulated, KEY, bearer)
        at_desk = await exchange(simulated.openrouter_url, get(KEY, bearer))
        simulated.situation = STATES.HEALTHY
        again = json.loads((await reply(simulated, KEY, bearer))[2])["data"]
    assert before["usage_daily"] == 0
    assert before["expires_at"] == "2025-11-06T22:00:00Z"
    assert 0.00014 < after["usage_daily"] < 0.00018  # 700 + about 60 tokens at $0.20 a million
    assert after["limit_remaining"] == after["limit"] - after["usage"]
    assert (status, split(at_desk)[0]) == (401, 401)
    assert json.loads(refused)["error"]["code"] == 401
    assert again == after


async def test_the_control_desk_changes_all_or_nothing():
    async with service() as simulated:

        async def wanted(**change):
            body = json.dumps(change).encode()
            request = get("/control", method="POST", body=body)
            return split(await exchange(simulated.control_url, request))[0]

        assert await wanted(share=0.5, situation="no such thing") == 400
        assert await wanted(share=0.5, colour="red") == 400
        assert (simulated.play.share, simulated.situation) == (0.3, STATES.HEALTHY)
        assert await wanted(share=0.5, situation="down", spent_usd="3.5", limit_usd=None) == 200
        assert (simulated.play.share, simulated.situation) == (0.5, STATES.DOWN)
        assert simulated.play.account.limit_usd is None
        assert await wanted(situation="healthy") == 200
        assert parse(await exchange(simulated.url, question_request("Hi"))).number
