"""What a person on call reads."""

import json
import re
import string
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import CauseOwner, Finding, Notice, NoticeStatus, Severity, Subject
from monitor.notifications.plain_text import TEXT, ongoing, plain_text
from monitor.notifications.signed_webhook import document
from monitor.notifications.slack.render import (
    SlackMessage,
    render,
    thread_details,
    thread_reply,
)
from monitor.notifications.slack.webhook import SHORT, shortened
from monitor.rules import RULES
from monitor.simulator.slack_channel import fault, texts
from tests.case_tables import each
from tests.unit.notices import (
    CASES,
    NOON,
    OPENED,
    RUNBOOK,
    SNAPSHOTS,
    as_json,
    notice,
    rows,
    snapshot,
)


@each("name", CASES)
def test_messages_look_exactly_so(name: str) -> None:
    path = SNAPSHOTS / f"{name}.json"
    assert path.exists(), f"`.venv/bin/python -m tests.unit.notices` writes {path.name}"
    expected = json.loads(path.read_text(encoding="utf-8"))
    assert snapshot(CASES[name]) == expected


def test_no_snapshot_is_forgotten() -> None:
    left = {path.stem for path in SNAPSHOTS.glob("*.json")} - CASES.keys()
    assert not left, f"`.venv/bin/python -m tests.unit.notices` removes {sorted(left)}"
    for name in RULES:
        kinds = [case for case in CASES if case.startswith(name)]
        assert kinds, f"no message of rule {name} in tests/unit/notices.py"
        needed = ("firing", "still_firing", "resolved") if name in OPENED else ("notice",)
        missing = {f"{name}_{kind}" for kind in needed} - set(kinds)
        assert not missing, f"tests/unit/notices.py lacks {sorted(missing)}"


@each("name", CASES)
def test_a_message_is_understood_in_five_seconds(name: str) -> None:
    """Five blocks at most, what is wrong in the first, the first step marked, nothing longer."""
    case = CASES[name]
    for message in (render(case, runbook_url=RUNBOOK, threads=True), render(case)):
        kinds = [block["type"] for block in message.blocks]
        assert len(kinds) <= 5
        assert kinds[0] == "header"
        top = message.blocks[0]["text"]["text"]
        assert top[:2].strip() in ("🔴", "🟠", "🔵", "🟢")
        assert case.number is None or "#42" in top
        shown = "\n".join(texts(list(message.blocks)))
        assert "SELECT " not in shown
        assert "00000000-" not in shown
        assert "anthropic/" not in shown
        assert "meta-llama/" not in shown
        if not ongoing(case):
            assert len(kinds) == 2
            assert shown.count("\n") <= 2
        elif case.rule in RULES:
            assert shown.count("👉 *First step:*") == 1
            step = next(n for n, text in enumerate(texts(list(message.blocks))) if "👉" in text)
            assert step <= 3
            assert "How certain:" in shown or name == "without_parts"


@each("name", RULES)
def test_a_message_of_any_rule_says_what_to_do_and_where_to_look(name: str) -> None:
    rule = RULES[name]
    values = {"value": Decimal("1234.5"), "limit": Decimal("1000")}
    told = notice(NoticeStatus.FIRING, name, "It is so.", **values)
    text = render(told).text
    step = rule.first_step.replace("{target}", told.scope)
    assert f"\nFirst step: {step}\n" in text
    assert f"\nRunbook: monitor runbook {name}\n" in text
    assert text.endswith("\nDetails: monitor incidents show 42")
    details = thread_details(told)
    assert details is not None
    assert details.text.startswith(f"DETAILS #42 {name} · helpdesk: ")
    assert (
        f"\nNow: {rule.unit.text(values['value'], limit=values['limit'])}, limit " in details.text
    )
    assert "\nSQL: SELECT " in details.text
    assert ("target = 'helpdesk'" in details.text) is (
        rule.subject is Subject.TARGET and "{rows}" in rule.evidence_sql
    )


@pytest.mark.parametrize(("case", "line"), [
    ("ttft_firing", "FIRING #42 ttft · helpdesk: TTFT is 2546 ms"),
    ("ttft_still_firing", "STILL FIRING #42 ttft · helpdesk: TTFT is 2546 ms"),
    ("ttft_resolved", "RESOLVED #42 ttft · helpdesk: Over after 1 h 12 min."),
    ("spend_firing", "FIRING #42 spend · all: Spend of 2026-11-23 (UTC)"),
    ("test_notice", "NOTICE test · all: This is a test."),
])  # fmt: skip
def test_first_line_is_what_programs_rely_on(case: str, line: str) -> None:
    for message in (render(CASES[case]), thread_reply(CASES[case])):
        assert message.text.startswith(line)


