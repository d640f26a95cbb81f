"""`/metrics` and `/healthz` over real HTTP, as scrapers, checks and strangers see them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from monitor.metrics import Metrics, http_endpoint
from tests.example_data import observation
from tests.unit.test_metrics import target


@pytest.fixture
async def held() -> AsyncIterator[tuple[Metrics, str, int]]:
    metrics = Metrics([target()], began_at=datetime.now(UTC))
    async with metrics.serving("127.0.0.1", 0) as port:
        assert port is not None
        yield metrics, f"http://127.0.0.1:{port}", port


async def get(url: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.get(url, headers=headers)


async def spoken(port: int, reported: bytes) -> bytes:
    """Everything that comes back for raw bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(reported)
    reply = await reader.read()
    writer.close()
    return reply


async def test_a_scraper_gets_what_was_observed(held: tuple[Metrics, str, int]) -> None:
    metrics, url, _ = held
    metrics.observed(observation())
    reply = await get(f"{url}/metrics?x=1")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    assert reply.headers["content-type"].endswith("charset=utf-8")
    assert reply.text.endswith("\n")
    seen = {s.name: s.value for family in text_string_to_metric_families(reply.text)
            for s in family.samples if s.labels.get("outcome") == "answered"}  # fmt: skip
    assert seen == {"monitor_probes_total": 1}


async def test_openmetrics_is_spoken_where_it_is_asked_for(held: tuple[Metrics, str, int]) -> None:
    reply = await get(f"{held[1]}/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert next(openmetrics(reply.text)).name == "monitor_build"


async def test_health_is_good_until_cycles_stop(held: tuple[Metrics, str, int]) -> None:
    metrics, url, _ = held
    good = await get(f"{url}/healthz")
    assert (good.status_code, good.text[:3]) == (200, "ok:")
    metrics._cycle_at = datetime.now(UTC) - timedelta(minutes=16)
    failing = await get(f"{url}/healthz")
    assert failing.status_code == 503
    begun = "failing: no cycle yet; the worker started "
    age_s, rest = failing.text.removeprefix(begun).split(" s ago, ", 1)
    assert int(age_s) >= 960
    assert rest.startswith("at most 900 s")
    metrics.cycle("rag", datetime.now(UTC))
    assert (await get(f"{url}/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("reported", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"\x16\x03\x01 not http\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/2\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nx: " + b"y" * 20_000 + b"\r\n\r\n", b"400"),
    ],
    ids=["elsewhere", "post", "garbage", "http2", "too long"],
)
async def test_strangers_get_a_short_answer(
    held: tuple[Metrics, str, int], reported: bytes, status: bytes
) -> None:
    reply = await spoken(held[2], reported)
    assert reply.split(b" ")[1] == status
    assert len(reply) < 500


async def test_head_has_the_head_alone(held: tuple[Metrics, str, int]) -> None:
    reply = await spoken(held[2], b"HEAD /metrics HTTP/1.1\r\n\r\n")
    assert b"200 OK" in reply
    assert reply.endswith(b"\r\n\r\n")
    assert b"content-length: 0" not in reply


async def test_a_client_that_never_reads_leaves_no_connection_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_endpoint, "PATIENCE_S", 0.2)
    body = bytes(32 * 1024 * 1024)  # more than the kernel's buffers hold

    async def large(path: str, accepts: str) -> http_endpoint.EndpointReply:
        return http_endpoint.EndpointReply(200, "text/plain", body)

    async with http_endpoint.listening("127.0.0.1", 0, large) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")

        async def until_reset() -> None:
            while True:  # it reads a little, and then nothing until the server gives up
                await asyncio.sleep(0.5)
                writer.write(b".")
                await writer.drain()

        async with asyncio.timeout(60):
            with pytest.raises(ConnectionError):
                await until_reset()
        writer.close()
        del reader


async def test_half_a_request_holds_no_one_up(held: tuple[Metrics, str, int]) -> None:
    writers = [(await asyncio.open_connection("127.0.0.1", held[2]))[1] for _ in range(8)]
    for writer in writers:
        writer.write(b"GET /met")
    assert (await get(f"{held[1]}/metrics")).status_code == 200
    for writer in writers:
        writer.close()


async def test_the_loops_lag_is_felt(held: tuple[Metrics, str, int]) -> None:
    await asyncio.sleep(1.2)
    reply = await get(f"{held[1]}/metrics")
    assert "monitor_loop_lag_seconds_count 1.0" in reply.text


async def test_without_a_port_nothing_is_served() -> None:
    async with Metrics([target()]).serving("127.0.0.1", None) as port:
        assert port is None


async def test_a_port_that_is_taken_is_refused_at_once(held: tuple[Metrics, str, int]) -> None:
    with pytest.raises(OSError, match="in use"):
        async with Metrics([target()]).serving("127.0.0.1", held[2]):
            raise AssertionError
