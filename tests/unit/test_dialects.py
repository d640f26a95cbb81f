"""Dialects: recorded streams read as expected, and nothing a server sends raises."""

import importlib
import json
import pkgutil
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import dialects
from monitor.dialects import DIALECTS, dialect_of, parse_event, read
from monitor.domain import (
    Claim,
    ClaimKind,
    Dialect,
    Framing,
    Reply,
    RetrievedSources,
    StreamEvent,
    Usage,
)
from monitor.redaction import storable
from tests.case_tables import each
from tests.example_transcripts import CUSTOM, split, target, transcript

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
RECORDED = sorted(p for p in TRANSCRIPTS.glob("*/*") if p.suffix in (".txt", ".ndjson"))


def figures(usage: Usage) -> dict[str, Any]:
    values = {field.name: getattr(usage, field.name) for field in fields(usage) if field.compare}
    return {name: value for name, value in values.items() if value is not None}


def reading(reply: Reply) -> dict[str, Any]:
    return {
        "text": storable(reply.text),
        "reasoning": "".join(piece.reasoning for piece in reply.pieces),
        "pieces": len(reply.pieces),
        "claims": [[c.kind.value, c.source, c.value] for c in reply.claims],
        "usage": {
            name: format(value.normalize(), "f") if isinstance(value, Decimal) else value
            for name, value in figures(reply.usage).items()
        },
        "error": reply.error,
        "ended": reply.ended,
        "malformed": reply.malformed,
        "extras": reply.extras,
        "faults": list(reply.faults),
        "finish": reply.finish,
        "sources": None if reply.sources is None else [
            reply.sources.count, reply.sources.best_score,
            reply.sources.newest_at and reply.sources.newest_at.isoformat(),
        ],
    }  # fmt: skip


