"""What a bot can do and a webhook cannot: edit in place, reply, attach, be checked."""

import gc
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPResponse

import pytest

from monitor.domain import Delivery, GiveUp, NoticeStatus, Sent, TryLater
from monitor.notifications.slack import bot as slack_bot
from monitor.notifications.slack.bot import SlackBot
from monitor.notifications.slack.render import render, thread_details, thread_reply
from monitor.simulator.slack_server import SlackReplyStep, SlackServer
from tests.contract.example_notices import FIRING, RESOLVED, SECRET, TOKEN

QUIET, QUIET_END = replace(FIRING, quiet=True), replace(RESOLVED, quiet=True)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads proxies from the environment; loopback needs none."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def inbox() -> Iterator[SlackServer]:
    with SlackServer(token=TOKEN, secret=SECRET) as inbox:
        yield inbox


@pytest.fixture
def bot(inbox: SlackServer) -> SlackBot:
    return SlackBot(TOKEN, "#alerts", base_url=inbox.api_url, timeout_s=60)


async def told(bot: SlackBot, inbox: SlackServer, *steps: SlackReplyStep | str | int) -> Delivery:
    inbox.script(steps)
    return await bot.send(FIRING)


async def test_a_bot_edits_in_place_and_replies_in_the_thread(
    inbox: SlackServer, bot: SlackBot
) -> None:
    opened = await bot.send(FIRING)
    assert isinstance(opened, Sent)
    assert opened.reference == f"C000INBOX:{inbox.messages[0].ts}"
    assert await bot.send(RESOLVED, reference=opened.reference) == opened
    [posted] = inbox.messages
    assert posted.text == render(RESOLVED).text
    assert posted.blocks == list(render(RESOLVED).blocks)
    assert posted.metadata == render(RESOLVED).metadata
    assert posted.was == [render(FIRING).text]
    details = thread_details(FIRING)
    assert details is not None
    assert [(reply.text, reply.broadcast) for reply in posted.thread] == [
        (details.text, False),
        (thread_reply(RESOLVED).text, True),
    ]
    assert posted.thread[0].metadata == {}


async def test_an_edit_as_short_text_takes_the_blocks_away(
    inbox: SlackServer, bot: SlackBot
) -> None:
    opened = await bot.send(FIRING)
    assert isinstance(opened, Sent)
    inbox.script(["invalid_blocks"])
    assert await bot.send(RESOLVED, reference=opened.reference) == opened
    assert inbox.messages[0].blocks == []
    assert inbox.messages[0].metadata == {}


@pytest.mark.parametrize("word", [
    "message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found",
])  # fmt: skip
async def test_what_cannot_be_edited_is_sent_again(
    inbox: SlackServer, bot: SlackBot, word: str
) -> None:
    opened = await bot.send(FIRING)
    assert isinstance(opened, Sent)
    inbox.script([word])
    anew = await bot.send(RESOLVED, reference=opened.reference)
    assert isinstance(anew, Sent)
    assert anew.reference == f"C000INBOX:{inbox.messages[1].ts}"
    assert [posted.text for posted in inbox.messages] == [
        render(FIRING).text,
        render(RESOLVED).text,
    ]


async def test_a_deleted_message_is_sent_again(inbox: SlackServer, bot: SlackBot) -> None:
    assert isinstance(await bot.send(RESOLVED, reference="C000INBOX:1.000001"), Sent)
    assert inbox.requests[0].refused is not None
    assert inbox.requests[0].refused.startswith("message_not_found")
    assert [posted.text for posted in inbox.messages] == [render(RESOLVED).text]


async def test_a_quiet_edit_is_never_a_message_of_its_own(
    inbox: SlackServer, bot: SlackBot
) -> None:
    opened = await bot.send(FIRING)
    assert isinstance(opened, Sent)
    assert await bot.send(QUIET_END, reference=opened.reference) == opened
    assert await bot.send(QUIET) == Sent(None, posted=False)
    inbox.script(["message_not_found"])
    gone = await bot.send(QUIET, reference=opened.reference)
    assert gone == Sent(opened.reference, posted=False)
    assert [posted.text for posted in inbox.messages] == [render(RESOLVED).text]
    inbox.script([500])
    error_reason = await bot.send(QUIET, reference=opened.reference)
    assert error_reason == TryLater("Slack returned HTTP 500")


