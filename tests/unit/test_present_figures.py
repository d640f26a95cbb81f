"""The figures of an open incident are of now, not of its opening: in reminders, too."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from monitor.domain import (
    CauseOwner,
    Finding,
    Incident,
    Notice,
    NoticeStatus,
    Sample,
    Verdict,
    VerdictState,
)
from monitor.incidents.planner import plan
from monitor.incidents.state_machine import ReminderPolicy
from monitor.notifications.plain_text import plain_text, title
from monitor.rules import (
    AnswerCheckRule,
    DownRule,
    FallbackRule,
    ModelChangedRule,
    NoDataRule,
    RetrievalRule,
    Rule,
    TtftRule,
    TtftUnknownRule,
    Window,
)
from monitor.rules.window import SPAN
from tests.case_tables import each
from tests.probe_notation import EVERY, INHIBITIONS, NOON, after, marked, sample, timed, window

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
DEGRADED = (None, None, None)


def opened(rule: Rule, seen: Window) -> Incident:
    """The announced incident of a verdict."""
    verdict = rule.judge(seen, None, after(seen))
    (step,) = plan((), [verdict], inhibitions=INHIBITIONS, policy=ReminderPolicy(), now=after(seen))
    assert step.incident is not None
    return replace(step.incident, number=7)


def reminder(rule: Rule, incident: Incident, seen: Window) -> tuple[Incident, Notice]:
    """What the incident is after a later judgement, and the reminder that is due then."""
    now = max(after(seen), incident.last_told_at + ReminderPolicy().remind_every)
    verdict = rule.judge(seen, incident, after(seen))
    assert verdict.state is VerdictState.BREACH, verdict
    (step,) = plan([incident], [verdict], inhibitions=INHIBITIONS, policy=ReminderPolicy(), now=now)
    assert step.incident is not None
    assert step.notice is not None
    assert step.notice.status in (NoticeStatus.STILL_FIRING, NoticeStatus.NOTICE)
    return step.incident, step.notice


def retrieved(counts: Sequence[str], *, score: float = 0.7) -> Iterable[Sample]:
    """Rounds of queries by their number of sources."""
    for order, of_round in enumerate(counts):
        slot = NOON + order * EVERY
        for query, count in enumerate(of_round):
            yield sample(
                at=slot + (2 * query + 1) * SECOND, round=slot, query=f"q{query}",
                source_count=int(count),
                source_best_score=score + order % 7 / 1000 if count != "0" else None,
            )  # fmt: skip


def checked(marks: str) -> Iterable[Sample]:
    for order, mark in enumerate(marks):
        slot = NOON + order * EVERY
        yield sample(
            at=slot + SECOND, round=slot, check_passed=mark != "x",
            check_failed=None if mark != "x" else "it lacks a word",
        )  # fmt: skip


USUAL, LOST = ["555"] * 24, ["222"] * 3
CASES = {  # rows that open an incident, the rows after them, and what each message states
    "retrieval": (
        RetrievalRule(),
        [*retrieved([*USUAL, "000", "000"])], [*retrieved([*USUAL, *["000"] * 8])],
        "6 of the last 6 answers", "24 of the last 24 answers",
    ),
    "retrieval: fewer and fewer": (
        RetrievalRule(),
        [*retrieved([*USUAL, *LOST])], [*retrieved([*USUAL, *LOST, *["111"] * 9])],
        "fewer sources for 3 queries: q0: 2, usually 5",
        "fewer sources for 3 queries: q0: 1, usually 5",
    ),
    "retrieval: one query is well again": (
        RetrievalRule(),
        [*retrieved([*USUAL, *LOST])], [*retrieved([*USUAL, *LOST, *["225"] * 3])],
        "fewer sources for 3 queries", "fewer sources for 2 queries",
    ),
    "fallback": (
        FallbackRule(),
        [*marked("...|" * 9 + "FFF|FFF")], [*marked("...|" * 9 + "FFF|" * 9 + "FFF")],
        "All of the last 6 answers", "All of the last 30 answers",
    ),
    "model_changed": (
        ModelChangedRule(),
        [*marked("...|" * 9 + "CCC|CCC")], [*marked("...|" * 9 + "CCC|" * 9 + "CCC")],
        "All of the last 6 answers", "All of the last 30 answers",
    ),
    "down": (
        DownRule(), [*marked("...|...|xxx|xxx")], [*marked("...|...|" + "xxx|" * 9 + "xxx")],
        "6 of 6 probes", "30 of 30 probes",
    ),
    "ttft": (
        TtftRule(),
        [*timed([(1000.0,) * 3] * 40 + [(2400.0,) * 3] * 3)],
        [*timed([(1000.0,) * 3] * 40 + [(2400.0,) * 3] * 3 + [(900.0, 900.0, 9000.0)] * 5)],
        "as all 3 queries were slow", "as only 1 of 3 queries was slow: q2",
    ),
    "answer_check": (
        AnswerCheckRule(), [*checked("." * 12 + "xxx")], [*checked("." * 12 + "x" * 9)],
        "3 of the last 3 answers failed", "9 of the last 9 answers failed",
    ),
    "ttft_unknown": (
        TtftUnknownRule(),
        [*timed([(900.0,) * 3] * 10 + [DEGRADED] * 7)],
        [*timed([(900.0,) * 3] * 10 + [DEGRADED] * 30)],
        "21 of 36 measurements", "36 of 36 measurements",
    ),
}  # fmt: skip


@each("name", CASES)
def test_a_reminder_states_the_figures_of_now(name: str) -> None:
    rule, opening, later, first, then = CASES[name]
    incident = opened(rule, window(iter(opening)))
    _, notice = reminder(rule, incident, window(iter(later)))
    assert first in " ".join([*_texts(incident.finding), incident.because])
    shown = f"{title(notice)}\n{plain_text(notice)}"
    assert then in shown
    assert first not in shown


def _texts(finding: Finding) -> Iterable[str]:
    return finding.what, finding.extent, finding.cause


def test_a_reminder_of_silence_states_how_long_it_lasts_now() -> None:
    seen, rule = window(marked("...|...")), NoDataRule()
    begun = seen.samples[-1].at
    verdict = rule.judge(seen, None, begun + HOUR)
    (step,) = plan(
        (), [verdict], inhibitions=INHIBITIONS, policy=ReminderPolicy(), now=begun + HOUR
    )
    assert step.incident is not None
    now = begun + 6 * HOUR
    later = rule.judge(seen, step.incident, now)
    (step,) = plan(
        [replace(step.incident, number=7)], [later], inhibitions=INHIBITIONS,
        policy=ReminderPolicy(), now=now,
    )  # fmt: skip
    assert step.notice is not None
    assert "no data for 6 h 0 min" in step.notice.finding.what


def test_the_facts_of_a_fallback_are_of_now() -> None:
    """The cost of an answer changes while the incident is open."""
    rule, marks = FallbackRule(), "...|" * 9 + "FFF|FFF"
    usd = [Decimal("0.0001")] * 27 + [Decimal("0.001")] * 6 + [Decimal("0.003")] * 6

    def seen(marks: str) -> Window:
        priced = zip(marked(marks), usd, strict=False)
        return window(iter([replace(one, cost_usd=cost) for one, cost in priced]))

    incident = opened(rule, seen(marks))
    assert incident.facts["Cost a query"] == "$0.001, before $0.0001"
    now, _ = reminder(rule, incident, seen(f"{marks}|FFF|FFF"))
    assert now.facts["Cost a query"] == "$0.002, before $0.0001"


def test_a_fallback_that_lasts_longer_than_the_window_is_still_compared() -> None:
    rule, a_day = FallbackRule(), 1000
    usual = [replace(one, cost_usd=Decimal("0.0001")) for one in marked("...|" * 9 + "...")]
    fallen = [
        replace(one, cost_usd=Decimal("0.001"))
        for one in marked("FFF|" * 60 + "FFF", start=NOON + 10 * EVERY)
    ]
    seen = Window("rag", every=EVERY, queries=3, a_day=a_day)
    for one in [*usual, *fallen]:
        seen.add(one)
    incident = opened(rule, seen)
    assert incident.finding.money == "10 × the cost: at this rate $1.00 a day, was $0.10"
    later = [
        replace(one, at=one.at + SPAN, round=one.round + SPAN, cost_usd=Decimal("0.002"))
        for one in fallen
    ]
    alone = Window("rag", every=EVERY, queries=3, a_day=a_day)
    for one in later:
        alone.add(one)
    now, notice = reminder(rule, incident, alone)
    assert notice.finding.money == "20 × the cost: at this rate $2.00 a day, was $0.10"
    assert notice.finding.what == "Claude Haiku 4.5 answers instead of Llama 4 Scout"
    assert now.facts["Cost a query"] == "$0.002, before $0.0001"
    assert now.facts["Instead of"] == "meta-llama/llama-4-scout"


def test_what_is_the_usual_after_a_day_claims_no_recovery() -> None:
    seen = window(iter(retrieved(["222"] * 24)))
    incident = Incident(
        rule="retrieval", scope="rag", opened_at=NOON - 23 * HOUR, since=NOON - 23 * HOUR,
        last_breach_at=NOON, last_told_at=NOON, value=3.0, limit=2.0, because="It broke.",
        facts={"Query q0": "fewer sources: 2, usually 5"}, number=7,
        finding=Finding(
            what="fewer sources", was="fewer sources {when}",
            restored="queries bring their usual sources again",
        ),
    )  # fmt: skip
    verdict = RetrievalRule().judge(seen, incident, after(seen))
    assert verdict.state is VerdictState.OK
    (step,) = plan(
        [incident], [verdict], inhibitions=INHIBITIONS, policy=ReminderPolicy(), now=after(seen)
    )
    assert step.notice is not None
    assert "again" not in plain_text(step.notice)
    assert "is their usual now" in plain_text(step.notice)


def test_every_query_of_a_large_loss_is_followed_until_it_is_well() -> None:
    """Twelve queries, of which one is not well again."""
    usual, lost, rest = ["5" * 12] * 24, ["0" * 12] * 3, ["5" * 11 + "0"] * 4
    incident = opened(RetrievalRule(), window(iter(retrieved([*usual, *lost])), queries=12))
    later = window(iter(retrieved([*usual, *lost, *rest])), queries=12)
    verdict: Verdict = RetrievalRule().judge(later, incident, after(later))
    assert verdict.state is VerdictState.BREACH
    assert verdict.finding.what == "no sources for query q11: usually 5"
    assert [*verdict.facts] == ["Query q11"]
    assert verdict.finding.was == "no sources for 12 queries {when} (q0: usually 5)"


def test_a_cause_that_was_found_is_not_replaced_by_where_it_is_slow() -> None:
    """After a restart the search may find nothing any more."""
    rule, slow = TtftRule(), [(1000.0,) * 3] * 40 + [(2400.0,) * 3] * 3
    incident = opened(rule, window(timed(slow)))
    found = replace(
        incident.finding, cause="the key of openrouter expired", cause_owner=CauseOwner.BILLING
    )
    later = window(timed([*slow, *[(900.0, 900.0, 9000.0)] * 5]))
    now, notice = reminder(rule, replace(incident, finding=found), later)
    assert now.finding.cause == "the key of openrouter expired"
    assert now.facts["By query"].startswith("q2 9000 ms")
    assert "Likely cause (billing): the key of openrouter expired" in plain_text(notice)
