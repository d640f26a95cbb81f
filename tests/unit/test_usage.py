"""Tokens and charges in every spelling, and the totals that decide between two readings."""

import json
import tomllib
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from monitor.dialects import dialect_of, read
from monitor.dialects.json_fields import parsed
from monitor.dialects.usage import usage
from monitor.domain import Usage
from tests.case_tables import each
from tests.example_transcripts import CUSTOM, target, transcript

FIGURES = ("prompt_tokens", "answer_tokens", "reasoning_tokens", "cached_tokens",
           "cache_write_tokens")  # fmt: skip


def tokens(event: str) -> list[int | None]:
    """Prompt, answer, reasoning, cached and written tokens of an event."""
    found = usage(parsed(event)) or Usage()
    return [getattr(found, name) for name in FIGURES]


def held(counts: str) -> str:
    return f'{{"usage":{{{counts}}}}}'


CHAT = '"prompt_tokens":20,"completion_tokens":5,"total_tokens":25'
SPELLINGS = {
    "OpenAI chat": (
        held(f'{CHAT},"prompt_tokens_details":{{"cached_tokens":8}},'
             '"completion_tokens_details":{"reasoning_tokens":3}'), [20, 5, 3, 8, None]),
    "OpenRouter cache write": (
        held(f'{CHAT},"prompt_tokens_details":{{"cached_tokens":0,"cache_write_tokens":9}}'),
        [20, 5, None, 0, 9]),
    "DeepSeek": (
        held(f'{CHAT},"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":12'),
        [20, 5, None, 8, None]),
    "Moonshot, Together": (held(f'{CHAT},"cached_tokens":8'), [20, 5, None, 8, None]),
    "Moonshot, in the choice": (
        f'{{"choices":[{{"delta":{{}},"usage":{{{CHAT},"cached_tokens":8}}}}]}}',
        [20, 5, None, 8, None]),
    "Azure DeepSeek": (held(f'{CHAT},"reasoning_tokens":3'), [20, 5, 3, None, None]),
    "LiteLLM": (
        held(f'{CHAT},"cache_read_input_tokens":8,"cache_creation_input_tokens":2'),
        [20, 5, None, 8, 2]),
    "Groq": (f'{{"x_groq":{{"id":"r","usage":{{{CHAT}}}}}}}', [20, 5, None, None, None]),
    "OpenAI responses": (
        '{"response":{"usage":{"input_tokens":20,"output_tokens":5,"total_tokens":25,'
        '"input_tokens_details":{"cached_tokens":8},'
        '"output_tokens_details":{"reasoning_tokens":3}}}}', [20, 5, 3, 8, None]),
    "Anthropic": (
        held('"input_tokens":10,"cache_read_input_tokens":8,"cache_creation_input_tokens":2,'
             '"output_tokens":5,"output_tokens_details":{"thinking_tokens":3}'), [20, 5, 3, 8, 2]),
    "Anthropic, cache by age": (
        held('"input_tokens":10,"output_tokens":5,"cache_creation":'
             '{"ephemeral_5m_input_tokens":6,"ephemeral_1h_input_tokens":4}'),
        [20, 5, None, None, 10]),
    "Gemini": (
        '{"usageMetadata":{"promptTokenCount":18,"toolUsePromptTokenCount":2,"candidatesTokenCount"'
        ':2,"thoughtsTokenCount":3,"cachedContentTokenCount":8,"totalTokenCount":25}}',
        [20, 5, 3, 8, None]),
    "Gemini, thoughts only": (
        '{"usageMetadata":{"promptTokenCount":20,"thoughtsTokenCount":5,"totalTokenCount":25}}',
        [20, 5, 5, None, None]),
    "Bedrock Converse": (
        '{"metadata":{"usage":{"inputTokens":10,"outputTokens":5,"totalTokens":25,'
        '"cacheReadInputTokens":8,"cacheWriteInputTokens":2}}}', [20, 5, None, 8, 2]),
    "Bedrock InvokeModel": (
        '{"amazon-bedrock-invocationMetrics":{"inputTokenCount":20,"outputTokenCount":5}}',
        [20, 5, None, None, None]),
    "Vercel AI SDK": (
        '{"type":"finish","totalUsage":{"inputTokens":20,"outputTokens":5,"totalTokens":25,'
        '"reasoningTokens":3,"cachedInputTokens":8}}', [20, 5, 3, 8, None]),
    "Vercel AI SDK 4": (held('"promptTokens":20,"completionTokens":5'), [20, 5, None, None, None]),
    "LangChain": (
        '{"usage_metadata":{"input_tokens":20,"output_tokens":5,"total_tokens":25,'
        '"input_token_details":{"cache_read":8},"output_token_details":{"reasoning":3}}}',
        [20, 5, 3, 8, None]),
    "Cohere, billed": (
        '{"delta":{"usage":{"billed_units":{"input_tokens":20,"output_tokens":5},'
        '"tokens":{"input_tokens":510,"output_tokens":7},"cached_tokens":448}}}',
        [20, 5, None, None, None]),
    "Ollama": ('{"done":true,"prompt_eval_count":20,"eval_count":5}', [20, 5, None, None, None]),
    "watsonx": (
        '{"results":[{"input_token_count":20,"generated_token_count":5}]}',
        [20, 5, None, None, None]),
    "Replicate": (
        '{"metrics":{"input_token_count":20,"output_token_count":5}}', [20, 5, None, None, None]),
    "counts as text": (
        held('"prompt_tokens":"20","completion_tokens":5.0'), [20, 5, None, None, None]),
    "null and a text": ('{"usage":null,"message":{"usage":"none"}}', [None] * 5),
}  # fmt: skip


