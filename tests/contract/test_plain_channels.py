"""Channels that cannot edit: the webhook and the console. And which channel is taken."""

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest

from monitor import notifications
from monitor.domain import GiveUp, Sent, TryLater
from monitor.notifications import ConsoleNotifier, Notifier
from monitor.notifications.console import UNSET
from monitor.notifications.slack.bot import SlackBot
from monitor.notifications.slack.render import render
from monitor.notifications.slack.webhook import SlackWebhook
from monitor.simulator.slack_server import SlackServer
from tests.contract.example_notices import FIRING, RESOLVED, SECRET, TOKEN, notice

QUIET = replace(FIRING, quiet=True)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads proxies from the environment; loopback needs none."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def inbox() -> Iterator[SlackServer]:
    with SlackServer(token=TOKEN, secret=SECRET) as inbox:
        yield inbox


async def test_a_webhook_sends_an_edit_as_a_new_message(inbox: SlackServer) -> None:
    webhook = SlackWebhook(inbox.webhook_url)
    assert await webhook.send(FIRING) == Sent(None)
    assert await webhook.send(RESOLVED, reference="C000INBOX:1.1") == Sent(None)
    assert [posted.text for posted in inbox.messages] == [
        render(FIRING).text,
        render(RESOLVED).text,
    ]
    assert inbox.messages[1].thread == []


async def test_what_only_edits_is_nothing_to_a_channel_that_cannot(inbox: SlackServer) -> None:
    shown = io.StringIO()
    assert await SlackWebhook(inbox.webhook_url).send(QUIET) == Sent(None, posted=False)
    assert await ConsoleNotifier(shown).send(QUIET) == Sent(None, posted=False)
    assert inbox.requests == []
    assert shown.getvalue() == ""


async def test_a_webhook_says_that_it_cannot_be_checked(inbox: SlackServer) -> None:
    check = await SlackWebhook(inbox.webhook_url).check()
    assert check.usable is None
    assert inbox.requests == []


@pytest.mark.parametrize("url", [
    "hooks",
    f"ftp://{SECRET}/",
    f"http://127.0.0.1:port/{SECRET}",
    f"http://127.0.0.1/{SECRET}\n/x",
    f"http://127.0.0.1/{SECRET}é",
])  # fmt: skip
async def test_an_unusable_address_is_named_without_showing_it(url: str) -> None:
    assert await SlackWebhook(url).send(FIRING) == GiveUp("Slack error unusable_address", True)


async def test_the_console_explains_once_why_it_is_used() -> None:
    shown = io.StringIO()
    console = ConsoleNotifier(shown)
    message = notice(sentence="a < b & [red]c[/red] :tada:")
    assert await console.send(message, reference="x") == Sent()
    assert await console.send(FIRING) == Sent()
    printed = shown.getvalue()
    assert printed.count(UNSET) == 1
    assert "FIRING #42 ttft · nuzantara: a < b & [red]c[/red] :tada:\n" in printed
    assert (await console.check()).reason == UNSET


async def test_a_console_that_knows_few_letters_gets_what_it_can_show() -> None:
    shown = io.BytesIO()
    console = ConsoleNotifier(io.TextIOWrapper(shown, encoding="ascii"))
    assert await console.send(FIRING) == Sent()
    assert b"FIRING #42 ttft ? nuzantara" in shown.getvalue()


async def test_a_closed_console_is_no_catastrophe() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    delivery = await ConsoleNotifier(Closed()).send(FIRING)
    assert delivery == TryLater("cannot write to the console: BrokenPipeError")


BOT = {"SLACK_BOT_TOKEN": TOKEN, "SLACK_CHANNEL": "C1", "SLACK_API_BASE_URL": "http://127.0.0.1"}
WEBHOOK = {"SLACK_WEBHOOK_URL": "https://hooks.slack.com/x"}


@pytest.mark.parametrize(("given", "name", "kind"), [
    (BOT | WEBHOOK, "slack", SlackBot),
    (BOT, "slack", SlackBot),
    (WEBHOOK, "slack", SlackWebhook),
    ({"SLACK_CHANNEL": "C1"} | WEBHOOK, "slack", SlackWebhook),
    ({"SLACK_CHANNEL": "C1"}, "console", ConsoleNotifier),
    ({}, "console", ConsoleNotifier),
])  # fmt: skip
def test_the_environment_describes_one_channel(
    given: dict[str, str], name: str, kind: type[Notifier]
) -> None:
    [channel] = notifications.usual(given, [])
    assert channel.name == name
    assert isinstance(channel.opened().notifier, kind)
