"""What both Slack notifiers must do, by the real slack-sdk against a Slack of our own."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from monitor.domain import Delivery, GiveUp, Sent, TryLater
from monitor.notifications import Notifier
from monitor.notifications.slack import webhook
from monitor.notifications.slack.bot import SlackBot
from monitor.notifications.slack.render import SlackMessage, render
from monitor.notifications.slack.webhook import SlackWebhook
from monitor.simulator.slack_server import SlackReplyStep, SlackServer
from tests.contract.example_notices import FIRING, SECRET, TOKEN, notice
from tests.contract.http_sink import http_sink
from tests.raw_server import serving


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads proxies from the environment; loopback needs none."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def inbox() -> Iterator[SlackServer]:
    with SlackServer(token=TOKEN, secret=SECRET) as inbox:
        yield inbox


@dataclass(frozen=True)
class Side:
    """One of the two ways into the inbox, with what differs between them."""

    name: str

    def notifier(self, inbox: SlackServer, *, timeout_s: int = 5) -> Notifier:
        if self.name == "webhook":
            return SlackWebhook(inbox.webhook_url, timeout_s=timeout_s)
        return SlackBot(TOKEN, "#alerts", base_url=inbox.api_url, timeout_s=timeout_s)


@pytest.fixture(params=["webhook", "bot"])
def side(request: pytest.FixtureRequest) -> Side:
    return Side(request.param)


async def posted_as(side: Side, inbox: SlackServer, message: SlackMessage) -> Delivery:
    """Send a message that no notice is rendered as."""
    notifier = side.notifier(inbox)
    assert isinstance(notifier, SlackBot | SlackWebhook)
    return await webhook.settled(webhook.post_or_shorten(notifier._calls, notifier._post, message))


async def sent(side: Side, inbox: SlackServer, *steps: SlackReplyStep | str | int) -> Delivery:
    inbox.script(steps)
    return await side.notifier(inbox).send(FIRING)


async def test_a_message_arrives_whole(side: Side, inbox: SlackServer) -> None:
    assert isinstance(await sent(side, inbox), Sent)
    [posted] = inbox.messages
    message = render(FIRING, threads=side.name == "bot")
    assert posted.text == message.text
    assert posted.blocks == list(message.blocks)
    assert {request.refused for request in inbox.requests} == {None}


async def test_nothing_in_a_message_is_unfurled_or_parsed(side: Side, inbox: SlackServer) -> None:
    await sent(side, inbox)
    wire = inbox.messages[0].sent
    assert wire["unfurl_links"] is False
    assert wire["unfurl_media"] is False
    assert wire["link_names"] is False
    assert wire["parse"] == "none"


@pytest.mark.parametrize(("requested", "after_s"), [
    ("3", 3.0),
    ("0", 0.0),
    ("86400", 3600.0),  # an hour is the longest we wait before asking again
    ("-5", 0.0),
    ("soon", None),
    ("nan", None),
    (None, None),
])  # fmt: skip
async def test_throttled_means_the_whole_channel_waits(
    side: Side, inbox: SlackServer, requested: str | None, after_s: float | None
) -> None:
    step = SlackReplyStep(word="ratelimited", status=429, retry_after=requested)
    delivery = await sent(side, inbox, step)
    assert delivery == TryLater("Slack rate limit (HTTP 429)", after_s, channel_wide=True)
    assert len(inbox.requests) == 1  # the outbox tries again, nobody else


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
async def test_trouble_at_slack_passes(side: Side, inbox: SlackServer, status: int) -> None:
    delivery = await sent(side, inbox, status)
    assert delivery == TryLater(f"Slack returned HTTP {status}", maybe_sent=status in (502, 504))


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410])
async def test_a_lasting_status_breaks_the_channel(
    side: Side, inbox: SlackServer, status: int
) -> None:
    assert await sent(side, inbox, status) == GiveUp(f"Slack error HTTP {status}", True)
    assert len(inbox.requests) == 1


CHANNEL = sorted(
    word for word, blame in webhook._BLAMED.items() if blame is webhook.RefusalBlame.CHANNEL
)
MESSAGE = sorted(
    word for word, blame in webhook._BLAMED.items() if blame is webhook.RefusalBlame.MESSAGE
)


@pytest.mark.parametrize("word", CHANNEL)
async def test_refused_for_good_breaks_the_channel(
    side: Side, inbox: SlackServer, word: str
) -> None:
    assert await sent(side, inbox, word) == GiveUp(f"Slack error {word}", True)
    assert len(inbox.requests) == 1


@pytest.mark.parametrize("word", MESSAGE)
async def test_a_disliked_message_is_sent_once_more_as_short_text(
    side: Side, inbox: SlackServer, word: str
) -> None:
    assert isinstance(await sent(side, inbox, word), Sent)
    [posted] = inbox.messages
    assert posted.blocks == []
    assert posted.metadata == {}
    assert posted.text.startswith("FIRING #42 ttft · nuzantara: over 1,200 ms\n")


@pytest.mark.parametrize("word", MESSAGE)
async def test_a_message_disliked_twice_is_given_up_and_the_channel_lives(
    side: Side, inbox: SlackServer, word: str
) -> None:
    assert await sent(side, inbox, word, word) == GiveUp(f"Slack error {word}")
    assert len(inbox.requests) == 2


async def test_patience_asked_at_the_second_try_is_obeyed(side: Side, inbox: SlackServer) -> None:
    slow_down = SlackReplyStep(word="ratelimited", status=429, retry_after="7")
    delivery = await sent(side, inbox, "invalid_blocks", slow_down)
    assert delivery == TryLater("Slack rate limit (HTTP 429)", 7, channel_wide=True)


async def test_oversized_messages_are_cut_to_whole_lines(side: Side, inbox: SlackServer) -> None:
    block = {"type": "section", "text": {"type": "plain_text", "text": "x" * 3000}}
    text = "FIRING #42 ttft · nuzantara: s\n" + "y" * 600 + "\n" + "z" * 600
    delivery = await posted_as(side, inbox, SlackMessage(text, (block,) * 5))
    assert isinstance(delivery, Sent)
    assert inbox.requests[0].refused is not None
    assert inbox.requests[0].refused.startswith("msg_blocks_too_long")
    assert inbox.messages[0].text == "FIRING #42 ttft · nuzantara: s\n" + "y" * 600


async def test_one_endless_line_is_cut_outside_an_entity(side: Side, inbox: SlackServer) -> None:
    message = SlackMessage("a" * 998 + "&amp;" * 20, ({"type": "unknown"},))
    delivery = await posted_as(side, inbox, message)
    assert isinstance(delivery, Sent)
    assert inbox.messages[0].text == "a" * 998


async def test_hostile_text_arrives_as_text(side: Side, inbox: SlackServer) -> None:
    hostile = notice(sentence="<!channel> @here <https://evil.example|x> \u202e\x1b[2J")
    assert isinstance(await side.notifier(inbox).send(hostile), Sent)
    assert inbox.requests[0].refused is None  # the inbox refuses live markup
    assert "&lt;!channel&gt; @here &lt;https://evil.example|x&gt;" in inbox.messages[0].text


async def test_slack_down_is_not_sent(side: Side, inbox: SlackServer) -> None:
    with socket.socket() as idle:
        idle.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{idle.getsockname()[1]}/"
        gone = (
            SlackWebhook(url)
            if side.name == "webhook"
            else SlackBot(TOKEN, "#alerts", base_url=url)
        )
        delivery = await gone.send(FIRING)
    assert isinstance(delivery, TryLater)
    assert delivery.reason == "Slack cannot be reached: ConnectionRefusedError (Connection refused)"
    assert not delivery.maybe_sent


async def test_a_name_that_does_not_resolve_is_not_sent(side: Side) -> None:
    url = "http://slack.invalid/"
    lost = SlackWebhook(url) if side.name == "webhook" else SlackBot(TOKEN, "#alerts", base_url=url)
    delivery = await lost.send(FIRING)
    assert isinstance(delivery, TryLater)
    assert delivery.reason.startswith("Slack cannot be reached: gaierror")
    assert not delivery.maybe_sent


async def test_reset_after_the_body_may_have_been_sent(side: Side, inbox: SlackServer) -> None:
    delivery = await sent(side, inbox, SlackReplyStep(cut=True))
    assert isinstance(delivery, TryLater)
    assert delivery.maybe_sent
    assert len(inbox.messages) == 1  # and so it was


async def test_ok_that_comes_too_late_may_have_been_sent(side: Side, inbox: SlackServer) -> None:
    inbox.script([SlackReplyStep(late_s=5)])
    delivery = await side.notifier(inbox, timeout_s=1).send(FIRING)
    assert isinstance(delivery, TryLater)
    assert delivery.reason == "Slack's response was lost: TimeoutError"
    assert delivery.maybe_sent
    assert len(inbox.messages) == 1


async def test_a_whole_send_has_one_deadline(
    side: Side, inbox: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "DEADLINE_S", 0.2)
    delivery = await sent(side, inbox, SlackReplyStep(late_s=1))
    assert delivery == TryLater("no answer within 0.2 s", maybe_sent=True)


BODIES = ["", "<html>login</html>", "null", "[]", "[1]", "7", '{"ok": 1', "[" * 100_000]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:20])
async def test_an_answer_that_is_not_slacks_is_a_failure(
    side: Side, inbox: SlackServer, body: str
) -> None:
    delivery = await sent(side, inbox, SlackReplyStep(status=200, body=body))
    assert isinstance(delivery, TryLater)
    assert delivery.maybe_sent


async def test_a_redirect_is_not_followed() -> None:
    """It would pass the token on to another server."""
    reached: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(1 << 16))
        writer.close()

    async with serving(elsewhere) as other:
        head = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{other}/\r\nContent-Length: 0\r\n"

        async def redirects(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"{head}Connection: close\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        async with serving(redirects) as port:
            address = f"http://127.0.0.1:{port}"
            bot = SlackBot("xoxb-canary", "#alerts", base_url=f"{address}/api/")
            for notifier in (bot, SlackWebhook(f"{address}/services/canary")):
                assert isinstance(await notifier.send(FIRING), TryLater)
    assert not reached


async def test_the_loop_goes_on_while_slack_thinks(side: Side, inbox: SlackServer) -> None:
    inbox.script([SlackReplyStep(late_s=0.3)])
    notifying = asyncio.create_task(side.notifier(inbox).send(FIRING))
    ticks = 0
    while not notifying.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10


@pytest.mark.parametrize("step", [
    SlackReplyStep(status=429, word="ratelimited"),
    SlackReplyStep(status=500, body="{echo}"),
    SlackReplyStep(status=404, body="{echo}"),
    SlackReplyStep(status=200, body="{echo}"),
    SlackReplyStep(status=200, body='{{"ok": false, "error": "{echo}"}}'),
    SlackReplyStep(word="invalid_auth"),
    SlackReplyStep(cut=True),
    SlackReplyStep(late_s=3),
])  # fmt: skip
async def test_no_error_text_or_log_line_holds_a_secret(
    side: Side, inbox: SlackServer, step: SlackReplyStep, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("slack_sdk", "slack_sdk.web.base_client", "slack_sdk.webhook.client"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    echo = f"{TOKEN} {inbox.webhook_url}"
    body = None if step.body is None else step.body.format(echo=echo)
    inbox.script(
        [SlackReplyStep(step.word, step.status, body=body, cut=step.cut, late_s=step.late_s)] * 2
    )
    notifier = side.notifier(inbox, timeout_s=1)
    delivery = await notifier.send(FIRING)
    assert not isinstance(delivery, Sent)
    for reported in (repr(delivery), repr(notifier), repr(vars(notifier)), caplog.text):
        assert TOKEN not in reported
        assert SECRET not in reported


async def test_an_answer_without_end_is_cut(side: Side) -> None:
    with http_sink() as sink:
        sink.endless = 400 * 1024 * 1024
        address = sink.url if side.name == "webhook" else f"{sink.url.rstrip('/')}/"
        notifier = (
            SlackWebhook(address)
            if side.name == "webhook"
            else SlackBot(TOKEN, "#alerts", base_url=address)
        )
        assert isinstance(await notifier.send(FIRING), TryLater | GiveUp)
    assert 0 < sink.written < 40 * 1024 * 1024, "what buffers held when the connection was closed"


async def test_a_reference_that_the_database_cannot_store_is_none(inbox: SlackServer) -> None:
    reply = '{"ok": true, "channel": "C1", "ts": "1.2\\u0000"}'
    inbox.script([SlackReplyStep(status=200, body=reply)])
    assert await Side("bot").notifier(inbox).send(FIRING) == Sent(None)
