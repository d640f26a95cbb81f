"""Which proxy is used by whom: a table of everything that asks, and of everything that may say so.

A target's own proxy carries everything about that target and nothing else. The proxies of the
environment carry Slack, provider accounts, price list and heartbeat, and no target. The hosts do
not exist: only a proxy can reach them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.accounts.openrouter import OpenRouterAccount, price_list
from monitor.cli.check import _target
from monitor.cli.check_details import page
from monitor.config import load
from monitor.domain import Sent
from monitor.network_settings import environment_proxy, faults
from monitor.notifications.slack.bot import SlackBot
from monitor.notifications.slack.webhook import SlackWebhook
from monitor.probing import tls
from monitor.probing.client import ProbeClient
from monitor.probing.fetch import fetch
from tests.certificates import Authority
from tests.contract.cli import run
from tests.contract.example_notices import FIRING
from tests.scripted_server import Server, full_reply, scripted_server
from tests.single_probe import probe_once, target_at

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
REPLY = full_reply(200, b'{"ok": true, "channel": "C1", "ts": "1.0", "data": []}')
HOST = "far.example.invalid"

CONFIGURATION = """
[targets.rag]
url = "http://far.example.invalid/v1"
dialect = "bali_zero"
{proxy}
[targets.rag.health]
url = "/health"
[[targets.rag.queries]]
id = "hi"
text = "Hi"
"""


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def proxy() -> AsyncIterator[Server]:
    async with scripted_server(REPLY) as server:
        yield server


Asks = Callable[[str, str | None, Path], Awaitable[object]]


async def _probe(host: str, proxy: str | None, home: Path) -> object:
    async with ProbeClient("test") as wire:
        return await probe_once(wire, target_at(f"http://{host}/v1", proxy=proxy))


async def _check(host: str, proxy: str | None, home: Path) -> object:
    return await _target({}, target_at(f"http://{host}/v1", proxy=proxy))


async def _health_page(host: str, proxy: str | None, home: Path) -> object:
    named = f'proxy = "{proxy}"' if proxy else ""
    (home / "monitor.toml").write_text(CONFIGURATION.format(proxy=named))
    return await page(load({"MONITOR_CONFIG": str(home / "monitor.toml")}), "rag")


async def _account(host: str, proxy: str | None, home: Path) -> object:
    return await OpenRouterAccount(fetch, "key", f"http://{host}").read(datetime.now(UTC))


async def _price_list(host: str, proxy: str | None, home: Path) -> object:
    return await price_list(fetch, at=datetime.now(UTC), base_url=f"http://{host}")


async def _heartbeat(host: str, proxy: str | None, home: Path) -> object:
    return await fetch(f"http://{host}/ping", headers={})


async def _webhook(host: str, proxy: str | None, home: Path) -> object:
    return await SlackWebhook(f"http://{host}/services/x").send(FIRING)


async def _bot(host: str, proxy: str | None, home: Path) -> object:
    return await SlackBot("xoxb-1", "C1", base_url=f"http://{host}/api").send(FIRING)


OF_TARGETS: dict[str, Asks] = {"probe": _probe, "check": _check, "health page": _health_page}
OF_OTHERS: dict[str, Asks] = {
    "account": _account, "price list": _price_list, "heartbeat": _heartbeat,
    "webhook": _webhook, "bot": _bot,
}  # fmt: skip
ALL = {**OF_TARGETS, **OF_OTHERS}


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("who", ALL)
async def test_a_proxy_of_the_environment_carries_everything_but_targets(
    who: str, variable: str, proxy: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(variable, proxy.url)
    await ALL[who](HOST, None, tmp_path)
    requested = [request.target for request in proxy.requests]
    if who in OF_TARGETS:
        assert requested == []
    else:
        assert requested
        assert all(target.startswith(f"http://{HOST}/") for target in requested)


@pytest.mark.parametrize("who", OF_OTHERS)
async def test_no_proxy_is_obeyed(
    who: str, proxy: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "example.invalid")
    await OF_OTHERS[who](HOST, None, tmp_path)
    assert not proxy.requests


@pytest.mark.parametrize("who", ALL)
async def test_the_proxy_of_a_target_carries_what_is_about_that_target(
    who: str, proxy: Server, tmp_path: Path
) -> None:
    await ALL[who](HOST, proxy.url, tmp_path)
    requested = [request.target for request in proxy.requests]
    assert bool(requested) is (who in OF_TARGETS)
    assert all(target.startswith(f"http://{HOST}/") for target in requested)


UNUSABLE = {
    "socks5://127.0.0.1:1": "only http:// and https:// proxies are supported",
    "nonsense://127.0.0.1": "only http:// and https:// proxies are supported",
    "http://u:s3cretword@127.0.0.1:99999": "the proxy's address cannot be read",
    "http://[::1": "the proxy's address cannot be read",
    "http://": "the proxy's address cannot be read",
}


@pytest.mark.parametrize("address", UNUSABLE)
@pytest.mark.parametrize("who", OF_OTHERS)
async def test_an_unusable_proxy_is_named_with_its_variable(
    who: str, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTP_PROXY", address)
    reported = repr(await OF_OTHERS[who](HOST, None, tmp_path))
    assert "HTTP_PROXY: " in reported
    assert UNUSABLE[address].partition("'")[0] in reported
    assert "s3cretword" not in reported
    (fault,) = faults()
    assert fault in reported


async def test_a_proxy_that_cannot_be_reached_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://u:s3cretword@127.0.0.1:1")
    found = await fetch(f"http://{HOST}/x", headers={})
    assert found.error == "no connection through the proxy (ALL_PROXY): Connection refused"
    direct = await fetch(f"http://{HOST}/x", headers={},
                         target=target_at("http://x", proxy="http://127.0.0.1:1"))  # fmt: skip
    assert direct.error == "no connection through the proxy (proxy): Connection refused"


def test_check_names_a_proxy_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "monitor.toml").write_text(CONFIGURATION.format(proxy=""))
    ended = run("check", home=tmp_path, DATABASE_URL="postgresql://u@127.0.0.1:1/d",
                HTTPS_PROXY="socks5://u:s3cretword@127.0.0.1:1",
                OPENROUTER_BASE_URL="https://far.example.invalid")  # fmt: skip
    assert "warning proxy: HTTPS_PROXY: only http:// and https:// proxies" in ended.out
    assert ended.error is None
    assert "s3cretword" not in ended.said


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({}, "https://x.example", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://x.example", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://x.example", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://x.example", None),
        ({"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "http://q:1"}, "http://x.example", "http://q:1"),
        ({"HTTPS_PROXY": "", "ALL_PROXY": "http://q:1"}, "https://x.example", "http://q:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://x.example", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "y.example,.x.example"}, "https://a.x.example",
         None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://localhost", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://[::1]:1", None),
        ({"HTTPS_PROXY": "https://p:1"}, "https://x.example", "https://p:1"),
    ],
)  # fmt: skip
def test_the_variables_are_read_as_everywhere(
    variables: dict[str, str], url: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment_proxy(url) == expected


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("who", ["webhook", "bot", "account", "heartbeat"])
async def test_slack_and_the_others_trust_the_store_of_the_environment(
    who: str, trusted: bool, ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls.context.cache_clear()
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", ours.ca_file)
    reply = full_reply(200, b"ok") if who == "webhook" else REPLY
    async with scripted_server(reply, tls=ours.server("good")) as server:
        asks: dict[str, Callable[[], Awaitable[object]]] = {
            "webhook": lambda: SlackWebhook(server.url).send(FIRING),
            "bot": lambda: SlackBot("xoxb-1", "C1", base_url=f"{server.url}/api").send(FIRING),
            "account": lambda: OpenRouterAccount(fetch, "key", server.url).read(datetime.now(UTC)),
            "heartbeat": lambda: fetch(server.url, headers={}),
        }
        found = await asyncio.wait_for(asks[who](), 60)
        assert bool(server.requests) is trusted, found
        assert isinstance(found, Sent) is trusted or who in ("account", "heartbeat")
    tls.context.cache_clear()
