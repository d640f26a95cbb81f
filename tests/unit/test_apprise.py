"""Channels by Apprise, without a service: what its log means, what is sent, what is secret."""

import threading
from dataclasses import replace
from importlib import util

import pytest

from monitor.domain import Delivery, GiveUp, TryLater
from monitor.notifications import apprise_address, calls
from monitor.notifications.apprise_address import (
    AppriseNotifier,
    AppriseOptions,
    judged,
    unmentioning,
)
from tests.example_data import notice

needs_apprise = pytest.mark.skipif(
    util.find_spec("apprise") is None, reason="the extra is not installed"
)
ADDRESS = "discord://1234567890/canaryToken-x_Y?avatar=no"


@pytest.mark.parametrize(
    ("line", "delivery"),
    [
        ("Failed to send X: Unauthorized, error=401.",
         GiveUp("X answered HTTP 401", channel_broken=True)),
        ("Failed to send X: error=404.", GiveUp("X answered HTTP 404", channel_broken=True)),
        ("Failed to send X: error=400.", GiveUp("X answered HTTP 400")),
        ("Failed to send X: error=429.", TryLater("X answered HTTP 429", channel_wide=True)),
        ("Failed to send X: error=503.", TryLater("X answered HTTP 503")),
        ("Failed to send X: error=504.", TryLater("X answered HTTP 504", maybe_sent=True)),
        ("Socket Exception: (535, b'5.7.8 bad credentials')",
         GiveUp("X answered SMTP 535", channel_broken=True)),
        ("SMTP recipient a@example.com was refused: 550 b'no such user'",
         GiveUp("X answered SMTP 550", channel_broken=True)),
        ("Socket Exception: (552, b'too large')", GiveUp("X answered SMTP 552")),
        ("Socket Exception: (450, b'busy')", TryLater("X answered SMTP 450", channel_wide=True)),
        ("Socket Exception: (451, b'local error')", TryLater("X answered SMTP 451")),
        ("Socket Exception: HTTPSConnectionPool(host='h'): Max retries exceeded (Caused by "
         "NewConnectionError('Failed to establish a new connection: [Errno 111]'))",
         TryLater("X cannot be reached")),
        ("Socket Exception: [Errno -2] Name or service not known", TryLater("X cannot be reached")),
        ("Socket Exception: ('Connection aborted.', ConnectionResetError(104))",
         TryLater("X did not confirm the message", maybe_sent=True)),
        ("", TryLater("X did not confirm the message", maybe_sent=True)),
    ],
)  # fmt: skip
def test_codes_in_the_log_decide(line: str, delivery: Delivery) -> None:
    assert judged(["Connecting …", line], "X") == delivery


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@everyone look", "@\u200beveryone look"),
        ("<@U1> <!channel> <#C1>", "<\u200b@U1> <\u200b!channel> <\u200b#C1>"),
        ("a < b, x@example.com", "a < b, x@example.com"),
    ],
)
def test_foreign_text_mentions_nobody(text: str, shown: str) -> None:
    assert unmentioning(text, 100) == shown


def test_the_address_and_its_tokens_are_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apprise_address, "find_spec", lambda name: object())
    options = AppriseOptions(url=ADDRESS)
    assert set(options.secrets) == {ADDRESS, "1234567890", "canaryToken-x_Y"}
    assert "canary" not in repr(options)


@pytest.mark.parametrize("url", ["discord", "://x", "json://a json://b", "json:// a", ""])
def test_what_is_not_one_address_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(apprise_address, "find_spec", lambda name: object())
    with pytest.raises(ValueError, match="url must be one Apprise address"):
        AppriseOptions(url=url)


def test_without_the_extra_the_configuration_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(apprise_address, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"`./run install`, or pip install \"rag-monitor\[apprise"):
        AppriseOptions(url=ADDRESS)


@needs_apprise
async def test_an_address_that_apprise_does_not_know_breaks_the_channel() -> None:
    channel = AppriseNotifier("a", "nosuchservice://host")
    refused = "Apprise does not know the address: correct url"
    assert await channel.send(notice()) == GiveUp(refused, channel_broken=True)
    assert (await channel.check()).usable is False


async def test_a_bug_of_apprise_is_a_delivery_to_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(url: str) -> None:
        raise RuntimeError(url)

    monkeypatch.setattr(apprise_address, "_service", fails)
    delivery = await AppriseNotifier("a", ADDRESS).send(notice())
    assert delivery == TryLater("Apprise failed: RuntimeError", maybe_sent=True)


async def test_a_call_that_outlasts_the_deadline_is_alone_until_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may still send: another attempt beside it would come twice for certain."""
    monkeypatch.setattr(calls, "FREE_WITHIN_S", 0.0)
    hanging = threading.Event()
    monkeypatch.setattr(apprise_address, "_service", lambda url: hanging.wait(60) and None)
    channel = AppriseNotifier("a", ADDRESS, deadline_s=0.05)
    assert await channel.send(notice()) == TryLater("no answer within 0.05 s", maybe_sent=True)
    later = TryLater("earlier calls to the service are still waiting")
    assert await channel.send(notice()) == later
    hanging.set()


@needs_apprise
def test_a_message_is_as_long_as_the_service_takes() -> None:
    channel = AppriseNotifier("a", ADDRESS)
    channel._known()
    long = replace(notice(sentence="s" * 5_000), facts={f"{n}": "f" * 300 for n in range(16)})
    title, body = channel._text(long, None)
    assert title.startswith("🔴 rag: sssss")
    assert title.endswith(" · #1")
    assert len(body) <= 2_000, "Discord's limit"
    assert channel._what() == "Discord"