@each("spelling", SPELLINGS)
def test_tokens_are_read_in_every_spelling(spelling: str) -> None:
    event, expected = SPELLINGS[spelling]
    assert tokens(event) == expected
    assert (usage(parsed(event)) or Usage()).faults == ()


@each(
    ("counts", "expected", "fault"),
    [
        # prompt, completion, total, reasoning, cached → prompt, answer
        ((12, 400, 702, 290, None), [12, 690], None),  # beside: xAI
        ((12, 1, 303, 290, 11), [12, 291], None),
        ((12, 400, 412, 290, None), [12, 400], None),  # inside: OpenAI
        ((12, 400, None, 290, None), [12, 400], None),
        ((12, 0, 12, 0, 0), [12, 0], None),
        ((7, 8, 176, None, 161), [168, 8], None),  # cached beside, and the total holds it
        ((7, 8, 15, None, 161), [168, 8], "total of 15 tokens: the parts add up to 176"),
        ((12, 400, 500, 290, None), [12, 400], "total of 500 tokens: the parts add up to 412"),
        ((7, 8, 466, 290, 161), [168, 298], None),  # both beside
        ((12, 1, None, 290, None), [12, 291], None),  # larger than the answer: beside it
        ((12, 10, 22, 11, None), [12, 10], None),  # the total says within: dropped and named
        ((12, 400, 500, None, None), [12, 488], None),  # thinking that the total alone holds
        ((12, 400, 500, 0, 8), [12, 488], None),
        ((-1, 8, 15, None, 161), [160, 8], "total of 15 tokens: the parts add up to 169"),
    ],
)
def test_the_total_decides_what_holds_what(
    counts: tuple[int | None, ...], expected: list[int], fault: str | None
) -> None:
    prompt, completion, total, reasoning, cached = counts
    event = {"usage": {
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
        "prompt_tokens_details": {"cached_tokens": cached},
    }}  # fmt: skip
    found = usage(event)
    assert found is not None
    assert [found.prompt_tokens, found.answer_tokens] == expected
    assert found.faults == (() if fault is None else (fault,))


def test_gemini_thoughts_that_the_total_holds_within_the_answer_are_not_added() -> None:
    counts = '"promptTokenCount":20,"candidatesTokenCount":5,"thoughtsTokenCount":3'
    assert tokens(f'{{"usageMetadata":{{{counts},"totalTokenCount":25}}}}')[:3] == [20, 5, 3]


