"""What `probe --explain` prints of a transcript, and why an answer without text has none."""

from dataclasses import replace

import pytest

from monitor.cli.stream_explanation import FIRST_EVENTS, LAST_EVENTS, explanation, hint
from monitor.dialects import dialect_of, read
from tests.example_transcripts import target, transcript

WRONG = {"path": "/ask", "query": {"q": "{query}"}, "text": "deltas", "done": "done"}
SURE = ("", '{"delta":"Sure!"}')


def lines(events: list[tuple[str, str]], dialect: str = "custom", **options: object) -> list[str]:
    spoken = dialect_of(target(dialect, options=options))
    came = replace(transcript(events), query="hi", status=200, sent_ns=0)
    return list(explanation(came, spoken, ["sk-secret-1"]))


def test_each_event_is_shown_with_what_every_expression_found() -> None:
    shown = lines([SURE, ("end", '{"done":true}')], **WRONG)
    assert shown == [
        "hi: HTTP 200, no media type, 2 events",
        "  head. HTTP 200",
        "       read as: nothing",
        '  1. +0.0 ms  {"delta":"Sure!"}',
        '       text = "deltas" found nothing',
        '       done = "done" found nothing',
        "       read as: nothing",
        '  2. +1.0 ms  event end: {"done":true}',
        '       text = "deltas" found nothing',
        '       done = "done" found true',
        "       read as: end",
        '  not found in any event: text = "deltas"',
    ]


def head(dialect: str, headers: dict[str, str], **options: object) -> list[str]:
    spoken = dialect_of(target(dialect, options=options))
    came = replace(transcript([SURE], headers), query="hi", status=200, sent_ns=0, head_ns=10**6)
    return list(explanation(came, spoken, ["sk-secret-1"]))


def test_the_head_is_shown_with_the_headers_that_were_used_and_what_they_say() -> None:
    headers = {"content-type": "text/event-stream", "x-litellm-model-name": "m-2",
               "x-litellm-response-cost": "0.5", "x-echo": "sk-secret-1"}  # fmt: skip
    assert head("openai_chat", headers)[:6] == [
        "hi: HTTP 200, text/event-stream, 1 events",
        "  head. +1.0 ms  HTTP 200",
        "       x-litellm-model-name: m-2",
        "       x-litellm-response-cost: 0.5",
        "       other headers: content-type, x-echo",
        "       read as: claims x-litellm-model-name=m-2, usage cost_usd=0.5",
    ]


def test_headers_that_an_expression_finds_are_shown_in_the_head() -> None:
    shown = head("custom", {"x-model": "m-2"}, **WRONG, model='_headers."x-model"')
    assert shown[1:4] == [
        "  head. +1.0 ms  HTTP 200",
        "       x-model: m-2",
        "       read as: claims model=m-2",
    ]
    assert "_headers" not in shown[-1]


def test_of_a_built_in_dialect_it_is_shown_what_each_event_was_read_as() -> None:
    chunk = ('{"model":"m-2","choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}],'
             '"usage":{"prompt_tokens":3}}')  # fmt: skip
    shown = lines([("", chunk), ("", "[DONE]"), ("", "more")], "openai_chat")
    assert shown[4::2] == [
        '       read as: text "Hi", claims model=m-2, usage prompt_tokens=3, finish "stop"',
        "       read as: end",
        "       after the end: ignored",
    ]


def test_thoughts_in_the_text_are_shown_as_reasoning() -> None:
    events = [("", f'{{"text":"{text}"}}') for text in ("hm", "</think>", "Four")]
    assert lines(events, "bali_zero")[4::2] == [
        '       read as: reasoning "hm"',
        "       read as: nothing",
        '       read as: text "Four"',
    ]


def test_the_rule_that_read_an_event_is_named() -> None:
    rules = [{"when": "a", "text": "a"}, {"text": "b"}]
    shown = lines([("", '{"b":"Hi"}')], **{**WRONG, "rules": rules})
    assert shown[4:7] == [
        '       rules[2].when = "" found true',
        '       done = "done" found nothing',
        '       text = "b" found "Hi"',
    ]


def test_events_and_characters_are_bounded_harmless_and_without_secrets() -> None:
    events = [("", f'{{"delta":"\x1b[31m\u202e sk-secret-1 {n} ' + "x" * 5000) for n in range(500)]
    shown = lines(events, **WRONG)
    numbered = [line for line in shown if " ms  " in line]
    assert len(numbered) == FIRST_EVENTS + LAST_EVENTS
    assert any(line == "  … 475 more events …" for line in shown)
    assert max(map(len, shown)) < 300
    assert not any("\x1b" in line or "\u202e" in line or "secret" in line for line in shown)
    assert numbered[-1].startswith('  500. +499.0 ms  {"delta":" *** 499 xxx')


def test_a_body_that_is_no_stream_is_shown() -> None:
    came = replace(transcript([]), query="hi", status=404, body='{"detail":"Not Found"}')
    shown = list(explanation(came, dialect_of(target("ollama")), []))
    assert shown == [
        "hi: HTTP 404, no media type, 0 events",
        "  head. HTTP 404",
        "       read as: nothing",
        '  no stream; the body begins: {"detail":"Not Found"}',
    ]


@pytest.mark.parametrize(
    ("dialect", "options", "reported"),
    [
        ("custom", WRONG, 'first event: {"delta":"Sure!"}; text = "deltas" found nothing'),
        ("bali_zero", {}, 'first event: {"delta":"Sure!"}; bali_zero found no answer text'),
        ("custom", {**WRONG, "text": "delta"}, None),
    ],
)
def test_an_answer_without_text_says_what_was_looked_for(
    dialect: str, options: dict[str, object], reported: str | None
) -> None:
    spoken = dialect_of(target(dialect, options=options))
    came = transcript([SURE, ("", '{"done":true}')])
    assert hint(came, read(spoken, came), spoken, []) == reported
