"""Apprise against foreign services: what they answer cannot grow the worker."""

import pytest

from monitor.domain import GiveUp, Sent, TryLater
from monitor.notifications.apprise_address import AppriseNotifier
from tests.contract.example_notices import FIRING
from tests.contract.http_sink import http_sink

pytest.importorskip("apprise")
MIB = 1024 * 1024


async def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http_sink() as sink:
        sink.endless = 400 * MIB
        channel = AppriseNotifier("a", sink.url.replace("http://", "json://"))
        assert await channel.send(FIRING) == Sent()
    assert len(sink.taken) == 1
    assert 0 < sink.written < 40 * MIB, "what buffers held when the connection was closed"


async def test_a_redirect_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http_sink() as sink:
        sink.headers = {"Location": "/login"}
        sink.script.extend([302, 302])
        channel = AppriseNotifier("a", sink.url.replace("http://", "json://"))
        assert isinstance(await channel.send(FIRING), GiveUp | TryLater)
    assert not sink.taken