@each(
    ("charge", "usd", "upstream"),
    [
        ('"cost":0.000123', "0.000123", None),
        ('"cost":"0.000123"', "0.000123", None),
        ('"cost":"$0.000123"', "0.000123", None),
        ('"cost":"0.000123 USD"', "0.000123", None),
        ('"cost":{"total":"0.001","currency":"USD"}', "0.001", None),
        ('"cost":{"input_tokens_cost":0.001,"output_tokens_cost":0.002,"request_cost":0.005,'
         '"total_cost":0.008}', "0.008", None),
        ('"cost":{"input_tokens_cost":0.001,"output_tokens_cost":0.002}', "0.003", None),
        ('"cost_in_usd_ticks":1466250', "0.000146625", None),
        ('"estimated_cost":0.5', "0.5", None),
        ('"total_price":"0.0013","currency":"USD"', "0.0013", None),
        ('"cost":0.02,"is_byok":false,"cost_details":{"upstream_inference_cost":0.02}',
         "0.02", "0.02"),
        ('"cost":0.001,"is_byok":true,"cost_details":{"upstream_inference_cost":0.02}',
         "0.021", "0.02"),
        ('"cost":0,"is_byok":true,"cost_details":{"upstream_inference_cost":0.02}', "0", "0.02"),
        ('"cost":"€0"', "0", None),
        ('"cost":"US$ 0.01"', "0.01", None),
        ('"cost":"0,0123"', "0.0123", None),
        ('"cost":"0,01 USD"', "0.01", None),
        ('"cost":"$1,234.50"', "1234.50", None),
        ('"cost":"1.234,50 USD"', "1234.50", None),
        ('"cost":"1.5e-05 dollars"', "0.000015", None),
        ('"cost":{"units":"1","nanos":500000000,"currencyCode":"USD"}', "1.5", None),
        ('"cost":{"total":"$0.01"}', "0.01", None),
        ('"cost_nano_usd":12300', "0.0000123", None),
        ('"cost_micros":"12.3"', "0.0000123", None),
        ('"cost_cents":1.5', "0.015", None),
        ('"cost":0.001,"is_byok":false,"cost_details":{"upstream_inference_cost":null,'
         '"upstream_inference_prompt_cost":0.0004,"upstream_inference_completions_cost":0.0006}',
         "0.001", None),
        ('"cost":true', None, None),
        ('"cost":{}', None, None),
        ('"cost":"free"', None, None),
    ],
)  # fmt: skip
def test_a_charge_is_exact_in_every_form(
    charge: str, usd: str | None, upstream: str | None
) -> None:
    found = usage(parsed(held(f"{CHAT},{charge}"))) or Usage()
    stated = [None if text is None else Decimal(text) for text in (usd, upstream)]
    assert [found.cost_usd, found.upstream_cost_usd] == stated
    assert (found.prompt_tokens, found.faults) == (20, ())


@each(
    ("charge", "fault"),
    [
        ('"cost":{"total":"0.02","currency":"EUR"}', "charge of 0.02 EUR is not in USD"),
        ('"cost":"0.02 EUR"', "charge of 0.02 EUR is not in USD"),
        ('"total_price":"0.2","currency":"RMB"', "charge of 0.2 RMB is not in USD"),
        ('"cost":"0,02 €"', "charge of 0.02 € is not in USD"),
        ('"cost":"¥0.2"', "charge of 0.2 ¥ is not in USD"),
        ('"cost":{"units":"0","nanos":1,"currencyCode":"EUR"}', "charge of 1E-9 EUR is not in USD"),
        ('"cost":"1,234"', "charge of 1,234 cannot be read"),  # a thousand, or one and a bit
        ('"cost":"NaN"', "charge of NaN is not an amount"),
        ('"cost":"-inf"', "charge of -inf is not an amount"),
        ('"cost":"1.2.3"', "charge of 1.2.3 cannot be read"),
    ],
)
def test_what_is_no_amount_of_usd_is_no_charge_and_is_flagged(charge: str, fault: str) -> None:
    found = usage(parsed(held(f"{CHAT},{charge}"))) or Usage()
    assert (found.cost_usd, found.faults) == (None, (fault,))


@pytest.mark.parametrize(
    ("charge", "fault"),
    [
        ('"cost":-0.01', "implausible cost_usd: -0.01"),
        ('"cost":"-$0.01"', "implausible cost_usd: -0.01"),
        ('"cost":"$-0.01"', "implausible cost_usd: -0.01"),
        ('"cost":1e400', "implausible cost_usd: 1E+400"),
        ('"cost":"99999"', "implausible cost_usd: 99999"),
        ('"cost_in_usd_ticks":-5', "implausible cost_usd: -5E-10"),
        ('"cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":-1}',
         "implausible upstream_cost_usd: -1"),
    ],
)  # fmt: skip
def test_negative_and_huge_charges_are_dropped_and_named(charge: str, fault: str) -> None:
    dialect = dialect_of(target("openai_chat"))
    reply = read(dialect, transcript([("", held(f"{CHAT},{charge}")), ("", "[DONE]")]))
    assert fault in reply.faults
    assert reply.usage.prompt_tokens == 20


def anthropic(start: str, *deltas: str) -> Usage:
    """The usage of a message of Anthropic's format."""
    reported = [f'{{"type":"message_start","message":{{"usage":{{{start}}}}}}}',
            *(f'{{"type":"message_delta","usage":{{{delta}}}}}' for delta in deltas),
            '{"type":"message_stop"}']  # fmt: skip
    dialect = dialect_of(target("anthropic_messages"))
    return read(dialect, transcript([("", one) for one in reported])).usage


CACHED = '"input_tokens":10,"cache_read_input_tokens":8,"cache_creation_input_tokens":4'
HOUR = ',"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":3}'


