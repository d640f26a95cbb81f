"""The limits of Slack, each with its boundary as a row: what is allowed, and one more."""

from typing import Any

from monitor.simulator.slack_channel import fault
from tests.case_tables import each


def plain(length: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": "x" * length}


def mrkdwn(text: str, **more: object) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True} | more


def section(length: int) -> dict[str, Any]:
    return {"type": "section", "text": plain(length)}


def fields(count: int, length: int = 1) -> dict[str, Any]:
    return {"type": "section", "fields": [plain(length)] * count}


def context(count: int) -> dict[str, Any]:
    return {"type": "context", "elements": [plain(1)] * count}


@each("blocks", [
    [],
    [{"type": "divider"}],
    [{"type": "header", "text": plain(150)}],
    [section(3000)],
    [section(1)] * 50,
    [fields(10), fields(1, 2000)],
    [context(10)],
    [section(2825)] * 4,  # 11,300 in all
    [{"type": "section", "text": mrkdwn("*a* `b` &lt;!channel&gt; <https://example.com|c>")}],
])  # fmt: skip
def test_what_slack_takes(blocks: list[dict[str, Any]]) -> None:
    assert fault({"text": "t", "blocks": blocks}) is None


@each(("blocks", "word"), [
    ({"type": "divider"}, "invalid_blocks"),
    (["divider"], "invalid_blocks"),
    ([{"type": ["divider"]}], "invalid_blocks"),
    ([{"type": "carousel"}], "invalid_blocks"),
    ([{"type": "divider", "block_id": "x" * 256}], "invalid_blocks"),
    ([{"type": "header", "text": plain(151)}], "invalid_blocks"),
    ([{"type": "header", "text": mrkdwn("x")}], "invalid_blocks"),
    ([{"type": "section"}], "invalid_blocks"),
    ([section(0)], "invalid_blocks"),
    ([section(3001)], "invalid_blocks"),
    ([section(1)] * 51, "invalid_blocks"),
    ([fields(0)], "invalid_blocks"),
    ([fields(11)], "invalid_blocks"),
    ([fields(1, 2001)], "invalid_blocks"),
    ([context(0)], "invalid_blocks"),
    ([context(11)], "invalid_blocks"),
    ([section(2825)] * 4 + [section(1)], "msg_blocks_too_long"),
    ([{"type": "section", "text": plain(1) | {"verbatim": True}}], "invalid_blocks"),
    ([{"type": "section", "text": mrkdwn("x", emoji=False)}], "invalid_blocks"),
    ([{"type": "section", "text": mrkdwn("x", verbatim=False)}], "invalid_blocks"),
    ([{"type": "section", "text": mrkdwn("<!channel>")}], "invalid_blocks"),
    ([{"type": "section", "text": mrkdwn("<@U1>")}], "invalid_blocks"),
    ([{"type": "section", "text": mrkdwn("a < b")}], "invalid_blocks"),
    ([{"type": "section", "text": mrkdwn("a & b")}], "invalid_blocks"),
    ([{"type": "section", "text": {"type": "plain_text", "text": "<https://a.b>"}}],
     "invalid_blocks"),
])  # fmt: skip
def test_what_slack_refuses_in_blocks(blocks: object, word: str) -> None:
    found = fault({"text": "t", "blocks": blocks})
    assert found is not None
    assert found.word == word


@each(("payload", "word"), [
    ({}, "no_text"),
    ({"text": " "}, "no_text"),
    ({"blocks": [section(1)]}, "no_text"),  # stricter than Slack
    ({"text": "x" * 40_001}, "msg_too_long"),
    ({"text": "<!here>"}, "invalid_blocks"),
    ({"text": "&nbsp;"}, "invalid_blocks"),
    ({"text": "t", "link_names": True}, "invalid_arguments"),
    ({"text": "t", "parse": "full"}, "invalid_arguments"),
    ({"text": "t", "metadata": []}, None),
    ({"text": "t", "metadata": {"event_type": "a b", "event_payload": {}}},
     "invalid_metadata_format"),
    ({"text": "t", "metadata": {"event_type": "a", "event_payload": {"number": None}}},
     "invalid_metadata_format"),
    ({"text": "t", "metadata": {"event_type": "a", "event_payload": {"n": float("nan")}}},
     "invalid_metadata_format"),
    ({"text": "t", "metadata": {"event_type": "a", "event_payload": {"n": 1, "b": True}}}, None),
])  # fmt: skip
def test_what_slack_refuses_around_blocks(payload: dict[str, object], word: str | None) -> None:
    found = fault(payload)
    assert (found and found.word) == word
