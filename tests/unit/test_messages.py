"""What a person on call reads."""

import json
import re
import string
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import Notice, NoticeStatus, Subject
from monitor.notifications.plain_text import TEXT, plain_text
from monitor.notifications.slack.render import render, thread_reply
from monitor.rules import RULES
from monitor.simulator.slack_channel import fault, texts
from tests.unit.notices import CASES, NOON, SNAPSHOTS, as_json, notice, rows


@pytest.mark.parametrize("name", CASES)
def test_messages_look_exactly_so(name: str) -> None:
    expected = json.loads((SNAPSHOTS / f"{name}.json").read_text(encoding="utf-8"))
    assert as_json(render(CASES[name])) == expected


def test_no_snapshot_is_forgotten() -> None:
    assert {path.stem for path in SNAPSHOTS.glob("*.json")} == set(CASES)


@pytest.mark.parametrize("name", RULES)
def test_a_message_of_any_rule_says_what_to_do_and_where_to_look(name: str) -> None:
    rule = RULES[name]
    values = {"value": Decimal("1234.5"), "limit": Decimal("1000")}
    told = notice(NoticeStatus.FIRING, name, "It is so.", **values)
    text = render(told).text
    assert f"\nNow: {rule.unit.text(values['value'], limit=values['limit'])}, limit " in text
    step = rule.first_step.replace("{target}", told.scope)
    assert f"\nDo first: {step}\n" in text
    assert f"\nRunbook: docs/runbook.md#{name}\n" in text
    assert "\nSQL: SELECT " in text
    assert ("target = 'nuzantara'" in text) is (
        rule.subject is Subject.TARGET and "{rows}" in rule.evidence_sql
    )


@pytest.mark.parametrize(("case", "line"), [
    ("ttft_firing", "FIRING #42 ttft · nuzantara: the mean of"),
    ("ttft_still_firing", "STILL FIRING #42 ttft · nuzantara: the mean of"),
    ("ttft_resolved", "RESOLVED #42 ttft · nuzantara: rounds are back"),
    ("spend_firing", "FIRING #42 spend · all: 2026-11-23 (UTC)"),
    ("test_notice", "NOTICE test · all: this is"),
])  # fmt: skip
def test_first_line_is_what_programs_rely_on(case: str, line: str) -> None:
    for message in (render(CASES[case]), thread_reply(CASES[case])):
        assert message.text.startswith(line)


def test_resolved_says_duration_peak_and_number() -> None:
    text = render(CASES["ttft_resolved"]).text
    assert "#42" in text
    assert "Lasted: 1 h 12 min, 10:48 UTC to 12:00 UTC" in text
    assert "Peak: 2,310 ms" in text
    assert "Do first" not in text


def test_all_that_the_blocks_say_stands_in_the_text_too() -> None:
    message = render(CASES["fallback_firing_and_slow"])
    for label, reported in CASES["fallback_firing_and_slow"].facts.items():
        assert f"\n{label}: {reported}" in message.text
    for block_text in texts(list(message.blocks)):
        for line in block_text.split("\n"):
            bare = line.strip("*`🔴🟠🟢🔵 ")
            assert bare in message.text


def test_a_thread_reply_reports_what_changed_and_not_where_to_look() -> None:
    reply = thread_reply(CASES["ttft_still_firing"])
    assert "Now: 1,840 ms, limit 1,200 ms" in reply.text
    assert "Since: 2026-11-22 08:00 UTC (1 d 4 h)" in reply.text
    assert "May be a duplicate" in reply.text
    assert "SQL" not in reply.text
    assert "".join(texts(list(reply.blocks))) == reply.text


def test_the_notice_knows_better_what_to_do_first() -> None:
    assert render(CASES["key_firing"]).text.count("Do first") == 1


def test_a_configured_runbook_is_a_link() -> None:
    message = render(CASES["ttft_firing"], runbook_url="https://example.com/runbook?a=1&b=<2>")
    place = "https://example.com/runbook?a=1&amp;b=%3C2%3E#ttft"
    assert f"\nRunbook: {place}\n" in message.text
    assert f"<{place}|Runbook: ttft>" in list(texts(list(message.blocks)))


def test_metadata_leaves_out_what_is_absent() -> None:
    assert render(CASES["ttft_firing"]).metadata == {
        "event_type": "monitor_incident",
        "event_payload": {
            "status": "FIRING",
            "number": 42,
            "rule": "ttft",
            "target": "nuzantara",
            "value": 1840.4,
            "limit": 1200.0,
        },
    }
    assert render(CASES["test_notice"]).metadata["event_payload"] == {
        "status": "NOTICE",
        "rule": "test",
        "target": "all",
    }


