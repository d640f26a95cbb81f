"""The page of the local Slack: blocks as people see them, and nothing of a message as markup."""

from datetime import UTC, datetime
from typing import Any

import pytest

from monitor.simulator.slack_channel import PostedMessage
from monitor.simulator.slack_page import page


def posted(*blocks: dict[str, Any], text: str = "text", **more: Any) -> PostedMessage:
    return PostedMessage(ts="1", via="bot", at=datetime(2026, 11, 23, 12, tzinfo=UTC), text=text,
                         blocks=list(blocks), metadata={}, sent={}, **more)  # fmt: skip


def mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


@pytest.mark.parametrize(("text", "shown"), [
    ("*First step:* run `a *b*` _now_", "<b>First step:</b> run <code>a *b*</code> <i>now</i>"),
    ("2 * 3 * 4, a_b_c", "2 * 3 * 4, a_b_c"),
    ("<https://a.example/#x|Runbook> &lt;b&gt;",
     '<a href="https://a.example/#x">Runbook</a> &lt;b&gt;'),
    ("```SELECT 1 &lt; 2;```", "<pre>SELECT 1 &lt; 2;</pre>"),
    ("~old~", "<s>old</s>"),
])  # fmt: skip
def test_the_markup_of_slack_is_shown(text: str, shown: str) -> None:
    assert shown in page("#alerts", [posted(mrkdwn(text))])


def test_every_kind_of_block_a_thread_and_a_picture_are_shown() -> None:
    plain = {"type": "plain_text", "text": "a *b* &amp; c"}
    reply = posted(text="reply", broadcast=True)
    shown = page("#alerts", [posted(
        {"type": "header", "text": plain},
        {"type": "section", "fields": [plain, plain]},
        {"type": "context", "elements": [plain]},
        {"type": "divider"},
        {"type": "actions", "elements": [{"text": plain, "url": "https://a.example"}]},
        {"type": "carousel"},
        was=["before"], thread=[reply, reply], files=[("TTFT", b"png")],
    )])  # fmt: skip
    assert '<div class="header">a *b* &amp; c</div>' in shown
    assert '<a class="button" href="https://a.example">' in shown
    assert "<hr>" in shown
    assert "{&quot;type&quot;: &quot;carousel&quot;}" in shown
    assert "2 replies" in shown
    assert "also sent to the channel" in shown
    assert ">edited<" in shown
    assert '<img alt="TTFT" src="data:image/png;base64,cG5n">' in shown


def test_nothing_in_a_message_becomes_markup_of_the_page() -> None:
    sly = '<script>alert(1)</script> "><img src=x onerror=alert(1)>'
    shown = page("#alerts", [posted(mrkdwn(sly), text=sly), posted(text=sly)])
    assert "<script>" not in shown
    assert "<img" not in shown
    assert "No message yet." in page("<b>", [])
    assert "<b>" not in page("<b>", [])


def test_reactions_are_shown_and_can_be_added_where_people_may_answer() -> None:
    mention = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [
        {"type": "text", "text": "by <b>"}, {"type": "user", "user_id": "U0BEN"}]}]}  # fmt: skip
    messages = [posted(mention, reactions={"eyes": ["U0BEN", "U0ANA"], "<b>": ["U0BEN"]})]
    shown = page("#alerts", messages)
    assert '<span title="U0BEN, U0ANA">👀 2</span>' in shown
    assert ":&lt;b&gt;: 1" in shown
    assert 'by &lt;b&gt;<a href="#">@U0BEN</a>' in shown
    assert "<button" not in shown
    answerable = page("#alerts", messages, answerable=True)
    assert '<button data-method="remove" data-name="eyes" data-ts="1">👀 2</button>' in answerable
    assert '<button data-method="add" data-name="no_bell" data-ts="1">🔕</button>' in answerable