@each("path", RECORDED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_recorded_stream_reads_as_expected(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    options = expected.pop("options", {})
    headers = expected.pop("headers", {})
    dialect = dialect_of(target(path.parent.name, options=options))
    framing = Framing.NDJSON if path.suffix == ".ndjson" else dialect.framing
    events = list(split(path.read_bytes(), framing))
    read_as = reading(read(dialect, transcript(events, headers)))
    assert read_as == {"finish": None, "sources": None} | expected


def test_every_dialect_stands_in_the_table() -> None:
    for module in pkgutil.iter_modules(dialects.__path__, f"{dialects.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            assert not isinstance(value, Dialect) or DIALECTS.get(value.name) is value, (
                f"add to DIALECTS in monitor/dialects/__init__.py: "
                f'"{value.name}": {name} of {module.name}'
            )


@each("name", DIALECTS)
def test_every_dialect_has_a_recorded_stream(name: str) -> None:
    assert name in {path.parent.name for path in RECORDED}, (
        f"record a stream in tests/transcripts/{name}/normal.txt, or normal.ndjson for JSON lines"
    )


@each("path", RECORDED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_recorded_stream_has_a_dialect_and_an_expected_result(path: Path) -> None:
    assert path.parent.name in DIALECTS, (
        f"no dialect has the name of tests/transcripts/{path.parent.name}"
    )
    expected = path.with_suffix(".json").relative_to(TRANSCRIPTS)
    assert path.with_suffix(".json").exists(), (
        f"write the expected result: tests/transcripts/{expected}"
    )


def test_pieces_keep_arrival_and_read_of_their_events() -> None:
    events = [
        ("", '{"sources":[]}'),
        ("", '{"text":"a"}'),
        ("", '{"text":""}'),
        ("", '{"text":"b"}'),
    ]
    pieces = read(dialect_of(target("bali_zero")), transcript(events)).pieces
    assert [(p.text, p.arrived_ns, p.read) for p in pieces] == [
        ("a", 10**6, 1),
        ("b", 3 * 10**6, 3),
    ]


def test_error_is_looked_at_before_done() -> None:
    reply = read(dialect_of(target("bali_zero")), transcript([("", '{"error":"no","done":true}')]))
    assert (reply.error, reply.ended, reply.text) == ("no", True, "")


def test_text_that_comes_with_the_end_is_received() -> None:
    events = [("", '{"text": "Hi"}'), ("", '{"text": " there", "done": true}')]
    reply = read(dialect_of(target("bali_zero")), transcript(events))
    assert (reply.text, reply.ended) == ("Hi there", True)


def test_nothing_received_is_no_end() -> None:
    assert read(dialect_of(target("bali_zero")), transcript([])) == Reply()


def test_error_text_is_one_harmless_line() -> None:
    reported = json.dumps({"error": "\x1b[31mbad\x00\n\u202enews" + "!" * 5000, "done": True})
    error = read(dialect_of(target("bali_zero")), transcript([("", reported)])).error
    assert error is not None
    assert error.startswith("bad news!!")
    assert len(error) == 2000


def test_a_stream_that_names_a_new_model_in_every_chunk_makes_few_claims() -> None:
    chunks = [("", json.dumps({"model": f"m-{n}", "choices": []})) for n in range(1000)]
    assert len(read(dialect_of(target("openai_chat")), transcript(chunks)).claims) == 8


def test_later_usage_wins_and_none_does_not_overwrite() -> None:
    chunks = [
        ("", '{"usage":{"prompt_tokens":5,"completion_tokens":1,"cost":0.1}}'),
        ("", '{"usage":{"prompt_tokens":null,"completion_tokens":7}}'),
        ("", '{"usage":null}'),
    ]
    usage = read(dialect_of(target("openai_chat")), transcript(chunks)).usage
    assert usage == Usage(prompt_tokens=5, answer_tokens=7, cost_usd=Decimal("0.1"))


def test_money_is_read_to_the_last_digit() -> None:
    chunk = [("", '{"usage":{"cost":0.000007123456}}')]
    cost = read(dialect_of(target("openai_chat")), transcript(chunk)).usage.cost_usd
    assert cost == Decimal("0.000007123456")


@each(
    ("cost", "kept"),
    [
        ("0", Decimal(0)),
        ("10000", Decimal(10000)),  # the most we believe
        ("10000.01", None),
        ("1e999999", None),
        ("-0.000001", None),
        ('"0.5"', Decimal("0.5")),
        ('"1e5000"', None),
        ("true", None),
        ("1e-400", Decimal("1e-400")),  # rounding is for the price book
    ],
)
def test_only_a_plausible_cost_is_kept(cost: str, kept: Decimal | None) -> None:
    chunk = [("", f'{{"usage":{{"cost":{cost}}}}}')]
    assert read(dialect_of(target("openai_chat")), transcript(chunk)).usage.cost_usd == kept


@each(
    ("tokens", "kept"),
    [
        ("12", 12),
        ("12.0", 12),
        ("12.5", None),
        ("100000000", 100_000_000),  # the most we believe
        ("100000001", None),
        ("1e999999999", None),
        ("-1", None),
        ("false", None),
        ('"12"', 12),
        ('"twelve"', None),
        ("9" * 4000, None),
        ("9" * 5000, None),
    ],
)
def test_only_a_plausible_count_is_kept(tokens: str, kept: int | None) -> None:
    chunk = [("", f'{{"usage":{{"prompt_tokens":{tokens}}}}}')]
    assert read(dialect_of(target("openai_chat")), transcript(chunk)).usage.prompt_tokens == kept


@pytest.mark.parametrize("giant", ["9" * 5000, "-" + "9" * 5000, "1e99999999999999999999", "[9e9]"])
def test_a_number_no_computer_holds_costs_no_one_the_text_beside_it(giant: str) -> None:
    chunk = f'{{"seed":{giant},"choices":[{{"delta":{{"content":"Hi"}}}}],"usage":{{"cost":0.1}}}}'
    reply = read(dialect_of(target("openai_chat")), transcript([("", chunk)]))
    assert (reply.text, reply.malformed, reply.usage.cost_usd) == ("Hi", 0, Decimal("0.1"))


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "01", "9" * 5000 + ",NaN"])
def test_what_is_no_json_is_malformed_whatever_stands_beside_it(value: str) -> None:
    chunk = f'{{"choices":[{{"delta":{{"content":"Hi"}}}}],"seed":[{value}]}}'
    reply = read(dialect_of(target("openai_chat")), transcript([("", chunk)]))
    assert (reply.text, reply.malformed) == ("", 1)


def test_zero_tokens_beside_an_answer_are_not_believed() -> None:
    chunk = '{"choices":[{"delta":{"content":"Hi"}}],"usage":{"prompt_tokens":0}}'
    reply = read(dialect_of(target("openai_chat")), transcript([("", chunk)]))
    assert reply.usage == Usage()
    assert reply.faults == ("implausible prompt_tokens: 0 beside an answer",)


def test_head_cost_of_zero_is_not_a_cost() -> None:
    headers = {"x-litellm-response-cost": "0.0"}
    assert read(dialect_of(target("openai_chat")), transcript([], headers)).usage == Usage()


@each("name", [name for name in DIALECTS if name != "custom"])
def test_unknown_events_and_keys_are_skipped(name: str) -> None:
    dialect = dialect_of(target(name))
    reported = parse_event(
        dialect, StreamEvent(0, '{"type":"tomorrow","delta":7,"choices":{},"message":[]}', "new")
    )
    assert not reported.malformed
    assert (reported.text, reported.end, reported.error) == ("", False, None)


NAMES = """
    type data text error done delta content choices message usage model id response cost
    sequenceNumber timestamp prompt_tokens completion_tokens output_tokens input_tokens
    finish_reason openrouter_metadata endpoints available selected
    candidates parts thought promptFeedback blockReason usageMetadata promptTokenCount
    groundingMetadata groundingChunks event answer metadata retriever_resources process_data status
    code final start_to_think reference chunks messages usage_metadata response_metadata
    additional_kwargs citations sources billed_units tool_plan finishReason messageMetadata nodes
"""
KINDS = """
    text-delta source-url data-sources finish abort content-delta citation-start message-end ai
    human AIMessageChunk message agent_message message_end workflow_finished node_finished
"""
NAMED = ["", "error", "x", "messages", "messages/partial", "values", "updates", "data", "end"]
LINES = st.sampled_from(["0:", "2:", "3:", "8:", "d:", "g:", "h:"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(
        [
            *("", "Hi", "error", "done", "token", "message_stop", "\ud800", "1e9"),
            *KINDS.split(),
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=5)
    ),
    max_leaves=12,
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(NAMED),
        VALUES.map(json.dumps) | st.text() | st.builds(str.__add__, LINES, VALUES.map(json.dumps)),
    )
)


@pytest.mark.parametrize("name", list(DIALECTS))
@settings(max_examples=40)
@given(
    events=EVENTS,
    headers=st.dictionaries(st.sampled_from(["x-litellm-response-cost", "x"]), st.text()),
)
def test_nothing_a_server_sends_raises(
    name: str, events: list[tuple[str, str]], headers: dict[str, str]
) -> None:
    reply = read(dialect_of(target(name)), transcript(events, headers))
    assert len(reply.pieces) + reply.malformed + reply.extras <= len(events)
    assert all(value >= 0 for value in figures(reply.usage).values())


def test_custom_hears_names_data_and_headers() -> None:
    options = CUSTOM | {"text": "_event == 'say' && _data", "model": '_headers."x-model"'}
    dialect = dialect_of(target("custom", options=options))
    reply = read(dialect, transcript([("say", "plain words"), ("say", "7")], {"x-model": "m-2"}))
    assert reply.text == "plain words7"
    assert reply.claims == (Claim(ClaimKind.HEADER, "model", "m-2"),)


def test_custom_expression_that_does_not_fit_an_event_finds_nothing() -> None:
    dialect = dialect_of(target("custom", options=CUSTOM | {"text": "join('', parts)"}))
    events = [("", '{"status":1}'), ("", '{"parts":["a","b"]}'), ("", "{broken"), ("", "null")]
    reply = read(dialect, transcript(events))
    assert (reply.text, reply.malformed) == ("ab", 1)


@pytest.mark.search
def test_many_sources_and_many_deltas_take_time_in_proportion() -> None:
    lines = [("", 'h:{"score":0.5}')] * 20_000
    assert read(dialect_of(target("vercel_ai")), transcript(lines)).sources == RetrievedSources(
        20_000, 0.5
    )
    chunk = '[{"type":"AIMessageChunk","id":"1","content":"0123456789"},{}]'
    whole = read(dialect_of(target("langgraph")), transcript([("messages", chunk)] * 20_000))
    assert len(whole.text) == 200_000


@pytest.mark.parametrize(
    ("type_", "reported"),
    [
        ("text-delta", {"textDelta": "Hi"}),
        ("text-delta", {"text": "Hi"}),
        ("text", {"text": "Hi"}),
    ],
)
def test_routes_of_the_vercel_ai_sdk_may_send_their_full_stream(
    type_: str, reported: dict[str, str]
) -> None:
    event = json.dumps({"type": type_, **reported})
    assert read(dialect_of(target("vercel_ai")), transcript([("", event)])).text == "Hi"


def test_steps_of_a_ragflow_agent_are_no_answer() -> None:
    step = '{"code":0,"data":{"answer":"Retrieval is running...","running_status":true}}'
    assert read(dialect_of(target("ragflow")), transcript([("", step)])).text == ""