@pytest.mark.parametrize(
    ("fate", "delivery"),
    [
        (SlackReplyStep(status=500, body=""), TryLater("Slack returned HTTP 500")),
        (
            SlackReplyStep(word="ratelimited", retry_after="2"),
            TryLater("Slack rate limit (HTTP 429)", 2, True),
        ),
        (SlackReplyStep(word="token_revoked"), GiveUp("Slack error token_revoked", True)),
    ],
)
async def test_an_edit_whose_reply_failed_is_repeated_with_it(
    inbox: SlackServer, bot: SlackBot, fate: SlackReplyStep, delivery: Delivery
) -> None:
    opened = await bot.send(FIRING)
    assert isinstance(opened, Sent)
    inbox.script([SlackReplyStep(), fate])
    assert await bot.send(RESOLVED, reference=opened.reference) == delivery
    assert await bot.send(RESOLVED, reference=opened.reference) == opened
    assert [reply.broadcast for reply in inbox.messages[0].thread] == [False, True]


@pytest.mark.parametrize("word", ["thread_not_found", "cannot_reply_to_message"])
async def test_what_a_thread_does_not_take_is_a_message_of_its_own(
    inbox: SlackServer, bot: SlackBot, word: str
) -> None:
    """The edit is done, and notified nobody."""
    opened = await bot.send(FIRING)
    assert isinstance(opened, Sent)
    inbox.script([SlackReplyStep(), word])
    anew = await bot.send(RESOLVED, reference=opened.reference)
    assert [posted.text for posted in inbox.messages] == [
        render(RESOLVED).text,
        render(RESOLVED).text,
    ]
    assert anew == Sent(f"C000INBOX:{inbox.messages[1].ts}")


async def test_a_reply_is_shown_in_the_channel(inbox: SlackServer, bot: SlackBot) -> None:
    opened = await bot.send(FIRING)
    assert isinstance(opened, Sent)
    await bot.send(RESOLVED, reference=opened.reference)
    replies = [(reported.text, reported.broadcast) for reported in inbox.messages[0].thread]
    assert replies[1:] == [(thread_reply(RESOLVED).text, True)]
    assert "reply_broadcast" not in inbox.messages[0].sent


async def test_the_details_are_in_the_thread_once(inbox: SlackServer, bot: SlackBot) -> None:
    opened = await bot.send(FIRING)
    assert isinstance(opened, Sent)
    reminder = replace(FIRING, status=NoticeStatus.STILL_FIRING)
    await bot.send(reminder, reference=opened.reference)
    await bot.send(replace(reminder, worse=True), reference=opened.reference)
    replies = [reply.text.split(" #")[0] for reply in inbox.messages[0].thread]
    assert replies == ["DETAILS", "STILL FIRING", "STILL FIRING", "DETAILS"]


@pytest.mark.parametrize("fate", [
    SlackReplyStep(status=500, body=""),
    SlackReplyStep(word="ratelimited", retry_after="2"),
    SlackReplyStep(word="thread_not_found"),
    SlackReplyStep(cut=True),
])  # fmt: skip
async def test_a_message_stands_whatever_becomes_of_its_details(
    inbox: SlackServer, bot: SlackBot, fate: SlackReplyStep
) -> None:
    """Else it would be sent twice."""
    inbox.script([SlackReplyStep(), fate])
    assert isinstance(await bot.send(FIRING), Sent)
    assert len(inbox.messages) == 1


async def test_details_that_hang_do_not_hold_up_delivery(
    inbox: SlackServer, bot: SlackBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack_bot, "DEADLINE_S", 0.5)
    inbox.script([SlackReplyStep(), SlackReplyStep(late_s=60)])
    assert isinstance(await bot.send(FIRING), Sent)


