"""Authorities and proxies are the same for everything that is asked of a target, or of others."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.accounts.openrouter import OpenRouterAccount
from monitor.domain import AccountState, Ending
from monitor.probing import tls
from monitor.probing.client import ProbeClient
from monitor.probing.fetch import fetch
from monitor.storage import Database
from monitor.worker import account_polling
from tests.certificates import Authority, authority
from tests.contract.cli import run
from tests.contract.open_context import open_context
from tests.contract.test_wire_proxies import tunnelling
from tests.scripted_server import LAST, chunk, full_reply, head, scripted_server
from tests.single_probe import DONE, HI, probe_once, sse, target_at

JSON = full_reply(200, b'{"status": "healthy", "data": {"label": "x", "usage_daily": 1}}')
ANSWER = (head(), chunk(sse(HI)), chunk(sse(DONE)), LAST)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """The contexts of a process live as long as it does: here each test has its own."""
    tls.context.cache_clear()
    yield
    tls.context.cache_clear()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("other"))


@pytest.fixture(params=["SSL_CERT_FILE", "SSL_CERT_DIR", "ca_file", "both"])
def trusting(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    ours: Authority,
    other: Authority,
    tmp_path: Path,
) -> str | None:
    """Our authority is trusted in one of the ways; what a target's `ca_file` says."""
    if request.param == "ca_file":
        return ours.ca_file
    if request.param == "SSL_CERT_DIR":
        name = ssl_hash(ours.ca_file)
        (tmp_path / f"{name}.0").write_bytes(Path(ours.ca_file).read_bytes())
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        return None
    monkeypatch.setenv("SSL_CERT_FILE", ours.ca_file)
    return other.ca_file if request.param == "both" else None


def ssl_hash(path: str) -> str:
    import subprocess

    made = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", path], check=True,
                          capture_output=True, text=True)  # fmt: skip
    return made.stdout.strip()


@asynccontextmanager
async def https(ours: Authority, *script: bytes) -> AsyncIterator[str]:
    async with scripted_server(*script, tls=ours.server("good")) as server:
        yield server.url


async def test_a_probe_trusts_the_system_and_ca_file_besides(
    ours: Authority, trusting: str | None
) -> None:
    async with ProbeClient("test") as wire, https(ours, *ANSWER) as url:
        transcript = await probe_once(wire, target_at(url, ca_file=trusting))
    assert transcript.ending is Ending.END, transcript.detail


async def test_a_fetch_for_a_target_trusts_the_same(ours: Authority, trusting: str | None) -> None:
    async with https(ours, JSON) as url:
        found = await fetch(url, headers={}, target=target_at(url, ca_file=trusting))
    assert found.error is None
    assert found.status == 200


async def test_an_account_trusts_the_store_of_the_environment(
    ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", ours.ca_file)
    async with https(ours, JSON) as url:
        reading = await OpenRouterAccount(fetch, "key", url).read(datetime.now(UTC))
    assert reading.state is AccountState.OK, reading.detail


def test_ca_file_adds_to_the_system(ours: Authority) -> None:
    alone, more = tls.context(None), tls.context(ours.ca_file)
    assert more.cert_store_stats()["x509"] == alone.cert_store_stats()["x509"] + 1
    assert more.verify_mode is ssl.CERT_REQUIRED
    assert more.check_hostname
    assert tls.context(ours.ca_file) is more


def test_without_a_store_of_the_system_there_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert tls.context(None).cert_store_stats()["x509"] > 50


async def test_a_fetch_for_a_target_goes_through_its_proxy(ours: Authority) -> None:
    async with tunnelling() as (proxy, requested), https(ours, JSON) as url:
        named = proxy.replace("://", "://user:pass%40word@")
        target = target_at(url, ca_file=ours.ca_file, proxy=named)
        found = await fetch(url, headers={}, target=target)
    assert found.status == 200, found.error
    assert requested[0].startswith("CONNECT ")
    assert "Basic dXNlcjpwYXNzQHdvcmQ=" in requested[0]


async def test_a_proxy_that_declines_is_named_without_its_password() -> None:
    async with tunnelling(407) as (proxy, _):
        target = target_at("https://rag.example", proxy=proxy.replace("://", "://user:secret@"))
        found = await fetch("https://rag.example", headers={}, target=target)
    assert found.error is not None
    assert "proxy" in found.error
    assert "secret" not in found.error


async def test_a_target_without_proxy_never_uses_one_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with scripted_server(JSON) as server:
        found = await fetch(server.url, headers={}, target=target_at(server.url))
    assert found.status == 200


async def test_accounts_and_heartbeat_go_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with scripted_server(JSON) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        found = await fetch("http://ping.example/x", headers={})
        monkeypatch.setenv("no_proxy", "ping.example")
        direct = await fetch("http://ping.example.invalid/x", headers={}, timeout_s=5)
        (requested, *_) = proxy.requests
    assert found.status == 200
    assert requested.target == "http://ping.example/x"  # type: ignore[union-attr]
    assert direct is not None


CONFIGURATION = """
[targets.rag]
url = "http://rag.invalid/v1"
dialect = "bali_zero"
proxy = "{proxy}"
expected_models = ["meta-llama/llama-4-scout"]
[targets.rag.health]
url = "/health"
expect = ["status == 'healthy'"]
[[targets.rag.queries]]
id = "hi"
text = "Hi"
"""


async def test_check_and_the_health_job_ask_through_the_proxy(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    from monitor.config import load

    async with scripted_server(JSON) as proxy:
        (tmp_path / "monitor.toml").write_text(CONFIGURATION.format(proxy=proxy.url))
        ended = await asyncio.to_thread(run, "check", home=tmp_path, DATABASE_URL=database_url)
        settings = load({"MONITOR_CONFIG": str(tmp_path / "monitor.toml")})
        async with open_context(settings, database) as context:
            assert await account_polling.read_health_page(
                context, settings.targets["rag"], settings.health["rag"]
            )
        paths = [requested.target for requested in proxy.requests]  # type: ignore[union-attr]
    assert (
        "ok      target rag: http://rag.invalid/v1/bali-zero/chat-stream answers (HTTP 200)"
        in ended.out
    ), ended.said
    assert (
        "ok      request of rag: GET http://rag.invalid/v1/bali-zero/chat-stream?query=Hi\n"
        in ended.out
    )
    assert "ok      health page of rag: http://rag.invalid/health" in ended.out
    assert paths.count("http://rag.invalid/health") == 2
