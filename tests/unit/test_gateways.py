"""What gateways disclose: headers by the table, and the routing of Vercel's gateway."""

import json
import tomllib
from decimal import Decimal
from importlib.resources import files
from typing import Any

import pytest

from monitor.dialects import dialect_of, read
from monitor.domain import Identity, IdentityJudgement, Reply
from monitor.identity.claims import FALLBACK_COUNTS
from monitor.identity.judge import judge_disclosure
from tests.case_tables import each
from tests.example_transcripts import target, transcript

EXPECTED, HAIKU = "openai/gpt-4o", "claude-haiku-4-5-20251001"


def rows() -> list[dict[str, Any]]:
    text = files("monitor.dialects").joinpath("gateways.toml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = tomllib.loads(text)["gateway"]
    return found


def heard(headers: dict[str, str], *chunks: dict[str, Any]) -> Reply:
    events = [("", json.dumps(chunk)) for chunk in chunks or ({"model": "gpt-4o"},)]
    return read(dialect_of(target("openai_chat")), transcript(events, headers))


def who(headers: dict[str, str], *chunks: dict[str, Any]) -> IdentityJudgement:
    claims = heard(headers, *chunks).claims
    return judge_disclosure(claims, expected=[EXPECTED], fallbacks=["anthropic/claude-haiku-4-5"])


@pytest.mark.parametrize(
    "header",
    ["x-litellm-model-name", "cf-aig-model", "ngrok-aig-model", "x-kong-llm-model",
     "x-bifrost-routing-info-model", "x-bifrost-resolved-model", "x-tfy-resolved-model"],
)  # fmt: skip
def test_a_header_that_names_the_served_model_outweighs_the_repeated_name(header: str) -> None:
    fell = who({header: "claude-haiku-4-5"})
    assert (fell.identity, fell.model) == (Identity.FALLBACK, "claude-haiku-4-5")
    assert who({header: "gpt-4o"}).identity is Identity.EXPECTED


@pytest.mark.parametrize("header", sorted(FALLBACK_COUNTS))
def test_a_count_of_failed_targets_is_a_fallback_unless_the_answer_names_the_expected_model(
    header: str,
) -> None:
    unnamed = {"choices": [{"delta": {"content": "Hi"}}]}
    assert who({header: "1"}, unnamed).identity is Identity.FALLBACK
    assert who({header: "1"}, {"model": "claude-haiku-4-5"}).identity is Identity.FALLBACK
    assert who({header: "1"}).identity is Identity.EXPECTED
    assert who({header: "0"}).identity is Identity.EXPECTED
    assert who({header: "0"}, unnamed).identity is Identity.UNKNOWN


def test_a_count_decides_where_the_body_is_not_trusted() -> None:
    claims = heard({"cf-aig-step": "1"}).claims
    judged = judge_disclosure(claims, expected=[EXPECTED], fallbacks=[HAIKU], untrusted=["model"])
    assert (judged.identity, judged.model) == (Identity.FALLBACK, HAIKU)


@each(
    ("charge", "usd", "faults"),
    [
        ("0.0000123", "0.0000123", ()),
        ("1.23e-05", "0.0000123", ()),
        ("$0.01", "0.01", ()),
        ("0.0", None, ()),
        ("None", None, ()),
        ("nan", None, ("charge of nan is not an amount",)),
        ("-0.5", None, ("implausible cost_usd: -0.5",)),
        ("0.01 EUR", None, ("charge of 0.01 EUR is not in USD",)),
    ],
)
def test_a_charge_in_a_header_is_read_like_any_other(
    charge: str, usd: str | None, faults: tuple[str, ...]
) -> None:
    reply = heard({"x-litellm-response-cost": charge}, {"choices": [{"delta": {"content": "Hi"}}]})
    assert reply.usage.cost_usd == (None if usd is None else Decimal(usd))
    assert reply.faults == faults


@pytest.mark.parametrize(
    "header", ["cf-aig-provider", "x-portkey-provider", "x-portkey-last-used-option-index"]
)
def test_where_a_model_ran_is_kept_and_never_weighed(header: str) -> None:
    headers = {header: "anthropic"}
    assert (("host", header, "anthropic")) in [
        (claim.kind.value, claim.source, claim.value) for claim in heard(headers).claims
    ]
    assert who(headers) == who({})


def test_of_several_names_in_headers_of_one_gateway_the_first_of_the_table_counts() -> None:
    headers = {
        "x-bifrost-resolved-model": "gpt-4o",
        "x-bifrost-routing-info-server-side-fallback-model": "claude-haiku-4-5",
    }
    assert who(headers).identity is Identity.FALLBACK


def test_vercels_gateway_names_the_resolved_model_and_its_charge() -> None:
    routing = {
        "resolvedProviderApiModelId": "claude-haiku-4-5-20251001",
        "finalProvider": "bedrock",
    }
    metadata = {"gateway": {"routing": routing, "cost": "0.0013"}}
    chunks = [
        {"model": "gpt-4o", "choices": [{"delta": {"content": "Hi"}}]},
        {"choices": [{"delta": {"provider_metadata": metadata}, "finish_reason": "stop"}]},
    ]
    fell = who({}, *chunks)
    assert (fell.identity, fell.model) == (Identity.FALLBACK, HAIKU)
    assert heard({}, *chunks).usage.cost_usd == Decimal("0.0013")


def test_the_table_agrees_with_what_is_weighed_and_names_its_sources() -> None:
    counts = [header for row in rows() for header in row.get("fallbacks", ())]
    assert set(counts) == FALLBACK_COUNTS
    assert all(row["name"] and row["source"].startswith("https://") for row in rows())