@pytest.mark.parametrize(("word", "delivery"), [
    ("ratelimited", TryLater("Slack rate limit (HTTP 429)", channel_wide=True)),
    ("internal_error", TryLater("Slack error internal_error", maybe_sent=True)),
    ("fatal_error", TryLater("Slack error fatal_error", maybe_sent=True)),
    ("service_unavailable", TryLater("Slack error service_unavailable")),
    ("request_timeout", TryLater("Slack error request_timeout")),
])  # fmt: skip
async def test_trouble_named_in_an_answer_passes(
    inbox: SlackServer, bot: SlackBot, word: str, delivery: TryLater
) -> None:
    assert await told(bot, inbox, word) == delivery


async def test_an_unknown_refusal_is_tried_as_text_before_it_is_believed(
    inbox: SlackServer, bot: SlackBot
) -> None:
    assert isinstance(await told(bot, inbox, "brand_new_rule"), Sent)
    inbox.script(["brand_new_rule"] * 2)
    assert await bot.send(FIRING) == GiveUp("Slack error brand_new_rule", True)


async def test_a_wrong_token_is_refused_for_good(inbox: SlackServer) -> None:
    stranger = SlackBot("xoxb-other", "#alerts", base_url=inbox.api_url)
    assert await stranger.send(FIRING) == GiveUp("Slack error invalid_auth", True)
    check = await stranger.check()
    assert (check.usable, check.reason) == (False, "Slack error invalid_auth")


async def test_a_bot_is_checked_without_a_message(inbox: SlackServer, bot: SlackBot) -> None:
    check = await bot.check()
    assert (check.usable, check.reason) == (True, "bot monitor of Inbox")
    assert inbox.messages == []


async def test_a_bot_without_the_scope_is_found_out(
    inbox: SlackServer, bot: SlackBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack_bot, "SCOPE", "chat:shout")
    check = await bot.check()
    assert (check.usable, check.reason) == (False, "the bot lacks the scope chat:shout")


async def test_a_check_without_a_result_decides_nothing(inbox: SlackServer, bot: SlackBot) -> None:
    inbox.script([503])
    check = await bot.check()
    assert (check.usable, check.reason) == (None, "Slack returned HTTP 503")


async def test_a_picture_goes_into_the_thread(inbox: SlackServer, bot: SlackBot) -> None:
    opened = await bot.send(FIRING)
    assert isinstance(opened, Sent)
    assert opened.reference is not None
    picture = b"\x89PNG\r\n"
    assert isinstance(await bot.attach(opened.reference, picture, title="TTFT"), Sent)
    assert inbox.messages[0].files == [("TTFT", picture)]


@pytest.mark.parametrize(
    ("steps", "delivery"),
    [
        (["missing_scope"], GiveUp("Slack error missing_scope")),  # messages still go
        ([SlackReplyStep(), 500], TryLater("Slack returned HTTP 500")),
        (
            [SlackReplyStep(), SlackReplyStep(), "thread_not_found"],
            GiveUp("Slack error thread_not_found"),
        ),
    ],
)
async def test_a_picture_never_breaks_the_channel(
    inbox: SlackServer, bot: SlackBot, steps: list[SlackReplyStep | str | int], delivery: Delivery
) -> None:
    opened = await bot.send(FIRING)
    assert isinstance(opened, Sent)
    assert opened.reference is not None
    inbox.script(steps)
    assert await bot.attach(opened.reference, b"png", title="TTFT") == delivery


async def test_a_refused_picture_leaves_no_connection_open(
    inbox: SlackServer, bot: SlackBot
) -> None:
    opened = await bot.send(FIRING)
    assert isinstance(opened, Sent)
    assert opened.reference is not None
    gc.disable()  # which closes connections too, at a time of its own
    try:
        inbox.script([SlackReplyStep(), 500])
        await bot.attach(opened.reference, b"png", title="TTFT")
        left = [one for one in gc.get_objects() if isinstance(one, HTTPResponse)]
    finally:
        gc.enable()
    assert all(reply.isclosed() for reply in left)