HOSTILE = [
    "<!channel> <!here|x> <@U123> <#C123> <!subteam^S1>",
    "<https://evil.example|click> *bold* _x_ ~y~ `code` ```block```",
    "line\nSTILL FIRING #1 ttft · all: forged\r\n\u2028next",
    "\x1b[31mred\x1b[0m \x07 \x9b2J nul\0",
    "\u202egnp.exe\u2066 \u200b\ufeff",
    "a & b < c > d &amp; &lt;",
    "'; DROP TABLE observations; --",
    "\ud800 half a character",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_cannot_mention_link_format_or_forge(text: str) -> None:
    hostile = notice(
        NoticeStatus.FIRING,
        text,
        text,
        scope=text,
        facts={text: text, "Long": text * 20},
        rows=rows(1),
    )
    for message in (render(hostile), thread_reply(hostile)):
        assert fault({"text": message.text, "blocks": list(message.blocks)}) is None
        everything = [message.text, *texts(list(message.blocks))]
        assert not re.search(
            r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\u2066\u200b]", "".join(everything)
        )
        assert len([line for line in message.text.split("\n") if "FIRING #" in line[:14]]) == 1
        assert "".join(everything).encode()


def test_code_cannot_be_left() -> None:
    sly = notice(NoticeStatus.FIRING, "ttft", "s", scope="a`b```c", facts={"Says": "x` *y* `z"})
    inside = list(texts(list(render(sly).blocks)))
    assert "*Says*\n`x' *y* 'z`" in inside
    [query] = [text for text in inside if text.startswith("```")]
    assert "target = 'abc' AND" in query  # a quote in their place would end the literal
    assert query.count("`") == 6


def test_sql_holds_the_scope_as_a_literal() -> None:
    sly = notice(NoticeStatus.FIRING, "ttft", "s", scope="it's")
    assert "WHERE target = 'it''s' AND started_at BETWEEN" in render(sly).text


anything = st.text() | st.text(alphabet="<>&`*@ a\u0301👍🏽\u200d\n", max_size=600)
numbers = st.none() | st.floats() | st.decimals(allow_nan=False, places=12, min_value=0)
instants = st.timedeltas(timedelta(days=-9_000), timedelta(days=9_000)).map(NOON.__add__)
notices = st.builds(
    Notice,
    id=st.uuids(),
    status=st.sampled_from(NoticeStatus),
    rule=anything | st.sampled_from(sorted(RULES)),
    scope=anything,
    sentence=anything,
    at=instants,
    number=st.none() | st.integers(1, 2**63 - 1),
    value=numbers,
    limit=numbers,
    since=st.none() | instants,
    until=st.none() | instants,
    facts=st.dictionaries(anything, anything, max_size=24),
    rows=st.lists(st.uuids(), max_size=8).map(tuple),
    repeated=st.booleans(),
    peak=numbers,
)


@settings(max_examples=60, deadline=None)
@given(notices, st.none() | st.just("https://example.com/runbook.md"))
def test_any_notice_stays_within_every_limit(notified: Notice, runbook_url: str | None) -> None:
    for message in (render(notified, runbook_url=runbook_url), thread_reply(notified)):
        payload = json.loads(json.dumps(as_json(message), allow_nan=False))
        assert fault(payload | {"text": message.text}) is None
        assert len(message.text) <= TEXT
        assert sum(map(len, texts(payload["blocks"]))) < 9_000
        assert message.text.split("\n")[0].startswith(notified.status)


def test_facts_without_room_are_counted() -> None:
    many = notice(
        NoticeStatus.NOTICE, "digest", "s", facts=dict.fromkeys(string.ascii_letters, "&" * 300)
    )
    message = render(many)
    notified = len(re.findall(r"^[A-Za-z]: &amp;", message.text, re.MULTILINE))
    assert f"… and {52 - notified} more facts" in message.text
    assert "… and 36 more facts" in list(texts(list(message.blocks)))


@pytest.mark.parametrize("limit", [1_000, 1_500, 2_000])
def test_a_medium_with_less_room_gets_the_first_lines(limit: int) -> None:
    long = notice(NoticeStatus.FIRING, "ttft", "s" * 5_000, facts={"Long": "f" * 300}, rows=rows(9))
    shown = plain_text(long, runbook_url=f"https://example.com/{'x' * 2_000}", limit=limit)
    assert len(shown) <= limit
    assert shown.startswith("FIRING #42 ttft · nuzantara: sss")


def test_plain_text_is_not_escaped() -> None:
    shown = plain_text(notice(NoticeStatus.FIRING, "ttft", "a < b & <!channel>"))
    assert shown.startswith("FIRING #42 ttft · nuzantara: a < b & <!channel>\n")
