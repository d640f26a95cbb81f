"""Token accounting: whether disclosed counts fit the expected model's tokenizer."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from monitor.domain import Claim, ClaimKind, Evidence, Identity, Reply, TextDelta, Usage
from monitor.identity.claims import ClaimSide, DeclaredModels, WeighedClaim
from monitor.identity.judge import judge_disclosure
from monitor.identity.token_counts.comparison import (
    TokenCounts,
    calibrations_from,
    fitting,
    judge_counts,
    yardsticks,
)
from monitor.identity.token_counts.counts import (
    CAP,
    RatioCalibration,
    TokenCount,
    TokenizerCalibration,
    claim,
    counted,
    proportion,
    recounted,
    rule_of_thumb,
    shape,
)
from tests.example_data import HAIKU, LLAMA
from tests.toy_tokenizers import breaking, count, prose

OURS, THEIRS = breaking(5), breaking(4)
CONFIRMED = [count(n, OURS) for n in range(30)]
DECLARED = DeclaredModels((LLAMA,), (HAIKU,))
EXACT = {LLAMA: OURS}


def by_file(*counts: TokenCount, seen: bool = True) -> TokenCounts:
    """Counts, newest last, measured by the expected model's own tokenizer."""
    *earlier, now = counts
    fitted = frozenset({(LLAMA, "hi")} if seen else ())
    found, missing = yardsticks(
        calibrations_from([LLAMA, HAIKU], {}), now.exact, {m for m, _ in fitted}
    )
    return TokenCounts(now, earlier[::-1], found, missing, fitted)


def by_answers(
    *counts: TokenCount, confirmed: dict[str, Sequence[TokenCount]] | None = None
) -> TokenCounts:
    """The same, measured by what confirmed answers teach."""
    *earlier, now = counts
    known = calibrations_from([LLAMA, HAIKU], confirmed or {LLAMA: CONFIRMED})
    return TokenCounts(now, earlier[::-1], *yardsticks(known, (), ()))


def weighed(accounts: TokenCounts, declared: DeclaredModels = DECLARED) -> WeighedClaim:
    found = judge_counts(accounts, declared)
    assert found is not None
    return found


ours = [count(n, OURS, exact=EXACT) for n in range(100, 112)]
theirs = [count(n, THEIRS, exact=EXACT) for n in range(200, 212)]


@pytest.mark.parametrize("measured", [by_file, by_answers])
def test_another_tokenizer_is_reported_with_the_third_answer(measured: object) -> None:
    assert callable(measured)
    two, three = weighed(measured(*theirs[:2])), weighed(measured(*theirs[:3]))
    assert (two.evidence.nats, two.side) == (0.0, ClaimSide.NEITHER)
    assert "2 of 3 answers" in two.evidence.detail
    assert (three.evidence.nats, three.side) == (CAP, ClaimSide.FELL)
    assert "3 answers in a row count" in three.evidence.detail
    assert "% more" in three.evidence.detail


@pytest.mark.parametrize("measured", [by_file, by_answers])
def test_a_fit_speaks_for_the_expected_model_and_is_not_firm(measured: object) -> None:
    assert callable(measured)
    found = weighed(measured(*ours[:3]))
    assert found.side is ClaimSide.EXPECTED
    assert -CAP <= found.evidence.nats <= -1
    assert found.echo


@pytest.mark.parametrize("measured", [by_file, by_answers])
def test_the_first_answer_after_a_fallback_is_nobodys_misfit(measured: object) -> None:
    assert callable(measured)
    found = weighed(measured(*theirs[:5], ours[0]))
    assert found.evidence.nats <= 0


def test_a_tokenizer_that_never_fitted_may_as_well_be_measured_on_edited_texts() -> None:
    found = weighed(by_file(*theirs[:5], seen=False))
    assert found.evidence.nats == 0
    assert "never matched" in found.evidence.detail
    assert fitting(by_file(*ours[:3], seen=False)) == {(LLAMA, "hi")}
    assert fitting(by_file(*theirs[:5])) == frozenset()
    assert fitting(by_file(*ours[:2])) == frozenset()


def test_a_service_that_edits_its_answers_to_some_queries_fits_the_others() -> None:
    edited = [replace(c, query="edited", tokens=c.tokens - 20) for c in ours]
    turns = [
        edited[0],
        edited[1],
        *ours[:3],
        edited[2],
        edited[3],
        *ours[3:6],
        edited[4],
        edited[5],
    ]
    seen = fitting(by_file(*turns[:5]))
    assert seen == {(LLAMA, "hi")}
    for n in range(3, len(turns) + 1):
        accounts = replace(by_file(*turns[:n]), seen_to_fit=seen)
        assert weighed(accounts).side is not ClaimSide.FELL
    assert weighed(by_file(*turns, *theirs[:3])).side is ClaimSide.FELL


