"""Model names: which model is meant, and whether two names mean the same."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from monitor.identity.model_names.compare import parse, same
from monitor.identity.model_names.parse import ReleaseDate
from tests.case_tables import each

SAMPLES = Path(__file__).parent / "samples" / "model_names.jsonl"
PAIRS = [tuple(json.loads(line).values()) for line in SAMPLES.read_text().splitlines()]


def test_names_mean_the_same_model_or_another() -> None:
    assert len(PAIRS) > 300
    assert not [pair for *pair, alike in PAIRS if same(*pair) is not alike]


@each(
    ("name", "parts"),
    [
        (
            "us.anthropic.claude-3-5-haiku-20241022-v1:0",
            {
                "vendor": "anthropic",
                "family": "claude",
                "generation": "3.5",
                "tier": {"haiku"},
                "date": ReleaseDate(24, 10, 22),
            },
        ),
        ("Claude Haiku 4.5", {"family": "claude", "generation": "4.5", "tier": {"haiku"}}),
        ("claude-opus-4-0", {"family": "claude", "generation": "4", "tier": {"opus"}}),
        (
            "meta-llama/Llama-4-Scout-17B-16E-Instruct",
            {
                "vendor": "meta",
                "family": "llama",
                "generation": "4",
                "tier": {"scout"},
                "size": "17b",
                "experts": "16e",
            },
        ),
        (
            "accounts/fireworks/models/llama-v3p1-8b-instruct",
            {"family": "llama", "generation": "3.1", "size": "8b", "tier": set()},
        ),
        (
            "Qwen3-30B-A3B-FP8",
            {"family": "qwen", "generation": "3", "size": "30b", "active": "a3b"},
        ),
        ("gpt-35-turbo", {"family": "gpt", "generation": "3.5", "tier": {"turbo"}}),
        (
            "gpt-4o-mini-2024-07-18",
            {"family": "gpt", "generation": "4o", "tier": {"mini"}, "date": ReleaseDate(24, 7, 18)},
        ),
        ("openai/o3-mini-high", {"family": "o", "generation": "3", "tier": {"mini"}}),
        (
            "deepseek-chat-v3-0324",
            {
                "family": "deepseek",
                "generation": "3",
                "tier": {"chat"},
                "date": ReleaseDate(None, 3, 24),
            },
        ),
        ("deepseek-reasoner", {"family": "deepseek", "generation": None, "tier": {"r"}}),
        (
            "deepseek-r1-distill-llama-70b",
            {
                "family": "deepseek",
                "generation": "1",
                "size": "70b",
                "tier": {"r", "distill", "llama"},
            },
        ),
        ("mistral-small-2503", {"family": "mistral", "date": ReleaseDate(25, 3, None)}),
        ("command-r-plus-08-2024", {"family": "command", "date": ReleaseDate(24, 8, None)}),
        ("gemini-2.5-flash-preview-05-20", {"family": "gemini", "date": ReleaseDate(None, 5, 20)}),
        ("gemini-1.5-pro-002", {"family": "gemini", "revision": "002"}),
        ("mixtral-8x7b-32768", {"family": "mixtral", "size": "8x7b", "context": "32768"}),
        ("acme/falconer-9", {"vendor": "acme", "family": None, "tier": {"falconer"}}),
    ],
)
def test_a_name_falls_into_its_parts(name: str, parts: dict[str, object]) -> None:
    parsed = parse(name)
    assert {part: getattr(parsed, part) for part in parts} == parts


@each(
    ("one", "other"),
    [
        ("haiku", "claude-3-5-haiku-20241022"),  # a group of that name may hold anything
        ("default", "gpt-4o"),
        ("", ""),
        ("claude", "claude-haiku-4-5"),  # a family is not a model
        ("llama-4", "llama-4-scout"),  # nor is a generation
        ("mistral-large-2411", "mistral-large-3"),  # a date against a number
        ("acme/falconer-9", "contoso/falconer-9"),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/a1b2c3", "claude-haiku-4-5"),
    ],
)
def test_the_model_is_unknown(one: str, other: str) -> None:
    assert same(one, other) is None
    assert same(other, one) is None


@each(
    ("name", "model"),
    [
        ("meta-llama/llama-4-scout", True),
        ("llama-scout", True),
        ("Claude Haiku 4.5", True),
        ("stealth/crouton-alpha", True),
        ("haiku", False),
        ("N/A", False),
        ("azure/my-deployment", False),  # a host's, so nobody knows whose
        ("claude", False),
        ("prod-chat", False),
        ("openrouter/auto", False),
        ("nova-assistant", False),  # a persona may be called so
        ("llama-4-scout-fallback", False),
        ("llama-4-scout-error", False),
        ("", False),
    ],
)
def test_roles_groups_and_failures_are_no_models(name: str, model: bool) -> None:
    assert parse(name).model is model


def test_a_listing_a_few_days_later_is_the_same_release() -> None:
    released = "claude-sonnet-4-20250514"
    assert same(released, "claude-4-sonnet-20250522") is True
    assert same(released, "claude-4-sonnet-20250524") is True  # ten days
    assert same(released, "claude-4-sonnet-20250525") is False


NAMES = st.sampled_from(sorted({name for one, other, _ in PAIRS for name in (one, other)}))
UNDATED = st.sampled_from(
    ["claude-haiku-4-5", "gpt-4o-mini", "gemini-2.5-flash", "meta-llama/llama-4-scout",
     "llama-3.3-70b-instruct", "mistral-large-2411", "deepseek-chat-v3.1", "qwen3-30b-a3b",
     "grok-4-fast", "command-r-plus", "kimi-k2-thinking", "glm-4.5-air", "acme/falconer-9b"]
)  # fmt: skip
PREFIXES = st.sampled_from(
    ["openrouter/", "groq/", "azure/", "litellm_proxy/", "bedrock/", "vertex_ai/", "~"]
)
SUFFIXES = st.sampled_from(
    [":free", ":nitro", ":thinking", ":floor", "-fp8", "-AWQ", "-GPTQ-INT4", "-bf16", "-latest",
     "@latest", "-it", "-hf", "-Q4_K_M"]
)  # fmt: skip


@given(one=st.one_of(NAMES, st.text(max_size=40)), other=st.one_of(NAMES, st.text(max_size=40)))
def test_sameness_is_symmetric(one: str, other: str) -> None:
    assert same(one, other) is same(other, one)


@given(name=st.one_of(NAMES, st.text(max_size=40)))
def test_every_name_is_the_same_as_itself(name: str) -> None:
    assert same(name, name) is (True if name.strip() else None)


@given(name=NAMES)
def test_case_does_not_matter(name: str) -> None:
    assert same(name, name.upper()) is True


@given(name=st.text(max_size=400))
def test_no_string_is_an_error(name: str) -> None:
    assert same(name, name) is not False
    assert parse(name) == parse(name)


@given(name=UNDATED, prefix=PREFIXES, suffix=SUFFIXES)
def test_noise_around_a_name_changes_nothing(name: str, prefix: str, suffix: str) -> None:
    assert same(name, f"{prefix}{name}{suffix}") is True
    assert same(f"{name}{suffix}", f"{prefix}{name}") is True


@given(one=NAMES, other=NAMES, suffix=SUFFIXES)
def test_noise_never_makes_two_models_one(one: str, other: str, suffix: str) -> None:
    if same(one, other) is False:
        assert same(f"{one}{suffix}", other) is not True


@each(("name", "known"), [
    ("reka-flash", True),
    ("rekaai/reka-flash-3:free", True),
    ("grok-beta", True),
    ("x-ai/grok-vision-beta", True),
    ("grok-2-vision", True),
    ("dbrx-instruct", True),
    ("inflection-3-pi", True),
    ("helpdesk-v1", False),
    ("default", False),
    ("reka", False),
    ("flash", False),
])  # fmt: skip
def test_a_name_of_a_known_model_is_no_name_of_a_services_own(name: str, known: bool) -> None:
    assert parse(name).known is known