def test_resolved_is_two_lines_how_long_what_it_was_and_what_it_cost() -> None:
    blocks = render(CASES["fallback_resolved"]).blocks
    assert list(texts(list(blocks))) == [
        "🟢 helpdesk: Llama 4 Scout answers again, after 1 h 12 min · #42",
        "From 10:48 to 12:00 UTC Claude 3.5 Haiku gave up to 100 % of the answers. It cost about "
        "$0.029 more than usual. Likely cause (billing): the key of openrouter expired, at 11:54 "
        "UTC.",
    ]


@each(("owner", "label"), [
    (CauseOwner.BILLING, "Likely cause (billing)"),
    (CauseOwner.CANNOT_TELL, "Likely cause"),
    (None, "Likely cause"),
])  # fmt: skip
@each("name", OPENED)
def test_the_end_states_the_cause_in_every_medium(
    name: str, owner: CauseOwner | None, label: str
) -> None:
    case = CASES[f"{name}_resolved"]
    finding = replace(case.finding, cause="the key expired", cause_owner=owner)
    case = replace(case, finding=finding)
    stated = f" {label}: the key expired."
    for text in (
        plain_text(case), render(case).text, thread_reply(case).text,
        "\n".join(texts(list(render(case).blocks))),
        "\n".join(texts(list(thread_reply(case).blocks))),
    ):  # fmt: skip
        assert text.count(stated) == 1
    sent = json.loads(document(case, "ops"))
    assert sent["cause"] == "the key expired"
    assert stated in sent["summary"]


def test_an_end_without_a_known_cause_states_none() -> None:
    for name in ("retrieval_resolved", "answer_check_resolved"):
        assert CASES[name].finding.cause_owner is CauseOwner.CANNOT_TELL
        assert "ause" not in plain_text(CASES[name])


@each("name", CASES)
def test_all_that_the_blocks_say_stands_in_the_text_too(name: str) -> None:
    message = render(CASES[name])
    said = re.sub(r"[*`]", "", message.text)
    for block_text in list(texts(list(message.blocks)))[1:]:
        for line in re.split(r"\n| · 🔎 ", block_text):
            assert re.sub(r"[*`👉📕🔎]", "", line).strip() in said


def test_a_thread_reply_reports_what_changed_and_not_where_to_look() -> None:
    reply = thread_reply(CASES["ttft_still_firing"])
    assert "since 2026-11-22 08:00 UTC (1 d 4 h)" in reply.text
    assert "You may see this message twice" in reply.text
    assert "SQL" not in reply.text
    assert "Runbook" not in reply.text


def test_the_details_go_into_the_thread_and_tell_nothing_new() -> None:
    details = thread_details(CASES["fallback_firing"])
    assert details is not None
    assert details.metadata == {}
    for fact in CASES["fallback_firing"].facts.values():
        assert fact.replace(">", "&gt;") in details.text
    assert "\nRows: 00000000-0000-0000-0000-000000000001, " in details.text
    assert thread_details(CASES["fallback_resolved"]) is None
    assert thread_details(CASES["digest_notice"]) is None


@each("name", OPENED)
def test_a_message_cut_short_says_that_it_is_repeated(name: str) -> None:
    told = replace(OPENED[name], repeated=True)
    also = tuple(f"{'much more ' * 40}{n}" for n in range(3))
    for message in (render(told), render(replace(told, also=also))):
        assert shortened(message).text.endswith("\nYou may see this message twice: Slack did not "
                                                "confirm the first attempt.")  # fmt: skip
        assert len(shortened(message).text) <= SHORT
    text = plain_text(replace(told, also=also, facts={"a": "b"}), limit=1_000)
    assert len(text) <= 1_000
    assert "You may see this message twice" in text.splitlines()[-1]
    assert text.startswith(f"FIRING #42 {name} · ")


def test_severity_selects_the_symbol() -> None:
    shown = {
        severity: render(replace(CASES["ttft_firing"], severity=severity)).blocks[0]["text"]["text"]
        for severity in Severity
    }
    assert [shown[one][0] for one in Severity] == ["🔵", "🟠", "🔴"]


def test_a_configured_runbook_is_a_link() -> None:
    message = render(CASES["ttft_firing"], runbook_url="https://example.com/runbook?a=1&b=<2>")
    place = "https://example.com/runbook?a=1&amp;b=%3C2%3E#ttft"
    assert f"\nRunbook: {place}\n" in message.text
    assert any(f"<{place}|Runbook: ttft>" in text for text in texts(list(message.blocks)))


