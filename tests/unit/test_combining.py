"""Disclosure and looks in one judgement: every cell of the table."""

from monitor.domain import ClaimKind, Evidence, Identity, IdentityJudgement
from monitor.identity.combined_judgement import combined
from monitor.identity.fingerprint.match import StyleMatch
from tests.case_tables import each

E, F, D, C, U = (Identity.EXPECTED, Identity.FALLBACK, Identity.DISPUTED, Identity.CHANGED,
                 Identity.UNKNOWN)  # fmt: skip
LLAMA, HAIKU = "meta-llama/llama-4-scout", "anthropic/claude-haiku-4-5"
MODEL = {E: LLAMA, F: HAIKU, D: LLAMA, C: None, U: None}


def told(
    identity: Identity, kind: ClaimKind = ClaimKind.SIBLING, log_odds: float = 5.0
) -> IdentityJudgement:
    sign = {E: -1, F: 1}.get(identity, 0)
    word = Evidence(kind, str(MODEL[identity]), sign * log_odds, "model_used")
    return IdentityJudgement(identity, MODEL[identity], 0.9, (word,) if sign else (), "It says so.")


def seen(identity: Identity, log_odds: float = 3.0) -> StyleMatch:
    sign = {E: -1, F: 1}.get(identity, 0)
    look = Evidence(ClaimKind.TEXT, str(MODEL[identity]), sign * log_odds, "hi: wording")
    against = (HAIKU,) if identity is E else ()
    return StyleMatch(identity, MODEL[identity], 0.95, (look,) if sign else (), "Style matches.",
                 established=identity in (F, C), against=against)  # fmt: skip


@each(
    ("disclosed", "style_match", "identity", "model"),
    [
        (U, E, E, LLAMA),
        (U, F, F, HAIKU),
        (U, C, C, None),
        (U, U, U, None),
        (E, E, E, LLAMA),
        (E, F, D, LLAMA),
        (E, C, C, LLAMA),
        (E, U, E, LLAMA),
        (F, E, F, HAIKU),  # one answer's looks do not outweigh a trusted field
        (F, F, F, HAIKU),
        (F, C, F, HAIKU),
        (F, U, F, HAIKU),
        (D, E, D, LLAMA),
        (D, F, D, LLAMA),
        (D, C, D, LLAMA),
        (D, U, D, LLAMA),
    ],
)
def test_both_in_one(
    disclosed: Identity, style_match: Identity, identity: Identity, model: str | None
) -> None:
    who = combined(told(disclosed), seen(style_match))
    assert (who.identity, who.model) == (identity, model)


def test_without_looks_the_disclosure_stands() -> None:
    assert combined(told(F), None) == told(F)


def test_both_sides_of_a_dispute_are_shown() -> None:
    who = combined(told(E), seen(F))
    assert [item.kind for item in who.evidence] == [ClaimKind.SIBLING, ClaimKind.TEXT]
    assert who.reason == f"The response names {LLAMA}; style matches."


def test_a_receipt_is_never_disputed() -> None:
    who = combined(told(E, ClaimKind.RECEIPT, 9.0), seen(F))
    assert (who.identity, who.model) == (E, LLAMA)


def test_a_weakly_named_fallback_is_disputed_by_answers_clearly_not_its_own() -> None:
    who = combined(told(F, ClaimKind.FIELD, 4.0), seen(E, log_odds=4.5))
    assert who.identity is D


def test_another_fallback_by_looks_than_by_name_is_disputed() -> None:
    other = StyleMatch(
        F, "openai/gpt-4o", 0.95, (), "Writing style matches gpt-4o.", established=True
    )
    assert combined(told(F), other).identity is D


def test_an_answer_that_calls_itself_another_model_is_not_taken_for_the_expected_one() -> None:
    own = Evidence(ClaimKind.SELF, "claude", 1.0, "text: I'm Claude")
    who = combined(IdentityJudgement(U, None, 0.0, (own,), "Only the text says."), seen(E))
    assert (who.identity, who.model) == (U, None)


def test_why_nothing_is_known_by_looks_is_said() -> None:
    silent = StyleMatch(U, None, 0.0, reason="Writing style: the baseline has 3 of 25 answers.")
    assert "3 of 25" in combined(told(U), silent).reason