def test_answers_are_the_yardstick_until_the_tokenizer_was_seen_to_fit() -> None:
    known = calibrations_from([LLAMA], {LLAMA: CONFIRMED})
    assert yardsticks(known, {LLAMA}, ())[0] == (known[LLAMA],)
    assert yardsticks(known, {LLAMA}, {LLAMA})[0] == (TokenizerCalibration(LLAMA),)
    assert yardsticks(calibrations_from([LLAMA], {}), {LLAMA}, ())[0] == (
        TokenizerCalibration(LLAMA),
    )


def test_the_fallback_whose_own_counts_fit_is_named() -> None:
    confirmed = {LLAMA: CONFIRMED, HAIKU: [count(n, THEIRS) for n in range(40, 70)]}
    found = weighed(by_answers(*theirs[:3], confirmed=confirmed))
    assert (found.side, found.model) == (ClaimSide.OTHER, HAIKU)
    stranger = [count(n, breaking(3)) for n in range(300, 303)]
    assert weighed(by_answers(*stranger, confirmed=confirmed)).side is ClaimSide.FELL


def test_a_fallback_that_may_count_alike_makes_a_fit_say_nothing() -> None:
    kin = DeclaredModels((LLAMA,), ("meta-llama/llama-4-maverick",))
    found = weighed(by_file(*ours[:5]), kin)
    assert found.evidence.nats == 0
    assert "may also match meta-llama/llama-4-maverick" in found.evidence.detail
    assert weighed(by_file(*theirs[:5]), kin).side is ClaimSide.FELL


def test_with_two_expected_models_both_must_be_measured_to_call_it_another() -> None:
    both = DeclaredModels((LLAMA, "qwen/qwen3-14b"), (HAIKU,))
    assert weighed(by_file(*theirs[:5]), both).evidence.nats == 0


