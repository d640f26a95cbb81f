"""Every rule says since when a breach has been true: the start of its first bad row."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from monitor.domain import (
    AccountReading,
    AccountState,
    CostSource,
    Identity,
    Incident,
    NoticeStatus,
    Sample,
    Spend,
    Verdict,
    VerdictState,
)
from monitor.incidents.planner import plan
from monitor.incidents.state_machine import ReminderPolicy, advance
from monitor.notifications.plain_text import plain_text
from monitor.rules import (
    RULES,
    Calendar,
    CalendarRule,
    CostDriftRule,
    DeliveryBacklog,
    DeliveryRule,
    DownRule,
    FallbackRule,
    IdentityUnknownRule,
    KeyRule,
    ModelChangedRule,
    NoDataRule,
    ProbeBudgetRule,
    ProbeUsage,
    SpendRule,
    TtftRule,
    TtftUnknownRule,
    UnpricedRule,
    Window,
)
from monitor.rules.calendar import CalendarEntry, CalendarKind
from tests.case_tables import each
from tests.probe_notation import (
    EVERY,
    INHIBITIONS,
    NOON,
    after,
    incident,
    marked,
    sample,
    timed,
    window,
)

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
MIDNIGHT = NOON - 12 * HOUR
HEALTHY, SLOW = [(1000.0, 1000.0, 1000.0)], [(2200.0, 2200.0, 2200.0)]
OUTLIER = [(100.0, 100.0, 9000.0)]  # over the limit on average, not with each query capped


def of_marks(
    rule: DownRule | FallbackRule | ModelChangedRule | NoDataRule,
    marks: str,
    *,
    wait: timedelta = SECOND,
) -> Verdict:
    seen = window(marked(marks))
    return rule.judge(seen, None, seen.samples[-1].at + wait)


def slow(rule: TtftRule, rounds: list[tuple[float, ...]]) -> Verdict:
    seen = window(timed(rounds))
    return rule.judge(seen, None, after(seen))


def spent(usd: str, slices: list[str]) -> Verdict:
    """Slices of the five minutes before noon, in order."""
    count = len(slices)
    day = Spend(
        day=MIDNIGHT.date(), starts_at=MIDNIGHT, ends_at=MIDNIGHT + 24 * HOUR,
        total_usd=Decimal(usd),
        slices=tuple((NOON - EVERY * (count - n), Decimal(s)) for n, s in enumerate(slices)),
    )  # fmt: skip
    return SpendRule().judge([day], None, NOON)


def budget_reached() -> Verdict:
    day = Spend(day=MIDNIGHT.date(), starts_at=MIDNIGHT, ends_at=MIDNIGHT + 24 * HOUR,
                total_usd=Decimal("0.51"))  # fmt: skip
    return ProbeBudgetRule().judge(ProbeUsage(day=day, probes=9), None, NOON)


def unknown(rule: IdentityUnknownRule | UnpricedRule) -> Verdict:
    seen = window(marked("|".join(["...", *["???"] * 40])))
    if isinstance(rule, UnpricedRule):
        samples = [replace(s, model="acme/new", cost_usd=None) for s in seen.samples]
        seen = window(iter([sample(at=NOON - MINUTE, round=NOON - MINUTE), *samples]))
    return rule.judge(seen, None, after(seen))


ROUND = EVERY + SECOND  # start of the first probe of the second round
CASES: list[tuple[str, Verdict, datetime]] = [
    # Five of six: the good one before the failures is not part of the breach.
    ("down", of_marks(DownRule(), "...|..x|xxx|x"), NOON + ROUND + 4 * SECOND),
    ("down", of_marks(DownRule(), "...|xxx|xxx"), NOON + ROUND),
    ("fallback", of_marks(FallbackRule(), "...|..F|FFF"), NOON + ROUND + 4 * SECOND),
    ("fallback", of_marks(FallbackRule(mode="immediate"), "...|F"), NOON + ROUND),
    # Longer than the stretch that proves it: a worker that was busy or away judges late.
    ("down", of_marks(DownRule(), "...|...|" + "|".join(["xxx"] * 40)), NOON + ROUND + EVERY),
    ("down", of_marks(DownRule(), "...|" + "|".join(["x"] * 20)), NOON + ROUND),
    ("down", of_marks(DownRule(), "..x|..x|" + "|".join(["xxx"] * 3)), NOON + ROUND + 4 * SECOND),
    ("down", of_marks(DownRule(), "x|.|x|x|x"), NOON + 2 * EVERY + SECOND),
    (
        "fallback",
        of_marks(FallbackRule(), "...|...|" + "|".join(["FFF"] * 12)),
        NOON + ROUND + EVERY,
    ),
    (
        "fallback",
        of_marks(FallbackRule(mode="share"), "...|" + "|".join(["FFF"] * 12)),
        NOON + ROUND,
    ),
    ("fallback", of_marks(FallbackRule(mode="immediate"), "...|FFF|FFF"), NOON + ROUND),
    ("ttft", slow(TtftRule(), HEALTHY * 40 + SLOW * 12), NOON + 40 * EVERY + SECOND),
    ("ttft", slow(TtftRule(), HEALTHY * 40 + SLOW * 120), NOON + 40 * EVERY + SECOND),
    ("ttft", slow(TtftRule(mode="consecutive"), HEALTHY + SLOW * 9), NOON + ROUND),
    ("ttft", slow(TtftRule(mode="consecutive"), HEALTHY + OUTLIER * 3), NOON + ROUND),
    ("ttft", slow(TtftRule(mode="immediate"), HEALTHY + SLOW * 9), NOON + ROUND + 4 * SECOND),
    ("model_changed", of_marks(ModelChangedRule(), "...|" + "|".join(["CCC"] * 40)), NOON + ROUND),
    ("model_changed", of_marks(ModelChangedRule(mode="immediate"), "...|CCC|C"), NOON + ROUND),
    ("ttft", slow(TtftRule(), HEALTHY * 40 + SLOW * 3), NOON + 40 * EVERY + SECOND),
    ("ttft", slow(TtftRule(mode="consecutive"), HEALTHY + SLOW * 3), NOON + ROUND),
    ("ttft", slow(TtftRule(mode="immediate"), [*HEALTHY, *SLOW]), NOON + ROUND + 4 * SECOND),
    ("model_changed", of_marks(ModelChangedRule(), "...|..C|C"), NOON + ROUND + 4 * SECOND),
    # Silence began with the last sample, and was long enough to be told of later.
    ("no_data", of_marks(NoDataRule(), "...|...", wait=HOUR), NOON + ROUND + 4 * SECOND),
    # 1.40, 1.70, 2.00, 2.30: the last slice carried the sum over 2.00.
    ("spend", spent("2.30", ["0.30", "0.30", "0.30"]), NOON - EVERY),
    ("spend", spent("2.60", ["0.30", "0.30", "0.30"]), NOON - 2 * EVERY),
    ("spend", spent("9.00", ["0.30"]), MIDNIGHT),  # crossed before what is known by the minute
    ("probe_budget", budget_reached(), NOON),
    (
        "key",
        KeyRule().judge(
            AccountReading(provider="openrouter", at=NOON - MINUTE, state=AccountState.REJECTED),
            None,
            NOON,
        ),
        NOON - MINUTE,
    ),
    (
        "delivery",
        DeliveryRule().judge(
            DeliveryBacklog(channel="bot", waiting=2, oldest_at=NOON - HOUR), None, NOON
        ),
        NOON - HOUR,
    ),
    (
        "delivery",
        DeliveryRule().judge(
            DeliveryBacklog(
                channel="bot",
                waiting=2,
                oldest_at=NOON - MINUTE,
                broken_since=NOON - 2 * HOUR,
                broken_why="no_service",
            ),
            None,
            NOON,
        ),
        NOON - 2 * HOUR,
    ),
    ("identity_unknown", unknown(IdentityUnknownRule()), NOON + ROUND),
    ("unpriced", unknown(UnpricedRule()), NOON + SECOND),
]


@each(("rule", "verdict", "since"), CASES)
def test_a_verdict_carries_the_start_of_its_first_bad_row(
    rule: str, verdict: Verdict, since: datetime
) -> None:
    assert verdict.rule == rule
    assert verdict.state in (VerdictState.BREACH, VerdictState.NOTICE)
    assert verdict.since == since


@each("name", RULES)
def test_no_rule_is_left_out(name: str) -> None:
    """A rule has its case here, or shows `since` in its own test file."""
    own = Path(__file__).with_name(f"test_rule_{name}.py")
    shown = any(rule == name and verdict.since is not None for rule, verdict, _ in CASES)
    shown = shown or (own.exists() and ".since == " in own.read_text(encoding="utf-8"))
    assert shown, f"assert the start of a breach in tests/unit/{own.name}: verdict.since == ..."


def breach(**changes: object) -> Verdict:
    ordinary = Verdict(rule="ttft", scope="rag", state=VerdictState.BREACH, value=2.0, limit=1.2,
                       because="It is 2.", since=NOON - 10 * MINUTE)  # fmt: skip
    return replace(ordinary, **changes)  # type: ignore[arg-type]


def test_the_beginning_and_the_sentence_of_an_incident_are_fixed_at_its_opening() -> None:
    opened, _ = advance(None, breach(), policy=ReminderPolicy(), now=NOON)
    later = breach(since=NOON + HOUR, because="It is 3.")
    seen, _ = advance(opened, later, policy=ReminderPolicy(), now=NOON + 2 * HOUR)
    assert seen is not None
    assert (seen.first_seen_at, seen.since) == (NOON - 10 * MINUTE, NOON - 10 * MINUTE)
    assert (seen.opening_because, seen.because) == ("It is 2.", "It is 3.")


@pytest.mark.parametrize("since", [None, NOON + 4 * MINUTE])
def test_a_breach_never_begins_after_it_was_judged(since: datetime | None) -> None:
    """A rule that says nothing, or a worker whose clock is ahead."""
    opened, _ = advance(None, breach(since=since), policy=ReminderPolicy(), now=NOON)
    assert opened is not None
    assert (opened.first_seen_at, opened.opened_at) == (NOON, NOON)


def test_a_return_keeps_the_first_beginning_and_adds_its_own() -> None:
    over = incident("ttft", opened_at=NOON - HOUR, resolved_at=NOON - 20 * MINUTE,
                    first_seen_at=NOON - 2 * HOUR, since=NOON - 2 * HOUR)  # fmt: skip
    again, _ = advance(over, breach(because="It is back."), policy=ReminderPolicy(), now=NOON)
    assert again is not None
    assert (again.first_seen_at, again.since) == (NOON - 2 * HOUR, NOON - 10 * MINUTE)
    assert again.opening_because == "It is back."


@pytest.mark.parametrize(
    ("rule", "marks", "sentence"),
    [
        (DownRule(), "...|...|" + "|".join(["xxx"] * 20), "60 of the last 60 probes failed"),
        (FallbackRule(), "...|...|" + "|".join(["FFF"] * 20), "60 of the last 60 answers (100%)"),
    ],
)
def test_a_first_sentence_counts_the_whole_breach(
    rule: DownRule | FallbackRule, marks: str, sentence: str
) -> None:
    assert of_marks(rule, marks).because.startswith(sentence)


def test_a_first_sentence_of_ttft_counts_the_whole_breach() -> None:
    because = slow(TtftRule(), HEALTHY * 40 + SLOW * 12).because
    assert because.startswith("TTFT is 2200 ms, the median of 12 rounds")


@pytest.mark.parametrize(
    ("rule", "marks"), [(DownRule(), "xxx|xxx|xxx|xxx"), (FallbackRule(), "FFF|FFF|FFF|FFF")]
)
def test_a_breach_does_not_reach_back_before_the_end_of_the_last_incident(
    rule: DownRule | FallbackRule, marks: str
) -> None:
    seen = window(marked(marks))
    ended = NOON + ROUND + 3 * SECOND
    over = incident(rule.name, opened_at=NOON - HOUR, resolved_at=ended)
    assert rule.judge(seen, over, after(seen)).since == NOON + ROUND + 4 * SECOND


# ------------------------------------------------------------ an open incident's own rows


def opened(rule: DownRule | FallbackRule | TtftRule, seen: Window) -> tuple[Incident, Verdict]:
    """The incident a window opens, and its opening verdict."""
    verdict = rule.judge(seen, None, after(seen))
    incident, _ = advance(None, verdict, policy=ReminderPolicy(), now=after(seen))
    assert incident is not None
    assert incident.open
    return incident, verdict


@pytest.mark.parametrize(
    ("before", "after_it", "fired", "later"),
    [
        # 6 of the last 20 known answers would be 30 % of a total fallback.
        ("...|" * 10 + "FFF|F", "FF", "4 of the last 4 answers", "6 of the last 6 answers (100%)"),
        ("...|" * 10 + "FFF|F", "F.", "4 of the last 4 answers", "5 of the last 6 answers (83%)"),
    ],
)
def test_an_open_fallback_is_counted_over_its_own_answers(
    before: str, after_it: str, fired: str, later: str
) -> None:
    incident, verdict = opened(FallbackRule(), window(marked(before)))
    assert verdict.because.startswith(fired)
    seen = window(marked(before + after_it))
    now = FallbackRule().judge(seen, incident, after(seen))
    assert (now.state, now.because[: len(later)]) == (VerdictState.BREACH, later)
    assert now.since == incident.since


def test_an_open_outage_is_counted_over_its_own_probes_and_its_first_failure_stays() -> None:
    incident, verdict = opened(DownRule(), window(marked("...|.xx|xxx")))
    assert verdict.because.startswith("5 of the last 6 probes failed")
    first = incident.facts["First failure"]
    seen = window(marked("...|.xx|xxx|x"))
    now = DownRule().judge(seen, incident, after(seen))
    assert now.because.startswith("6 of the last 6 probes failed")
    assert now.facts["First failure"] == first
    over = window(marked("...|.xx|xxx|x..|..."))
    ended = DownRule().judge(over, incident, after(over))
    assert (ended.state, ended.because) == (VerdictState.OK, "None of the last 5 probes failed.")
    assert ended.value == 0, "it agrees with the sentence"


def test_an_open_ttft_is_described_by_its_own_rounds() -> None:
    rounds = HEALTHY * 40 + SLOW * 3
    incident, verdict = opened(TtftRule(), window(timed(rounds)))
    assert "the median of 3 rounds" in verdict.because
    seen = window(timed([*rounds, *SLOW]))
    assert "the median of 3 rounds" in TtftRule().judge(seen, incident, after(seen)).because
    fresh = replace(incident, since=seen.rounds[-2].samples[0].at)
    assert "the median of 2 rounds" in TtftRule().judge(seen, fresh, after(seen)).because


def test_an_incident_from_before_the_upgrade_goes_on() -> None:
    """Its first bad row is not known: it is counted from its opening."""
    incident, _ = opened(DownRule(), window(marked("...|.xx|xxx")))
    older = replace(incident, since=None, first_seen_at=None, opening_because=None)
    seen = window(marked("...|.xx|xxx|x"))
    now = DownRule().judge(seen, older, after(seen))
    assert (now.state, now.because.split(":")[0]) == (
        VerdictState.BREACH,
        "The latest probe failed",
    )


# ------------------------------------------------------------ notices of a change


def drifted() -> Iterator[Sample]:
    for order in range(40):
        slot = NOON + order * EVERY
        for query in range(3):
            yield sample(
                id=UUID(int=10 * order + query), at=slot + (2 * query + 1) * SECOND, round=slot,
                query=f"q{query}", prompt_tokens=1000 if order < 30 else 2000,
                answer_tokens=200 + (3 * order + query) % 7, cost_source=CostSource.REPORTED,
            )  # fmt: skip


def unpriced(marks: str) -> Iterator[Sample]:
    """`F` has no price."""
    for one in marked(marks):
        yield replace(one, cost_usd=None) if one.identity is Identity.FALLBACK else one


CHANGES = {  # a rule whose messages are notices, its rows, and since when the change exists
    "cost_drift": (CostDriftRule(), drifted(), "Changed since 14:30 UTC (45 min); the model is"),
    "ttft_unknown": (
        TtftUnknownRule(), timed(HEALTHY * 6 + [(None, None, None)] * 8),
        "Disturbed since 12:30 UTC (35 min): 24 of 36 measurements",
    ),
    "unpriced": (
        UnpricedRule(), unpriced("...|...|FFF|FFF"),
        "Since 12:10 UTC (5 min), 6 of 12 answers in the last 24 h have no price.",
    ),
    # It may have begun before the window.
    "unpriced: for a day": (
        UnpricedRule(), unpriced("FFF|" * 280 + "FFF"),
        "843 of 843 answers in the last 24 h have no price.",
    ),
    "identity_unknown": (
        IdentityUnknownRule(), marked("...|..." + "|???" * 40),
        "120 of 126 answers in the last 24 h; the latest identified answer is of 12:05 UTC.",
    ),
}  # fmt: skip


@each("name", CHANGES)
def test_a_notice_says_since_when_the_change_exists(name: str) -> None:
    rule, samples, stated = CHANGES[name]
    seen = window(samples)
    verdict = rule.judge(seen, None, after(seen))
    (step,) = plan((), [verdict], inhibitions=INHIBITIONS, policy=ReminderPolicy(), now=after(seen))
    assert step.notice is not None
    assert step.notice.status is NoticeStatus.NOTICE
    assert plain_text(step.notice).splitlines()[1].startswith(stated)


def test_a_changed_price_says_when_it_was_read() -> None:
    entry = CalendarEntry(
        kind=CalendarKind.PRICE, scope="openrouter", model="meta-llama/llama-4-scout",
        at=NOON - 3 * MINUTE, what="the list price changed: input $1 → $2 per million tokens",
        term="1", source="model list of openrouter",
    )  # fmt: skip
    verdict = CalendarRule().judge(Calendar(entries=(entry,)), None, NOON)
    assert verdict.facts["Source"] == "model list of openrouter, read at 2026-11-23 11:57 UTC"