def test_a_command_in_a_first_step_is_code() -> None:
    [step] = [text for text in texts(list(render(CASES["delivery_firing"]).blocks)) if "👉" in text]
    assert step == (
        "👉 *First step:* Correct the channel's address or token in the configuration, then run "
        "`monitor test-alert --channel slack`."
    )


def test_metadata_leaves_out_what_is_absent() -> None:
    assert render(CASES["ttft_firing"]).metadata == {
        "event_type": "monitor_incident",
        "event_payload": {
            "status": "FIRING",
            "number": 42,
            "rule": "ttft",
            "target": "helpdesk",
            "value": 2546.0,
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


@each("text", HOSTILE)
def test_foreign_text_cannot_mention_link_format_or_forge(text: str) -> None:
    hostile = notice(
        NoticeStatus.FIRING,
        text,
        text,
        scope=text,
        facts={text: text, "Long": text * 20},
        rows=rows(1),
    )
    for message in every(hostile):
        assert fault({"text": message.text, "blocks": list(message.blocks)}) is None
        everything = [message.text, *texts(list(message.blocks))]
        assert not re.search(
            r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\u2066\u200b]", "".join(everything)
        )
        lines = [line for line in message.text.split("\n") if re.match(r"(STILL )?FIRING #", line)]
        assert len(lines) == (not message.text.startswith("DETAILS"))
        assert "".join(everything).encode()


def test_code_cannot_be_left() -> None:
    sly = notice(NoticeStatus.FIRING, "ttft", "s", scope="a`b```c", facts={"Says": "x` *y* `z"})
    details = thread_details(sly)
    assert details is not None
    inside = list(texts(list(details.blocks)))
    assert "*Says:* x' y 'z" in inside[0]
    [query] = [text for text in inside if "```" in text]
    assert "target = 'abc' AND" in query  # a quote in their place would end the literal
    assert query.count("`") == 6


def test_sql_holds_the_scope_as_a_literal() -> None:
    details = thread_details(notice(NoticeStatus.FIRING, "ttft", "s", scope="it's"))
    assert details is not None
    assert "WHERE target = 'it''s' AND started_at BETWEEN" in details.text


def every(told: Notice, runbook_url: str | None = None) -> list[SlackMessage]:
    """All that Slack may get of one notice."""
    found = [render(told, runbook_url=runbook_url, threads=threads) for threads in (True, False)]
    return [*found, thread_reply(told), *filter(None, [thread_details(told)])]


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
    severity=st.sampled_from(Severity),
    finding=st.builds(Finding, **dict.fromkeys(
        ("what", "was", "extent", "money", "cause", "first_step", "certainty"), anything)),
    recovering=anything,
    also=st.lists(anything, max_size=5).map(tuple),
    news=st.sampled_from(["", "new", "again", "grew"]),
    restored=anything,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(notices, st.none() | st.just("https://example.com/runbook.md"))
def test_any_notice_stays_within_every_limit(notified: Notice, runbook_url: str | None) -> None:
    for message in every(notified, runbook_url):
        payload = json.loads(json.dumps(as_json(message), allow_nan=False))
        assert fault(payload | {"text": message.text}) is None
        assert len(message.text) <= TEXT
        assert sum(map(len, texts(payload["blocks"]))) < 9_000
        assert message.text.split("\n")[0].startswith((notified.status, "DETAILS"))
        assert len(payload["blocks"]) <= 5 or message.text.startswith("DETAILS")


def test_facts_without_room_are_counted() -> None:
    many = notice(
        NoticeStatus.NOTICE, "digest", "s", facts=dict.fromkeys(string.ascii_letters, "&" * 300)
    )
    message = render(many)
    notified = len(re.findall(r"^[A-Za-z]: &amp;", message.text, re.MULTILINE))
    assert f"… and {52 - notified} more facts" in message.text
    assert any("more lines" in text for text in texts(list(message.blocks)))
    details = thread_details(replace(many, number=1))
    assert details is not None
    assert any("*More:* … and 36 more facts" in text for text in texts(list(details.blocks)))


@pytest.mark.parametrize("limit", [1_000, 1_500, 2_000])
def test_a_medium_with_less_room_gets_the_first_lines(limit: int) -> None:
    long = notice(NoticeStatus.FIRING, "ttft", "s" * 5_000, facts={"Long": "f" * 300}, rows=rows(9))
    shown = plain_text(long, runbook_url=f"https://example.com/{'x' * 2_000}", limit=limit)
    assert len(shown) <= limit
    assert shown.startswith("FIRING #42 ttft · helpdesk: sss")


def test_plain_text_is_not_escaped() -> None:
    shown = plain_text(notice(NoticeStatus.FIRING, "ttft", "a < b & <!channel>"))
    assert shown.startswith("FIRING #42 ttft · helpdesk: a < b & <!channel>\n")