@pytest.mark.parametrize(
    ("tokens_of", "rule"),
    [
        (lambda text: int(len(text.split()) * 1.3), "a fixed number per word"),
        (lambda text: round(len(text) / 4), "a fixed number per character"),
        (lambda text: -(-len(text.encode()) // 3), "a fixed number per byte"),
        (lambda _: 250, "always the same number"),
    ],
)
def test_estimates_are_no_tokenizers(tokens_of: object, rule: str) -> None:
    assert callable(tokens_of)
    texts = [prose(n, 80 + n) + " é" * n for n in range(30)]
    made = [
        TokenCount("hi", tokens_of(text), shape(text), "english", {LLAMA: OURS(text)})
        for text in texts
    ]
    assert rule in str(rule_of_thumb(made))
    assert rule in str(proportion(LLAMA, made))
    assert weighed(by_file(*made[:5])).evidence.nats == 0
    assert rule_of_thumb(made[:2]) is None
    assert rule_of_thumb(CONFIRMED) is None


def test_too_few_confirmed_answers_teach_nothing() -> None:
    assert proportion(LLAMA, CONFIRMED[:24]) == (
        f"24 of 25 confirmed answers of {LLAMA} have token counts"
    )
    found = weighed(by_answers(*theirs[:3], confirmed={LLAMA: CONFIRMED[:24]}))
    assert "24 of 25" in found.evidence.detail


def test_a_query_no_one_confirmed_answers_to_is_measured_only_where_many_others_are() -> None:
    elsewhere = [replace(one, query="new") for one in theirs[:3]]
    assert weighed(by_answers(*elsewhere)).evidence.nats == 0
    many = [count(n, OURS, query=f"q{n}") for n in range(30)]
    assert weighed(by_answers(*elsewhere, confirmed={LLAMA: many})).side is ClaimSide.FELL


def test_answers_unlike_those_learnt_from_are_not_measured() -> None:
    italian = [replace(one, language="italian") for one in theirs[:3]]
    untold = [replace(one, language=None) for one in theirs[:3]]
    listed = [replace(c, shape=c.shape._replace(marks=c.shape.marks + 60)) for c in theirs[:3]]
    for unlike in (italian, untold, listed):
        assert weighed(by_answers(*unlike)).side is ClaimSide.NEITHER
        assert weighed(by_file(*unlike)).side is ClaimSide.FELL  # a tokenizer counts every language


def test_symbols_take_tokens_of_their_own() -> None:
    assert shape("Hi 👋, see → ★★!")[-1] == 4
    assert shape("Hi 👋, see!").marks == 2


def test_scattered_counts_teach_nothing() -> None:
    wild = [replace(one, tokens=one.tokens * (1 + n % 2)) for n, one in enumerate(CONFIRMED)]
    assert "vary too much" in str(proportion(LLAMA, wild))


def test_a_count_of_more_than_the_text_is_no_count_of_it() -> None:
    hidden = [replace(one, tokens=one.tokens * 3) for one in ours[:4]]
    found = weighed(by_file(*hidden))
    assert found.evidence.nats == 0
    assert "the count covers other text" in found.evidence.detail


def test_what_a_reply_discloses_is_counted_only_where_it_is_the_texts() -> None:
    text = prose(1)
    reply = Reply(pieces=(TextDelta(0, text=text),), usage=Usage(answer_tokens=150), ended=True)
    found = counted(reply, "hi", EXACT)
    assert found == TokenCount("hi", 150, shape(text), "english", {LLAMA: OURS(text)})
    thought = replace(reply, usage=Usage(answer_tokens=150, reasoning_tokens=20))
    silent = replace(reply, usage=Usage())
    short = replace(reply, usage=Usage(answer_tokens=49))
    aloud = replace(reply, pieces=(TextDelta(0, reasoning="Hm"), *reply.pieces))
    assert [counted(one, "hi", {}) for one in (thought, silent, short, aloud)] == [None] * 4


def test_a_count_survives_as_a_claim_without_its_text() -> None:
    made = claim(ours[0])
    assert recounted((Claim(ClaimKind.FIELD, "model", "x"), made), "hi") == ours[0]
    assert recounted((), "hi") is None
    for other in ("", "{}", '{"tokens":9,"shape":[1],"language":null,"exact":{}}'):
        assert recounted((replace(made, value=other),), "hi") is None
    assert "permit" not in made.value


def test_left_out_medians_are_those_of_the_others() -> None:
    learnt_of = proportion(LLAMA, CONFIRMED)
    assert isinstance(learnt_of, RatioCalibration)
    assert 0.015 <= learnt_of.centres["hi"].spread < 0.05
    assert learnt_of.answers == 30


FIELD = Claim(ClaimKind.FIELD, "model", LLAMA)
HEADER = Claim(ClaimKind.HEADER, "x-model", LLAMA)


@pytest.mark.parametrize(
    ("claims", "accounts", "identity", "model"),
    [
        ((), by_file(*theirs[:3]), Identity.FALLBACK, HAIKU),
        ((FIELD,), by_file(*theirs[:3]), Identity.FALLBACK, HAIKU),  # the field is an echo
        ((HEADER,), by_file(*theirs[:3]), Identity.DISPUTED, LLAMA),
        ((), by_file(*ours[:3]), Identity.EXPECTED, LLAMA),
        ((replace(FIELD, value=HAIKU),), by_file(*ours[:2]), Identity.FALLBACK, HAIKU),
        ((replace(HEADER, value=HAIKU),), by_file(*ours[:3]), Identity.FALLBACK, HAIKU),
        ((), by_file(*theirs[:2]), Identity.UNKNOWN, None),
    ],
)
def test_the_verdict_believes_counts_before_names_that_may_be_echoes(
    claims: tuple[Claim, ...], accounts: TokenCounts, identity: Identity, model: str | None
) -> None:
    who = judge_disclosure(claims, expected=(LLAMA,), fallbacks=(HAIKU,), accounts=accounts)
    assert (who.identity, who.model) == (identity, model)
    assert any(item.kind is ClaimKind.ACCOUNTING for item in who.evidence)


def test_the_reason_is_a_sentence() -> None:
    who = judge_disclosure(
        (), expected=(LLAMA,), fallbacks=(HAIKU,), accounts=by_answers(*theirs[:3])
    )
    assert who.reason == (
        "According to token counts, 3 answers in a row count 10 % more tokens than 30 "
        f"confirmed answers of {LLAMA}."
    )


def test_counts_named_untrusted_are_not_looked_at() -> None:
    who = judge_disclosure((), expected=(LLAMA,), fallbacks=(HAIKU,), accounts=by_file(*theirs[:3]),
                untrusted=("token count",))  # fmt: skip
    assert who.identity is Identity.UNKNOWN
    assert not [e for e in who.evidence if isinstance(e, Evidence) and e.nats]
