"""One answer, two answers: numbers and their nouns and verbs agree in every message."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from monitor.answer_checks import CheckedAnswer, failed_check
from monitor.domain import (
    AnswerExpectation,
    Identity,
    Outcome,
    Sample,
    Spend,
    Verdict,
    counted,
)
from monitor.notifications.plain_text import plain_text
from monitor.rules import (
    DeliveryBacklog,
    DeliveryRule,
    DownRule,
    FallbackRule,
    IdentityUnknownRule,
    ModelChangedRule,
    ProbeBudgetRule,
    ProbeUsage,
    TtftRule,
    TtftUnknownRule,
    UnpricedRule,
)
from monitor.rules.explanations import answered_by, named
from tests.case_tables import each
from tests.probe_notation import NOON, after, incident, marked, sample, timed, window
from tests.unit.notices import CASES, notice

MINUTE = timedelta(minutes=1)
NOUNS = "answer|probe|round|query|measurement|observation|fact|line|source|character|message|date"
WRONG = re.compile(
    rf"\b1 (?:(?:last|latest|other|more|compared) )?(?:{NOUNS.replace('query', 'querie')})s\b"
    rf"|(?<!\d)1 of (?:the last )?[\d,]+ (?:\w+ )?\w+s? (?:are|have|match|differ|name)\b"
    rf"|\b1 are\b|\b1 others\b"
    rf"|(?<![\d,.])(?:[02-9]|\d[\d,]*\d) (?:{NOUNS})\b"
)  # fmt: skip


def texts(verdict: Verdict) -> Iterator[str]:
    finding = verdict.finding
    yield from (verdict.because, finding.what, finding.was, finding.extent, finding.certainty)
    yield from verdict.facts.values()


def judged(rule: object, samples: Iterable[Sample]) -> Verdict:
    seen = window(iter(samples))
    verdict: Verdict = rule.judge(seen, None, after(seen))  # type: ignore[attr-defined]
    return verdict


def one_unpriced() -> Iterator[Sample]:
    for one in marked("...|...|..F"):
        yield replace(one, cost_usd=None) if one.identity is Identity.FALLBACK else one


def budget(probes: int, limit: int) -> Verdict:
    midnight = NOON.replace(hour=0)
    day = Spend(day=midnight.date(), starts_at=midnight, ends_at=midnight + timedelta(days=1),
                total_usd=Decimal("0.1"))  # fmt: skip
    rule = ProbeBudgetRule(limit_probes=limit)
    return rule.judge(ProbeUsage(day=day, probes=probes), None, NOON)


def after_a_pause() -> Verdict:
    """An outage that came back with a single failure."""
    seen = window(marked("...|xxx|xxx|...|...|x"))
    failed_at = seen.samples[-1].at
    open_ = incident("down", opened_at=NOON, since=failed_at, reopenings=1)
    return DownRule().judge(seen, open_, after(seen))


def backlog(waiting: int) -> Verdict:
    held = DeliveryBacklog(channel="bot", waiting=waiting, oldest_at=NOON - 20 * MINUTE)
    return DeliveryRule().judge(held, None, NOON)


VERDICTS = {
    "down: one failure": after_a_pause(),
    "down: one good probe": judged(DownRule(failed=1, of=1, good=1), marked(".")),
    "fallback: immediate": judged(FallbackRule(mode="immediate"), marked("...|F")),
    "fallback: one good answer": judged(FallbackRule(), marked(".")),
    "model_changed: immediate": judged(ModelChangedRule(mode="immediate"), marked("...|C")),
    "model_changed: one good answer": judged(ModelChangedRule(), marked(".")),
    "model_changed: one of several": judged(
        ModelChangedRule(hits=1, evidence=0.01, evidence_half=0.01, evidence_usual=0),
        marked("...|..C|.."),
    ),
    "ttft: one round": judged(
        TtftRule(mode="consecutive", rounds=1), timed([(900.0,) * 3, (2400.0,) * 3])
    ),
    "ttft: one disturbed measurement": judged(
        TtftRule(rounds=1), timed([(900.0,) * 3, (None,)])
    ),
    "ttft_unknown": judged(TtftUnknownRule(answers=1), timed([(None,)])),
    "unpriced": judged(UnpricedRule(answers=1), one_unpriced()),
    "identity_unknown": judged(IdentityUnknownRule(answers=1), marked("?")),
    "probe_budget": budget(1, 1),
    "probe_budget: many": budget(20_000, 20_000),
    "delivery": backlog(1),
    "delivery: several": backlog(7),
}  # fmt: skip


@each("name", VERDICTS)
def test_the_texts_of_a_rule_agree(name: str) -> None:
    for text in texts(VERDICTS[name]):
        assert not WRONG.search(text), text


def test_the_sentences_of_a_single_row() -> None:
    said = {name: verdict.because for name, verdict in VERDICTS.items()}
    assert said["down: one failure"] == "The latest probe failed: 1 refused."
    assert said["down: one good probe"] == "The latest probe did not fail."
    assert said["fallback: immediate"].startswith("The latest answer came from Claude Haiku 4.5;")
    assert said["fallback: one good answer"] == "The latest answer did not fall back; limit 10%."
    assert said["model_changed: one good answer"] == "The latest answer matches the expected model."
    assert said["unpriced"].startswith("1 of 9 answers of the last 24 h has no price")
    assert said["probe_budget"].startswith("1 probe of 2026-11-23 cost $0.10; budget $0.50, 1 pro")
    assert said["delivery"] == "The message for channel bot has waited for 20 min."


@each("name", CASES)
def test_the_messages_agree(name: str) -> None:
    text = plain_text(CASES[name])
    assert not WRONG.search(text), WRONG.search(text)


@each(("expect", "answer", "wrong"), [
    ({"sources_at_least": 1}, {"sources": 0},
     "sources_at_least: the answer has no sources, at least 1 is expected"),
    ({"sources_at_least": 2}, {"sources": 1},
     "sources_at_least: the answer has 1 source, at least 2 are expected"),
    ({"min_chars": 1}, {"text": ""},
     "min_chars: the answer has 0 characters, at least 1 is expected"),
    ({"min_chars": 2}, {"text": "x"},
     "min_chars: the answer has 1 character, at least 2 are expected"),
    ({"max_chars": 1}, {"text": "xy"},
     "max_chars: the answer has more than 1 character: at least 2"),
])  # fmt: skip
def test_a_failed_check_agrees(
    expect: dict[str, int], answer: dict[str, object], wrong: str
) -> None:
    given = {"text": "x", "finish": None, "sources": None} | answer
    found = failed_check(AnswerExpectation(**expect), CheckedAnswer(**given))  # type: ignore[arg-type]
    assert found == wrong


@each(("number", "what", "text"), [
    (0, "answer", "0 answers"), (1, "answer", "1 answer"), (2, "query", "2 queries"),
    (1, "query", "1 query"), (1234, "probe", "1,234 probes"),
])  # fmt: skip
def test_a_number_with_its_noun(number: int, what: str, text: str) -> None:
    assert counted(number, what) == text


@each("counts", [1, 2])
def test_who_answered_agrees(counts: int) -> None:
    for identity in (Identity.CHANGED, Identity.DISPUTED, Identity.UNKNOWN, Identity.FALLBACK):
        given = Counter({(identity, "acme/new"): counts, (Identity.EXPECTED, "acme/old"): 3})
        text = answered_by(given, expected="acme/old")
        assert text is not None
        assert not WRONG.search(text), text
    alone = answered_by({(Identity.CHANGED, None): 1}, expected=None)
    assert alone == "1 of 1 answer no longer matches the expected model; model not identified"


def test_kinds_of_failure_that_are_not_named_agree() -> None:
    kinds = [Outcome.REFUSED, Outcome.DNS, Outcome.TLS, Outcome.STALLED]
    bad = [sample("x", outcome=outcome) for outcome in kinds]
    assert named(bad).endswith(", 1 other")
    assert named([*bad, sample("x", outcome=Outcome.DEADLINE)]).endswith(", 2 others")


def test_what_does_not_fit_is_counted_in_agreement() -> None:
    for facts, left in ((17, "… and 1 more fact"), (18, "… and 2 more facts")):
        many = notice(
            CASES["digest_notice"].status, "digest", "s",
            facts={f"Fact {n}": "x" for n in range(facts)},
        )  # fmt: skip
        assert left in plain_text(many).splitlines()
