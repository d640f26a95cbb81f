"""Aliases that providers move are explained as such."""

import tomllib
from importlib.resources import files

import pytest

from monitor.domain import Claim, ClaimKind, Identity
from monitor.identity.judge import judge_disclosure


def judged(expected: str, answered: str) -> tuple[Identity, str]:
    who = judge_disclosure([Claim(ClaimKind.FIELD, "model", answered)], expected=[expected])
    return who.identity, who.reason


@pytest.mark.parametrize(
    ("expected", "answered"),
    [
        ("deepseek-chat", "deepseek-v4-flash"),
        ("deepseek/deepseek-reasoner", "deepseek/deepseek-v4-flash"),
        ("deepseek-v4-pro", "DeepSeek-V4.1-Flash"),
        ("chatgpt-4o-latest", "gpt-4o-2024-11-20"),
        ("kimi-latest", "kimi-k2.6"),
        ("gpt-5-chat-latest", "gpt-5-2025-08-07"),
        ("openrouter/auto", "openai/gpt-5"),
    ],
)
def test_an_alias_that_its_provider_moved_is_named_in_the_reason(
    expected: str, answered: str
) -> None:
    identity, reason = judged(expected, answered)
    assert identity is Identity.FALLBACK
    assert f"the provider serves alias {expected} with {answered}" in reason


@pytest.mark.parametrize(
    ("expected", "answered"),
    [("compound-beta", "groq/compound"), ("groq/compound-beta-mini", "groq/compound-mini")],
)
def test_a_model_that_its_provider_renamed_is_the_expected_one(
    expected: str, answered: str
) -> None:
    assert judged(expected, answered) == (
        Identity.EXPECTED, f"model names {answered}, which is the new name of {expected}.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "answered"),
    [
        ("deepseek-chat", "claude-haiku-4-5"),
        ("deepseek-chat", "deepseek-v4-pro"),
        ("claude-3-5-sonnet-latest", "gpt-4o"),
        ("gpt-4o", "gpt-4o-mini"),
    ],
)
def test_another_model_is_not_explained_by_an_alias(expected: str, answered: str) -> None:
    identity, reason = judged(expected, answered)
    assert identity is Identity.FALLBACK
    assert "alias" not in reason


def test_every_alias_names_where_it_was_read() -> None:
    text = (
        files("monitor.identity.model_names").joinpath("aliases.toml").read_text(encoding="utf-8")
    )
    aliases = tomllib.loads(text)["alias"]
    assert len(aliases) > 10
    assert all(alias["served"] and alias["source"].startswith("https://") for alias in aliases)