@pytest.mark.parametrize(
    ("start", "deltas", "expected"),
    [
        (CACHED, ['"output_tokens":5'], [22, 5, None, 8, 4]),
        (CACHED, ['"input_tokens":10,"output_tokens":5'], [22, 5, None, 8, 4]),
        (CACHED, [f'{CACHED},"output_tokens":5'], [22, 5, None, 8, 4]),
        (CACHED, ['"input_tokens":12,"output_tokens":3', '"input_tokens":12,"output_tokens":5'],
         [24, 5, None, 8, 4]),
        (CACHED, ['"input_tokens":22,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,'
                  '"output_tokens":5'], [22, 5, None, 0, 0]),
        ('"input_tokens":10', ['"cache_read_input_tokens":8,"output_tokens":5'],
         [18, 5, None, 8, None]),
        ('"input_tokens":0,"output_tokens":0', [f'{CACHED},"output_tokens":5'],
         [22, 5, None, 8, 4]),
    ],
)  # fmt: skip
def test_counts_of_several_events_are_merged_before_they_are_added_up(
    start: str, deltas: list[str], expected: list[int | None]
) -> None:
    found = anthropic(start, *deltas)
    assert [getattr(found, name) for name in FIGURES] == expected


def test_tokens_kept_an_hour_in_the_cache_are_distinguished() -> None:
    found = anthropic(CACHED + HOUR, '"input_tokens":10,"output_tokens":5')
    assert (found.cache_write_tokens, found.cache_write_1h_tokens) == (4, 3)
    # the later event states what was written, and not for how long
    found = anthropic(CACHED + HOUR, f'{CACHED},"output_tokens":5')
    assert (found.cache_write_tokens, found.cache_write_1h_tokens) == (4, 3)


def test_a_total_of_earlier_counts_says_nothing_of_later_ones() -> None:
    chunks = [held(CHAT), held('"completion_tokens":7'), "[DONE]"]
    reply = read(dialect_of(target("openai_chat")), transcript([("", one) for one in chunks]))
    assert (reply.usage.prompt_tokens, reply.usage.answer_tokens, reply.faults) == (20, 7, ())


def test_a_charge_beside_the_usage_is_received() -> None:
    found = usage(parsed(f'{{"usage":{{{CHAT}}},"cost":{{"total":"0.001","currency":"USD"}}}}'))
    assert found is not None
    assert (found.prompt_tokens, found.cost_usd) == (20, Decimal("0.001"))


def test_only_the_last_usage_of_a_stream_is_flagged() -> None:
    def chunk(total: int) -> tuple[str, str]:
        return "", held(f'"prompt_tokens":20,"completion_tokens":5,"total_tokens":{total}')

    dialect = dialect_of(target("openai_chat"))
    assert read(dialect, transcript([chunk(1), chunk(25)])).faults == ()
    fault = "total of 1 tokens: the parts add up to 25"
    assert read(dialect, transcript([chunk(25), chunk(1)])).faults == (fault,)


def test_the_total_decides_for_a_custom_dialect_too() -> None:
    names = {"prompt_tokens": "p", "answer_tokens": "a", "reasoning_tokens": "r",
             "total_tokens": "n"}  # fmt: skip
    dialect = dialect_of(target("custom", options=CUSTOM | {"usage": names}))
    event = json.dumps({"done": True, "p": 12, "a": 400, "r": 290, "n": 702})
    assert read(dialect, transcript([("", event)])).usage.answer_tokens == 690


SAMPLES = [
    json.loads(line, parse_float=Decimal)
    for line in (Path(__file__).parent / "samples/usage.jsonl").read_text("utf-8").splitlines()
]
SHORT = {
    "prompt": "prompt_tokens", "answer": "answer_tokens", "reasoning": "reasoning_tokens",
    "cached": "cached_tokens", "written": "cache_write_tokens",
    "written_1h": "cache_write_1h_tokens", "cost": "cost_usd", "upstream": "upstream_cost_usd",
}  # fmt: skip


@each("sample", SAMPLES, ids=lambda sample: sample["vendor"])
def test_usage_as_vendors_document_it(sample: dict[str, Any]) -> None:
    found = usage(sample["event"]) or Usage()
    faults = sample["expected"].pop("faults", [])
    expected = {
        SHORT[name]: Decimal(value) if isinstance(value, str) else value
        for name, value in sample["expected"].items()
    }
    assert {name: getattr(found, name) for name in SHORT.values()} == dict.fromkeys(
        SHORT.values()
    ) | expected
    assert list(found.faults) == faults
    assert sample["source"].startswith("https://")


def rows() -> list[dict[str, Any]]:
    text = files("monitor.dialects").joinpath("usage.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)
    return [*found["format"], *found["charge"]]


def test_every_row_names_its_vendors_and_where_it_was_read() -> None:
    assert len(rows()) > 20
    assert all(row["vendors"] and row["source"].startswith("https://") for row in rows())
