"""Who answered one probe: claims weighed against each other."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import Claim, ClaimKind, Evidence, Identity, IdentityJudgement, TextDelta
from monitor.identity import SelfIdHistory, self_id_history
from monitor.identity.judge import judge_disclosure
from tests.case_tables import each
from tests.unit.test_switch import WELCOME, ZANTARA, stream

SCOUT = "meta-llama/llama-4-scout"
HAIKU = "anthropic/claude-3-5-haiku-20241022"
KINDS = {kind.value: kind for kind in ClaimKind}


def claims(*notified: str) -> list[Claim]:
    """`kind source=value`, as in `field model=gpt-4o`."""
    parted = (text.split(" ", 1) for text in notified)
    return [Claim(KINDS[kind], *rest.split("=", 1)) for kind, rest in parted]


def who(*notified: str, text: str = "", **options: Any) -> IdentityJudgement:
    given = {"expected": [SCOUT], "fallbacks": [HAIKU], "pieces": [TextDelta(0, text)], **options}
    return judge_disclosure(claims(*notified), **given)


@each(
    ("notified", "identity", "model"),
    [
        ([], "unknown", None),
        # one name
        (["field model=meta-llama/Llama-4-Scout-17B-16E-Instruct"], "expected",
         "meta-llama/Llama-4-Scout-17B-16E-Instruct"),
        (["field model=claude-3-5-haiku-20241022"], "fallback", "claude-3-5-haiku-20241022"),
        (["sibling model_used=us.anthropic.claude-3-5-haiku-20241022-v1:0"], "fallback",
         "us.anthropic.claude-3-5-haiku-20241022-v1:0"),
        (["field model=gpt-4o-mini"], "fallback", "gpt-4o-mini"),  # neither, but another model
        (["field model=stealth/crouton-alpha"], "fallback", "stealth/crouton-alpha"),
        (["header ngrok-aig-model=claude-haiku-4-5"], "fallback", "claude-haiku-4-5"),
        # no names of models
        (["field model=haiku"], "unknown", None),
        (["field model=zantara"], "unknown", None),
        (["field model=llama-4"], "unknown", None),
        (["field model=llama-4-scout-baliprod"], "unknown", None),  # a deployment's name
        (["sibling model_used=llama-4-scout-fallback", "sibling ai_used=llama-scout"],
         "unknown", None),
        (["sibling model_used=llama-4-scout-error", "sibling ai_used=haiku"], "unknown", None),
        (["field model=llama-4-scout", "sibling model_used=llama-4-scout-error"],
         "unknown", None),
        # ids corroborate, and no more
        (["header id=gen-1762470000-abc"], "unknown", None),
        (["header id=msg_01XFDUDYJgAACzvnptvVoYEL"], "unknown", None),
        (["header id=chatcmpl-1", "field model=llama-4-scout"], "expected", "llama-4-scout"),
        (["header id=msg_01", "field model=llama-4-scout"], "expected", "llama-4-scout"),
        # a gateway that fell back
        (["header x-litellm-model-name=anthropic/claude-3-5-haiku-20241022",
          "header x-litellm-model-group=haiku", "header x-litellm-attempted-fallbacks=1",
          "field model=haiku"], "fallback", "anthropic/claude-3-5-haiku-20241022"),
        (["header x-litellm-attempted-fallbacks=1"],
         "fallback", HAIKU),  # nothing names a model; one fallback is declared
        (["header x-litellm-attempted-fallbacks=1", "field model=llama"], "fallback", HAIKU),
        # a gateway that fell back to another route of the expected model
        (["header x-litellm-attempted-fallbacks=1", "field model=llama-4-scout"],
         "expected", "llama-4-scout"),
        (["header cf-aig-step=2", "field model=meta-llama/llama-4-scout-17b-16e-instruct"],
         "expected", "meta-llama/llama-4-scout-17b-16e-instruct"),
        (["header helicone-fallback-index=1", "field model=llama-4-scout"],
         "expected", "llama-4-scout"),
        (["header x-bifrost-fallback-index=1", "sibling model_used=llama-4-scout"],
         "expected", "llama-4-scout"),
        (["header x-litellm-attempted-fallbacks=1",
          "header x-litellm-model-group=llama-4-scout"], "expected", "llama-4-scout"),
        # and to another model
        (["header cf-aig-step=1", "field model=claude-3-5-haiku"], "fallback", "claude-3-5-haiku"),
        (["header cf-aig-step=1", "field model=llama-4-scout",
          "header cf-aig-model=claude-3-5-haiku"], "fallback", "claude-3-5-haiku"),
        (["header cf-aig-step=1", "field model=llama-4-scout", "sibling fallback=claude-3-5-haiku"],
         "fallback", "claude-3-5-haiku"),
        (["header helicone-fallback-index=1", "header id=chatcmpl-1"], "fallback", HAIKU),
        (["header x-litellm-model-name=groq/llama-4-scout",
          "header x-litellm-attempted-fallbacks=2"], "expected", "groq/llama-4-scout"),
        (["header x-litellm-attempted-fallbacks=0"], "unknown", None),
        (["header x-litellm-attempted-fallbacks=none"], "unknown", None),
        (["header x-litellm-model-id=5d3f0c9a", "header x-litellm-model-group=llama-4-scout"],
         "expected", "llama-4-scout"),
        # contradictions
        (["header ngrok-aig-model=llama-4-scout", "field model=claude-3-5-haiku"],
         "disputed", "llama-4-scout"),
        (["sibling model_used=llama-4-scout", "field model=claude-3-5-haiku"],
         "disputed", "llama-4-scout"),
        (["header ngrok-aig-model=claude-3-5-haiku", "sibling model_used=llama-4-scout"],
         "disputed", "claude-3-5-haiku"),
        (["header ngrok-aig-model=claude-3-5-haiku", "field model=llama-4-scout"],
         "fallback", "claude-3-5-haiku"),
        # a receipt decides alone
        (["receipt openrouter generation=meta-llama/llama-4-scout-17b-16e-instruct",
          "field model=claude-3-5-haiku", "header ngrok-aig-model=claude-3-5-haiku"],
         "expected", "meta-llama/llama-4-scout-17b-16e-instruct"),
        (["receipt openrouter generation=anthropic/claude-3.5-haiku",
          "header ngrok-aig-model=llama-4-scout"], "fallback", "anthropic/claude-3.5-haiku"),
        (["receipt one=llama-4-scout", "receipt two=claude-3-5-haiku"], "disputed",
         "claude-3-5-haiku"),
    ],
)  # fmt: skip
def test_what_is_disclosed_decides(notified: list[str], identity: str, model: str | None) -> None:
    judged = who(*notified)
    assert (judged.identity.value, judged.model) == (identity, model), judged


@each(
    ("notified", "log_odds"),
    [
        ("receipt r=claude-3-5-haiku", 9),
        ("accounting a=claude-3-5-haiku", 7),
        ("header ngrok-aig-model=claude-3-5-haiku", 6),
        ("sibling model_used=claude-3-5-haiku", 5),
        ("sibling model_used=llama-4-scout", -5),
        ("field model=claude-3-5-haiku", 4),
        ("field model=llama-4-scout", -1.5),
        ("header x-litellm-model-group=claude-3-5-haiku", 4),
        ("header x-litellm-model-group=llama-4-scout", -1.5),
        ("header x-litellm-attempted-fallbacks=1", 6),
        ("header id=msg_01", 1),
        ("header id=gen-1", 0),
        ("field model=haiku", 0),
    ],
)
def test_each_kind_has_its_weight(notified: str, log_odds: float) -> None:
    assert [item.nats for item in who(notified).evidence] == [log_odds]


def test_one_kind_counts_once_and_all_of_it_is_shown() -> None:
    judged = who("sibling model_used=claude-3-5-haiku", "sibling served_by=claude-3-5-haiku",
                 "field model=claude-3-5-haiku", "field model=claude-3-5-haiku")  # fmt: skip
    assert [item.nats for item in judged.evidence] == [5, 0, 4]


def test_untrusted_sources_are_shown_and_weigh_nothing() -> None:
    judged = who("sibling ai_used=claude-3-5-haiku", untrusted=["ai_used"])
    assert judged.identity is Identity.UNKNOWN
    assert judged.evidence == (
        Evidence(ClaimKind.SIBLING, "claude-3-5-haiku", 0.0, "ai_used: listed as untrusted"),
    )


@each(
    ("expected", "fallbacks", "name", "identity"),
    [
        (["haiku"], [], "haiku", "expected"),  # a group's name, declared
        ([SCOUT], ["haiku"], "haiku", "fallback"),
        ([SCOUT], ["Haiku"], "haiku", "fallback"),
        ([], [], "gpt-4o", "unknown"),  # nothing to compare with
        ([], [HAIKU], "claude-3-5-haiku", "fallback"),
        (["claude-haiku-4-5"], ["claude-haiku-4-5-20251001"], "claude-haiku-4.5", "unknown"),
        (["~anthropic/claude-haiku-latest"], [], "claude-haiku-4.5", "expected"),
        (["haiku"], [], "gpt-4o", "unknown"),  # the group may hold it
        ([SCOUT], ["haiku"], "gpt-4o", "fallback"),  # it is not the model asked for
    ],
)
def test_names_are_compared_with_those_declared(
    expected: list[str], fallbacks: list[str], name: str, identity: str
) -> None:
    judged = who(f"field model={name}", expected=expected, fallbacks=fallbacks)
    assert judged.identity.value == identity


CLAUDE = "I'm Claude, an AI created by Anthropic."
LLAMA = "I am Llama, a large language model developed by Meta."
GPT = "I am ChatGPT, made by OpenAI."
PERSONA = "I'm ZANTARA, your assistant for Bali Zero."


def standing(marks: str) -> SelfIdHistory:
    """Earlier direct answers, newest first: c(laude), l(lama), g(pt)."""
    return SelfIdHistory(tuple({"c": "claude", "l": "llama", "g": "gpt"}[mark] for mark in marks))


@each(
    ("text", "requested", "before", "identity", "model"),
    [
        (CLAUDE, False, "cccc", "unknown", None),  # said unasked
        (CLAUDE, True, "", "unknown", None),
        (CLAUDE, True, "c", "unknown", None),  # two rounds
        (CLAUDE, True, "cc", "fallback", HAIKU),  # three
        (CLAUDE, True, "clc", "unknown", None),  # not in a row
        (LLAMA, True, "ll", "unknown", None),  # may only recite its prompt
        (LLAMA, True, "llccc", "expected", SCOUT),  # has named the fallback before
        (LLAMA, True, "lcccl", "unknown", None),
        (GPT, True, "gg", "unknown", None),  # no declared fallback
        (PERSONA, True, "cc", "unknown", None),
        (f"{CLAUDE} {LLAMA}", True, "cc", "unknown", None),  # two at once
    ],
)
def test_a_self_identification_needs_three_direct_rounds(
    text: str, requested: bool, before: str, identity: str, model: str | None
) -> None:
    judged = who(text=text, requested=requested, self_id_history=standing(before))
    assert (judged.identity.value, judged.model) == (identity, model)
    assert judged.confidence <= 0.8


@pytest.mark.parametrize(("persona", "log_odds"), [(True, 1), (False, 3)])
def test_a_persona_takes_weight_from_what_a_text_says(persona: bool, log_odds: float) -> None:
    assert [item.nats for item in who(text=CLAUDE, persona=persona).evidence] == [log_odds]
    assert [item.nats for item in who(text=LLAMA, persona=persona).evidence] == [-log_odds]


def test_something_against_it_stops_a_self_identification() -> None:
    judged = who(
        "field model=llama-4-scout", text=CLAUDE, requested=True, self_id_history=standing("cc")
    )
    assert judged.identity is Identity.EXPECTED
    assert judged.confidence < 0.7
    bare = who("field model=llama-4-scout", text=CLAUDE, persona=False)
    assert bare.identity is Identity.DISPUTED


def test_the_text_can_be_named_untrusted() -> None:
    judged = who(text=CLAUDE, requested=True, self_id_history=standing("cc"), untrusted=["text"])
    assert (judged.identity, judged.evidence) == (Identity.UNKNOWN, ())


def test_standing_is_recalled_from_stored_evidence() -> None:
    answers: Sequence[Sequence[Evidence]] = [
        who(text=text, requested=True).evidence for text in (CLAUDE, PERSONA, CLAUDE, LLAMA)
    ]
    assert self_id_history(answers) == standing("ccl")


@pytest.mark.parametrize(
    ("notified", "fallbacks", "identity", "model"),
    [
        ([], [HAIKU], "fallback", HAIKU),
        ([], [HAIKU, "gpt-4o"], "fallback", None),  # which of them nobody can tell
        ([], [], "disputed", None),
        (["field model=llama-4-scout"], [HAIKU], "disputed", "llama-4-scout"),
        (["field model=claude-3-5-haiku"], [HAIKU], "fallback", "claude-3-5-haiku"),
    ],
)
def test_a_second_answer_in_the_stream_is_a_fallback(
    notified: list[str], fallbacks: list[str], identity: str, model: str | None
) -> None:
    pieces = stream(WELCOME, ZANTARA, pause_ms=900)
    judged = who(*notified, pieces=pieces, fallbacks=fallbacks)
    assert (judged.identity.value, judged.model) == (identity, model)
    (item,) = [item for item in judged.evidence if item.kind is ClaimKind.CHUNKS]
    assert item.nats == 3


def test_the_second_answer_names_its_model() -> None:
    second = f"Hello!| {CLAUDE}| How can I help?"
    judged = who(pieces=stream(WELCOME, second, pause_ms=900), fallbacks=["gpt-4o", HAIKU])
    assert (judged.identity, judged.model) == (Identity.FALLBACK, HAIKU)


@pytest.mark.parametrize(
    ("notified", "confidence"),
    [
        ("field model=claude-3-5-haiku", 0.982),  # 4 nats
        ("header ngrok-aig-model=claude-3-5-haiku", 0.9975),  # 6
        ("field model=llama-4-scout", 0.8176),  # 1.5
        ("field model=haiku", 0.0),
    ],
)
def test_confidence_follows_from_the_nats(notified: str, confidence: float) -> None:
    assert who(notified).confidence == confidence


def test_the_reason_is_a_sentence_for_a_person() -> None:
    assert who("sibling model_used=claude-3.5-haiku").reason == (
        f"model_used names claude-3.5-haiku, which is the declared fallback {HAIKU}."
    )
    assert who("sibling model_used=llama-4-scout-error").reason == (
        "llama-4-scout-error means that no model answered."
    )
    assert who().reason == "Nothing in the response identifies the model."


def test_evidence_is_harmless_to_show() -> None:
    judged = who("field model=\x1b[31mclaude-3-5-haiku\x00")
    assert judged.evidence[0].claim == "claude-3-5-haiku"
    assert judged.model == "claude-3-5-haiku"


ANY_CLAIM = st.builds(
    Claim,
    st.sampled_from(list(ClaimKind)),
    st.sampled_from(["model", "id", "x-litellm-attempted-fallbacks", "ai_used", ""]),
    st.one_of(st.text(max_size=30), st.sampled_from([SCOUT, HAIKU, "haiku", "1", "msg_1"])),
)


@given(notified=st.lists(ANY_CLAIM, max_size=5), text=st.text(max_size=80))
def test_no_claim_is_an_error_and_confidence_is_a_probability(
    notified: list[Claim], text: str
) -> None:
    judged = judge_disclosure(
        notified, expected=[SCOUT], fallbacks=[HAIKU], pieces=[TextDelta(0, text)]
    )
    assert 0 <= judged.confidence <= 1
    assert judged.identity is not Identity.CHANGED
    if judged.identity in (Identity.EXPECTED, Identity.UNKNOWN):
        assert (judged.model is None) is (judged.identity is Identity.UNKNOWN)
