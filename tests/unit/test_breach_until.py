"""Every rule says when a breach ended: the start of the first good row after its last bad one."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from monitor.backtest.input_rows import BacktestRow
from monitor.backtest.replay import Replay
from monitor.domain import (
    UNJUDGED,
    AccountReading,
    AccountState,
    Incident,
    Notice,
    NoticeStatus,
    Sample,
    Spend,
    Verdict,
    VerdictState,
)
from monitor.incidents.planner import plan
from monitor.incidents.silences import abandoned
from monitor.incidents.state_machine import ReminderPolicy, advance
from monitor.notifications.plain_text import plain_text, title
from monitor.rules import (
    DEFAULT_RULES,
    RULES,
    AnswerCheckRule,
    DeliveryBacklog,
    DeliveryRule,
    DownRule,
    FallbackRule,
    KeyRule,
    ModelChangedRule,
    NoDataRule,
    ProbeBudgetRule,
    ProbeUsage,
    RetrievalRule,
    Rule,
    SpendRule,
    TtftRule,
    TtftUnknownRule,
)
from tests.case_tables import each
from tests.probe_notation import EVERY, INHIBITIONS, NOON, incident, marked, sample, timed

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
MIDNIGHT = NOON.replace(hour=0)
TOMORROW = MIDNIGHT + timedelta(days=1)
HEALTHY, SLOW = [(1000.0, 1000.0, 1000.0)], [(2200.0, 2200.0, 2200.0)]


def ended(rule: Rule, samples: Iterable[Sample]) -> tuple[Incident, Notice]:
    """The incident that samples open and end, judged as the worker judges, and its last notice."""
    playing = Replay({rule.name: rule}, policy=ReminderPolicy())
    notices = [
        event.notice
        for one in samples
        for event in playing.take(BacktestRow(one.at, "rag", None, one))
        if event.event == "resolve"
    ]
    (last,) = playing._incidents.values()
    assert notices, f"{rule.name} did not end"
    assert notices[-1] is not None
    return last, notices[-1]


def checked(marks: str) -> Iterable[Sample]:
    """Rounds of one query: `.` passes its check, `x` fails it."""
    for order, mark in enumerate(marks):
        slot = NOON + order * EVERY
        fails = mark == "x"
        yield sample(
            at=slot + SECOND, round=slot, check_passed=not fails,
            check_failed="contains: the answer lacks \"visa\"" if fails else None,
        )  # fmt: skip


def retrieved(counts: str) -> Iterable[Sample]:
    """Rounds of one query by their number of sources."""
    for order, count in enumerate(counts):
        slot = NOON + order * EVERY
        yield sample(
            at=slot + SECOND, round=slot, source_count=int(count),
            source_best_score=0.7 + order % 7 / 1000 if count != "0" else None,
        )  # fmt: skip


def silence() -> Iterable[Sample]:
    yield from marked("...|...")
    yield from marked("...|...", start=NOON + HOUR)


def at(rounds: int, query: int = 0) -> datetime:
    """When the probe of a query of a round began."""
    return NOON + rounds * EVERY + (1 + 2 * query) * SECOND


FULL = "...|" * 10 + "FFF|" * 4  # a full fallback: good again in round 14
CASES = {
    "fallback": (FallbackRule(), marked(FULL + "...|" * 9 + "..."), at(14)),
    "fallback: in the middle of a round": (
        FallbackRule(), marked("...|" * 10 + "FFF|FFF|F..|" + "...|" * 8 + "..."), at(12, 1),
    ),
    "fallback: a stray hit before the end": (
        FallbackRule(), marked(FULL + "...|" * 7 + ".F.|" + "...|" * 12 + "..."), at(14),
    ),
    "fallback: mode share": (
        FallbackRule(mode="share"), marked(FULL + "...|" * 9 + "..."), at(14),
    ),
    "fallback: unknown answers in between": (
        FallbackRule(), marked(FULL + "???|" * 3 + "...|" * 9 + "..."), at(17),
    ),
    "model_changed": (
        ModelChangedRule(), marked("...|" * 10 + "CCC|" * 4 + "...|" * 20 + "..."), at(14),
    ),
    "down": (DownRule(), marked("...|" * 3 + "xxx|xxx|xx.|...|...|..."), at(5, 2)),
    "ttft": (TtftRule(), timed(HEALTHY * 40 + SLOW * 5 + HEALTHY * 12), at(45)),
    "ttft: mode consecutive": (
        TtftRule(mode="consecutive"), timed(HEALTHY * 4 + SLOW * 5 + HEALTHY * 6), at(9),
    ),
    "no_data": (NoDataRule(), silence(), NOON + HOUR + SECOND),
    "answer_check": (AnswerCheckRule(), checked("." * 12 + "x" * 4 + "." * 4), at(16)),
    "retrieval": (RetrievalRule(), retrieved("5" * 73 + "0" * 4 + "5" * 5), at(77)),
    "ttft_unknown": (
        TtftUnknownRule(),
        timed(HEALTHY * 6 + [(None, None, None)] * 8 + HEALTHY * 30), at(14),
    ),
}  # fmt: skip


@each("name", CASES)
def test_an_incident_lasted_until_the_first_good_row(name: str) -> None:
    rule, samples, until = CASES[name]
    over, notice = ended(rule, samples)
    assert (over.until, over.breach_until, notice.until) == (until, until, until)
    assert over.resolved_at is not None
    assert over.resolved_at >= until
    if not rule.passing:
        assert f"{until:%H:%M} UTC" in plain_text(notice).splitlines()[1]


def spend_day(usd: str, day: datetime = MIDNIGHT) -> Spend:
    return Spend(
        day=day.date(), starts_at=day, ends_at=day + timedelta(days=1), total_usd=Decimal(usd)
    )


def account(state: AccountState, when: datetime) -> AccountReading:
    return AccountReading(provider="openrouter", at=when, state=state)


def backlog(waiting: int = 0, **changes: datetime) -> DeliveryBacklog:
    return DeliveryBacklog(channel="bot", waiting=waiting, **changes)  # type: ignore[arg-type]


def budget(usd: str, day: datetime = MIDNIGHT) -> ProbeUsage:
    return ProbeUsage(day=spend_day(usd, day), probes=9)


READINGS = {  # what is judged and when, of rules that judge no samples; and the end
    # The worker was off at midnight.
    "spend": (SpendRule(), [
        (NOON, [spend_day("2.10")]),
        (TOMORROW + 7 * HOUR, [spend_day("2.30"), spend_day("0.10", TOMORROW)]),
    ], TOMORROW),
    "spend: the zone of the day": (SpendRule(timezone="Europe/Rome"), [
        (NOON, [spend_day("2.10")]),
        (TOMORROW + 7 * HOUR, [spend_day("0.10", TOMORROW)]),
    ], TOMORROW - HOUR),
    "spend: corrected": (SpendRule(), [
        (NOON, [spend_day("2.10")]),
        (NOON + HOUR, [spend_day("1.90")]),
        (NOON + 2 * HOUR, [spend_day("1.95")]),
        (TOMORROW, [spend_day("1.95"), spend_day("0.10", TOMORROW)]),
    ], NOON + HOUR),
    "probe_budget": (ProbeBudgetRule(), [
        (NOON, budget("0.51")), (TOMORROW + 7 * HOUR, budget("0.01", TOMORROW)),
    ], TOMORROW),
    "probe_budget: raised on the same day": (ProbeBudgetRule(), [
        (NOON, budget("0.51")), (NOON + HOUR, budget("0.40")),
        (TOMORROW, budget("0.01", TOMORROW)),
    ], NOON + HOUR),
    "key": (KeyRule(), [
        (NOON, account(AccountState.REJECTED, NOON - MINUTE)),
        (NOON + HOUR, account(AccountState.OK, NOON + HOUR - 2 * MINUTE)),
    ], NOON + HOUR - 2 * MINUTE),
    "delivery": (DeliveryRule(), [
        (NOON, backlog(3, oldest_at=NOON - HOUR)),
        (NOON + HOUR, backlog(2, oldest_at=NOON + HOUR - MINUTE, last_sent_at=NOON + 58 * MINUTE)),
        (NOON + 2 * HOUR, backlog(last_sent_at=NOON + 61 * MINUTE)),
    ], NOON + 58 * MINUTE),
}  # fmt: skip


@each("name", READINGS)
def test_an_incident_of_a_reading_ended_when_the_reading_was_good(name: str) -> None:
    rule, readings, until = READINGS[name]
    latest: Incident | None = None
    for now, reading in readings:
        verdict = rule.judge(reading, latest, now)
        latest, _ = advance(latest, verdict, policy=ReminderPolicy(), now=now)
    assert latest is not None
    assert not latest.open
    assert latest.until == until


@each("name", RULES)
def test_no_rule_is_left_out(name: str) -> None:
    """`cost_drift` marks one change, which does not end; the others open no incident."""
    alone = {"cost_drift", "calendar", "identity_unknown", "unpriced"}
    assert name in {case.partition(":")[0] for case in (*CASES, *READINGS)} | alone


IMMEDIATE = {
    "fallback": (FallbackRule(mode="immediate"), marked(".|.|F|F|.|."), at(4)),
    "model_changed": (ModelChangedRule(mode="immediate"), marked(".|.|C|C|.|."), at(4)),
    "ttft": (
        TtftRule(mode="immediate"), timed([(900.0,)] * 2 + [(2200.0,)] * 2 + [(900.0,)] * 2), at(4),
    ),
}  # fmt: skip


@each("name", IMMEDIATE)
def test_in_mode_immediate_too(name: str) -> None:
    rule, samples, until = IMMEDIATE[name]
    over, notice = ended(rule, samples)
    assert (over.until, notice.until) == (until, until)


def test_resolved_claims_no_more_than_happened() -> None:
    """The fifteen good answers that prove the end of a fallback are not part of it."""
    _, notice = ended(FallbackRule(), marked("...|" * 10 + "FFF|FFF|FFF|" + "...|" * 9 + "..."))
    assert title(notice) == "rag: Llama 4 Scout answers again, after 15 min"
    assert (
        "From 12:50 to 13:05 UTC Claude Haiku 4.5 gave up to 100 % of the answers."
        in plain_text(notice)
    )


def verdict(state: VerdictState, **changes: object) -> Verdict:
    ordinary = Verdict(rule="down", scope="rag", state=state, value=2.0, limit=1.2, because="So.")
    return replace(ordinary, **changes)  # type: ignore[arg-type]


def judged(*verdicts: tuple[datetime, Verdict]) -> Incident:
    latest: Incident | None = None
    for now, one in verdicts:
        latest, _ = advance(latest, one, policy=ReminderPolicy(), now=now)
    assert latest is not None
    return latest


BREACH, OK, HOLD = VerdictState.BREACH, VerdictState.OK, VerdictState.HOLD
OPENED = (NOON, verdict(BREACH, since=NOON - 10 * MINUTE))


@each(("verdicts", "until"), [
    ([OPENED], None),
    # The first recovery counts, unless the rule corrects it.
    ([OPENED, (NOON + HOUR, verdict(HOLD, recovered="Well", since=NOON + 50 * MINUTE))],
     NOON + 50 * MINUTE),
    ([OPENED, (NOON + HOUR, verdict(HOLD, recovered="Well", since=NOON + 50 * MINUTE)),
      (NOON + 2 * HOUR, verdict(OK))], NOON + 50 * MINUTE),
    # It came back meanwhile.
    ([OPENED, (NOON + HOUR, verdict(HOLD, recovered="Well", since=NOON + 50 * MINUTE)),
      (NOON + 2 * HOUR, verdict(BREACH))], None),
    # A rule that does not say: when it was judged.
    ([OPENED, (NOON + MINUTE, verdict(BREACH)), (NOON + HOUR, verdict(OK))], NOON + HOUR),
    # A clock is wrong.
    ([OPENED, (NOON + HOUR, verdict(OK, since=NOON + 2 * HOUR))], NOON + HOUR),
    ([OPENED, (NOON + HOUR, verdict(OK, since=NOON - HOUR))], NOON + HOUR),
    # What cannot be judged is neither in breach nor over.
    ([OPENED, (NOON + HOUR, verdict(HOLD, recovered=UNJUDGED, since=NOON + 50 * MINUTE))], None),
])  # fmt: skip
def test_the_end_is_part_of_the_state(
    verdicts: list[tuple[datetime, Verdict]], until: datetime | None
) -> None:
    assert judged(*verdicts).until == until


def test_an_incident_that_is_closed_without_a_check_lasted_until_it_was_last_seen() -> None:
    open_ = judged(OPENED, (NOON + MINUTE, verdict(BREACH)))
    (end,) = abandoned([open_], rules=DEFAULT_RULES, scopes={"down": ()}, now=NOON + 2 * HOUR)
    over, _ = advance(open_, end, policy=ReminderPolicy(), now=NOON + 2 * HOUR)
    assert over is not None
    assert over.until == NOON + MINUTE


def test_each_breach_of_an_incident_that_came_back_has_its_own_end() -> None:
    again = judged(
        OPENED,
        (NOON + HOUR, verdict(OK, since=NOON + 50 * MINUTE)),
        (NOON + 80 * MINUTE, verdict(BREACH, since=NOON + 75 * MINUTE)),
    )
    assert again.earlier_breaches == ((NOON - 10 * MINUTE, NOON + 50 * MINUTE),)
    assert again.until is None
    now = NOON + 3 * HOUR
    (step,) = plan(
        [replace(again, number=7, told=NoticeStatus.FIRING)],
        [verdict(OK, since=NOON + 85 * MINUTE, because="Well again.")],
        inhibitions=INHIBITIONS,
        policy=ReminderPolicy(),
        now=now,
    )
    assert step.notice is not None
    assert step.notice.status is NoticeStatus.RESOLVED
    assert "Over after 2 breaches in 1 h 35 min. Well again." in step.notice.sentence


def test_an_incident_from_before_the_upgrade_ends_when_it_was_resolved() -> None:
    older = incident("down", resolved_at=NOON + HOUR)
    assert (older.until, older.breach_until) == (None, NOON + HOUR)
    again, _ = advance(
        older, verdict(BREACH, since=NOON + 70 * MINUTE), policy=ReminderPolicy(),
        now=NOON + 80 * MINUTE,
    )  # fmt: skip
    assert again is not None
    assert again.earlier_breaches == ((older.breach_since, older.last_breach_at),)
