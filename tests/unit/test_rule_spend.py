"""`spend`: the exact sum of a day, once and at each doubling; before it, a notice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from monitor.domain import Incident, Spend, Verdict, VerdictState
from monitor.incidents.planner import plan
from monitor.incidents.state_machine import ReminderPolicy
from monitor.rules import SpendRule, SpendUpperBound
from tests.case_tables import each
from tests.probe_notation import INHIBITIONS, NOON, incident

MIDNIGHT = NOON - timedelta(hours=12)
DAY = timedelta(days=1)


def day(usd: str, *, ago: int = 0, slices: list[str] | None = None, **changes: object) -> Spend:
    starts_at = MIDNIGHT - ago * DAY
    count = len(slices or ())
    return Spend(
        day=starts_at.date(),
        starts_at=starts_at,
        ends_at=starts_at + DAY,
        total_usd=Decimal(usd),
        slices=tuple(
            (NOON - timedelta(minutes=5) * (count - n), Decimal(each))
            for n, each in enumerate(slices or ())
        ),
        **changes,  # type: ignore[arg-type]
    )


def told(once: str, **changes: object) -> Incident:
    return incident("spend", scope="all", opened_at=NOON, once=once, **changes)


@pytest.mark.parametrize(
    ("usd", "state", "once"),
    [
        ("0", VerdictState.OK, None),
        ("2.00", VerdictState.OK, None),  # the limit itself is not over it
        ("2.000000000001", VerdictState.BREACH, "2026-11-23 ×1"),
        ("4.00", VerdictState.BREACH, "2026-11-23 ×1"),
        ("4.01", VerdictState.BREACH, "2026-11-23 ×2"),
        ("8.01", VerdictState.BREACH, "2026-11-23 ×4"),
        ("20", VerdictState.BREACH, "2026-11-23 ×8"),
    ],
)
def test_a_day_is_over_its_limit_by_the_exact_sum(
    usd: str, state: VerdictState, once: str | None
) -> None:
    verdict = SpendRule().judge([day(usd)], None, NOON)
    assert (verdict.state, verdict.once) == (state, once)
    assert verdict.scope == "all"


@pytest.mark.parametrize(
    ("usd", "reported"),
    [
        ("2.03", "Spend of 2026-11-23 (UTC) is $2.03; limit $2.00."),
        ("2.002845", "Spend of 2026-11-23 (UTC) is $2.003; limit $2.00."),
        (
            "4.50",
            "Spend of 2026-11-23 (UTC) is $4.50; limit $2.00. That is more than 2 times the limit.",
        ),
    ],
)
def test_the_sentence_shows_on_which_side_the_sum_lies(usd: str, reported: str) -> None:
    assert SpendRule().judge([day(usd)], None, NOON).because == reported


@pytest.mark.parametrize(
    ("usd", "limit", "reported"),
    [
        ("0.001", "0.004", "is $0.001; limit $0.004."),  # neither reads as zero
        ("0.004002", "0.004", "is $0.004002; limit $0.004."),
        ("5", "2.005", "is $5.00; limit $2.005. That is more than 2 times the limit."),
    ],
)
def test_small_amounts_and_limits_have_the_digits_they_need(
    usd: str, limit: str, reported: str
) -> None:
    verdict = SpendRule(limit_usd=Decimal(limit)).judge([day(usd)], None, NOON)
    assert verdict.because.endswith(reported)


def test_a_sum_with_something_unpriced_says_at_least() -> None:
    verdict = SpendRule().judge([day("2.50", at_least=True)], None, NOON)
    assert verdict.because.startswith("Spend of 2026-11-23 (UTC) is at least $2.50")


def test_the_incident_of_a_day_ends_with_the_day() -> None:
    latest_incident = told("2026-11-22 ×1", value=Decimal("2.20"))
    verdict = SpendRule().judge([day("2.31", ago=1), day("0.01")], latest_incident, NOON)
    assert verdict.state is VerdictState.OK
    assert verdict.because == "The day 2026-11-22 is over, at $2.31."
    assert verdict.value == Decimal("2.31")


def test_the_new_day_is_not_judged_by_the_incident_of_the_old_one() -> None:
    latest_incident = told("2026-11-22 ×1")
    assert (
        SpendRule().judge([day("9")], latest_incident, NOON).state is VerdictState.OK
    )  # ends it first
    ended = told("2026-11-22 ×1", resolved_at=NOON)
    assert SpendRule().judge([day("9")], ended, NOON).state is VerdictState.BREACH


def test_a_correction_below_the_limit_takes_nothing_back() -> None:
    latest_incident = told("2026-11-23 ×1")
    verdict = SpendRule().judge([day("1.99")], latest_incident, NOON)
    assert (verdict.state, verdict.recovered) == (
        VerdictState.HOLD,
        "Corrected to within the limit",
    )


def test_a_correction_does_not_make_a_doubling_new_again() -> None:
    latest_incident = told("2026-11-23 ×2", peak=Decimal("4.10"))
    assert SpendRule().judge([day("3.90")], latest_incident, NOON).once == "2026-11-23 ×2"


def test_a_corrected_sum_is_worded_by_what_it_is_now() -> None:
    latest_incident = told("2026-11-23 ×8", peak=Decimal(17))
    verdict = SpendRule().judge([day("5")], latest_incident, NOON)
    assert verdict.once == "2026-11-23 ×8"
    assert verdict.because.endswith("is $5.00; limit $2.00. That is more than 2 times the limit.")


SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("told_at", "now", "once"),
    [
        (NOON, NOON + 30 * SECOND, "2026-11-23 ×1"),
        (NOON, NOON + 10 * MINUTE - SECOND, "2026-11-23 ×1"),
        (NOON, NOON + 10 * MINUTE, "2026-11-23 ×8"),
        # Not held back beyond the day, whose end is no message; nor by a clock that was ahead.
        (MIDNIGHT + DAY - 2 * MINUTE, MIDNIGHT + DAY - MINUTE - SECOND, "2026-11-23 ×1"),
        (MIDNIGHT + DAY - 2 * MINUTE, MIDNIGHT + DAY - MINUTE, "2026-11-23 ×8"),
        (NOON + 90 * DAY, MIDNIGHT + DAY - MINUTE, "2026-11-23 ×8"),
    ],
)
def test_doublings_within_ten_minutes_of_a_message_are_one_message(
    told_at: datetime, now: datetime, once: str
) -> None:
    latest_incident = told("2026-11-23 ×1", last_told_at=told_at)
    verdict = SpendRule().judge([day("20")], latest_incident, now)
    assert (verdict.state, verdict.once, verdict.value) == (VerdictState.BREACH, once, Decimal(20))
    assert verdict.because.endswith("That is more than 8 times the limit.")


def test_a_cost_that_explodes_is_few_messages_and_the_last_names_the_highest_doubling() -> None:
    """$2.01, then twice as much every 20 seconds for three minutes, judged each time."""
    incidents: dict[tuple[str, str], Incident] = {}
    messages = []
    for nth in range(90):
        now = NOON + nth * 20 * SECOND
        total = Decimal("2.01") * 2 ** min(nth, 9)
        verdict = SpendRule().judge([day(f"{total}")], incidents.get(("spend", "all")), now)
        steps = plan(incidents.values(), [verdict], inhibitions=INHIBITIONS,
                     policy=ReminderPolicy(), now=now)  # fmt: skip
        for step in steps:
            assert step.incident is not None
            incidents[step.incident.key] = replace(step.incident, number=1)
            if step.notice is not None:
                messages.append((now - NOON, step.notice.status.value, step.notice.sentence))
    assert [(at, status) for at, status, _ in messages] == [
        (timedelta(0), "FIRING"),
        (10 * MINUTE, "STILL FIRING"),
    ]
    assert "is $1,029.12" in messages[-1][2]
    assert "more than 512 times the limit" in messages[-1][2]


def test_yesterday_passing_late_is_reported_as_yesterdays() -> None:
    days = [day("2.10", ago=1), day("0.10")]
    verdict = SpendRule().judge(days, None, NOON)
    assert (verdict.state, verdict.once) == (VerdictState.NOTICE, "2026-11-22 late")
    assert verdict.because == (
        "Corrected by late observations: Spend of 2026-11-22 (UTC) is $2.10; limit $2.00."
    )
    ended = told("2026-11-22 ×1", resolved_at=MIDNIGHT)
    assert SpendRule().judge(days, ended, NOON).state is VerdictState.OK  # told in time


# ------------------------------------------------------------ the early notice


def test_a_steady_rate_reports_when_the_limit_will_be_crossed() -> None:
    """$0.03 each five minutes leave $0.90 for 30 slices: two hours and a half."""
    verdict = SpendRule().judge([day("1.10", slices=["0.03"] * 24)], None, NOON)
    assert (verdict.state, verdict.once) == (VerdictState.NOTICE, "2026-11-23 at this rate")
    assert verdict.because == (
        "At this rate the spend of 2026-11-23 crosses $2.00 at 14:30 UTC; it is $1.10 now."
    )


@pytest.mark.parametrize(
    ("usd", "slices", "state"),
    [
        ("1.10", ["0.03"] * 11, VerdictState.OK),  # not yet a rate
        ("1.10", ["0.03"] * 12, VerdictState.NOTICE),
        ("0.55", ["0.01"] * 24, VerdictState.OK),  # 144 slices at $0.01 are $1.44
        ("0.57", ["0.01"] * 24, VerdictState.NOTICE),
        ("0.57", ["0.02", "0.00"] * 12, VerdictState.OK),  # as much, but not surely
        ("1.99", ["0.00"] * 24, VerdictState.OK),
    ],
)
def test_the_notice_asks_for_a_sure_rate(usd: str, slices: list[str], state: VerdictState) -> None:
    assert SpendRule().judge([day(usd, slices=slices)], None, NOON).state is state


def test_the_slice_under_way_and_old_ones_are_no_part_of_the_rate() -> None:
    spent = day("0.10", slices=["0.00"] * 12)
    running = (NOON - timedelta(minutes=2), Decimal(1))
    old = (NOON - timedelta(hours=4), Decimal(1))
    seen = Spend(
        day=spent.day, starts_at=spent.starts_at, ends_at=spent.ends_at,
        total_usd=spent.total_usd, slices=(old, *spent.slices, running),
    )  # fmt: skip
    assert SpendRule().judge([seen], None, NOON).state is VerdictState.OK


def test_the_crossing_is_reported_in_the_wall_time_of_the_zone() -> None:
    rule = SpendRule(timezone="Europe/Rome")
    assert "14:30 UTC" not in (
        reported := rule.judge([day("1.10", slices=["0.03"] * 24)], None, NOON).because
    )
    assert "15:30 Europe/Rome" in reported


def test_a_day_of_23_hours_leaves_less_time() -> None:
    """The last Sunday of March in Rome: at noon 11 hours are left, or 132 slices."""
    starts_at = datetime(2026, 3, 28, 23, tzinfo=UTC)
    now = starts_at + timedelta(hours=12)
    slices = tuple((now - timedelta(minutes=5) * n, Decimal("0.01")) for n in range(24, 0, -1))
    for left, state in (("0.67", VerdictState.OK), ("0.69", VerdictState.NOTICE)):
        short = Spend(
            day=datetime(2026, 3, 29, tzinfo=UTC).date(), starts_at=starts_at,
            ends_at=starts_at + timedelta(hours=23), total_usd=Decimal(left), slices=slices,
        )  # fmt: skip
        assert SpendRule(timezone="Europe/Rome").judge([short], None, now).state is state


@pytest.mark.parametrize(
    ("limits", "reported"),
    [
        ({"limit_usd": Decimal(0)}, "limit_usd = 0: write a number above 0"),
        ({"timezone": "Rome"}, "timezone = 'Rome': write a zone such as \"UTC\" or"),
        ({"rate_slices": 1}, "rate_slices = 1: write a number of at least 2"),
    ],
)
def test_a_senseless_limit_is_refused_with_its_remedy(
    limits: dict[str, object], reported: str
) -> None:
    with pytest.raises(ValueError, match=f"^{reported}"):
        SpendRule(**limits)  # type: ignore[arg-type]


# --- the upper end: answers of unknown model ---


def upper(*days: Spend, latest_incident: Incident | None = None) -> Verdict:
    return SpendRule().judge(SpendUpperBound(days), latest_incident, NOON)


def ranged(low: str, high: str, **changes: object) -> Spend:
    return day(low, margin_usd=Decimal(high) - Decimal(low), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "high", "state"),
    [
        ("0.40", "2.00", VerdictState.HOLD),  # the limit itself is not over it
        ("0.40", "2.000000000001", VerdictState.NOTICE),
        ("2.00", "2.10", VerdictState.NOTICE),
        ("2.000000000001", "2.10", VerdictState.HOLD),  # certain: the incident says it
        ("0.40", "0.40", VerdictState.HOLD),
    ],
)
def test_only_the_upper_end_over_the_limit_is_a_notice(
    low: str, high: str, state: VerdictState
) -> None:
    verdict = upper(ranged(low, high))
    assert verdict.state is state
    assert (verdict.once == "2026-11-23 upper end") is (state is VerdictState.NOTICE)


def test_the_notice_says_between_which_ends_the_spend_lies() -> None:
    verdict = upper(ranged("0.40", "2.10"))
    assert verdict.because == (
        "Spend of 2026-11-23 (UTC) is between $0.40 and $2.10; limit $2.00. The model of some "
        "answers is unknown: the spend exceeds the limit if the most expensive declared model "
        "gave them."
    )
    assert (verdict.value, verdict.limit) == (Decimal("2.10"), Decimal("2.00"))


def test_an_upper_end_with_something_unpriced_is_at_least_that() -> None:
    reported = upper(ranged("0.40", "2.10", at_least=True)).because
    assert "between $0.40 and at least $2.10" in reported


def test_an_upper_end_just_over_the_limit_shows_its_digits() -> None:
    assert "between $0.400000 and $2.000004" in upper(ranged("0.40", "2.000004")).because


def test_yesterday_is_said_as_yesterdays_and_today_comes_first() -> None:
    late = ranged("0.40", "2.10", ago=1)
    assert upper(late, day("0")).once == "2026-11-22 upper end"
    assert upper(late, ranged("0.40", "2.10")).once == "2026-11-23 upper end"


def test_while_the_incident_is_open_there_is_no_notice_beside_it() -> None:
    assert (
        upper(ranged("1.90", "2.10"), latest_incident=told("2026-11-23 ×1")).state
        is VerdictState.HOLD
    )


def test_the_upper_end_moves_no_verdict_on_what_is_certain() -> None:
    for usd in ("0", "2.00", "2.000000000001", "4.01"):
        with_margin, without = ranged(usd, "99"), day(usd)
        one, other = (SpendRule().judge([each], None, NOON) for each in (with_margin, without))
        assert (one.state, one.value, one.once) == (other.state, other.value, other.once)


def test_a_certain_breach_and_its_end_say_both_ends() -> None:
    verdict = SpendRule().judge([ranged("2.50", "9.10")], None, NOON)
    assert verdict.because.startswith("Spend of 2026-11-23 (UTC) is between $2.50 and $9.10;")
    over = SpendRule().judge([ranged("2.50", "9.10", ago=1), day("0")], told("2026-11-22 ×1"), NOON)
    assert over.because == "The day 2026-11-22 is over, at between $2.50 and $9.10."


@pytest.mark.parametrize(
    ("usd", "within", "extent", "certainty"),
    [
        (
            "2.03", "0.02", "$2.03, ± $0.02 by 30 days of reconciliation",
            "certain (100 %), sum of all recorded costs",
        ),
        (
            "2.03", "0.05", "$2.03, ± $0.05 by 30 days of reconciliation",
            "certain (100 %) for the sum of all recorded costs; the provider's bill may be within "
            "the limit",
        ),
        (
            "4.12", "0.10",
            "now 2.1 × the limit, $4.12, ± $0.10 by 30 days of reconciliation",
            "certain (100 %), sum of all recorded costs",
        ),
    ],
)  # fmt: skip
def test_the_message_states_how_near_the_bill_is(
    usd: str, within: str, extent: str, certainty: str
) -> None:
    today = day(usd, bill_within_usd=Decimal(within), reconciled_days=30)
    finding = SpendRule().judge([today], None, NOON).finding
    assert (finding.extent, finding.certainty) == (extent, certainty)


@each(("days", "title", "sentence"), [
    ([day("2.10", of_probes=True)],
     "spend of 2026-11-23 for the monitor's own probes is $2.10, limit $2.00",
     "Spend of 2026-11-23 (UTC) for the monitor's own probes is $2.10; limit $2.00."),
    ([day("2.10", ago=1, of_probes=True), day("0.10", of_probes=True)],
     "spend of 2026-11-22 for the monitor's own probes is $2.10, limit $2.00",
     "Corrected by late observations: Spend of 2026-11-22 (UTC) for the monitor's own probes is "
     "$2.10; limit $2.00."),
    ([day("1.50", slices=["0.03"] * 36, of_probes=True)],
     "today's spend for the monitor's own probes will pass the daily limit of $2.00 at about 13:23 "
     "UTC",
     "At this rate the spend of 2026-11-23 for the monitor's own probes crosses $2.00 at 13:23 "
     "UTC; it is $1.50 now."),
])  # fmt: skip
def test_the_cost_of_probes_alone_is_called_so(
    days: list[Spend], title: str, sentence: str
) -> None:
    verdict = SpendRule().judge(days, None, NOON)
    assert (verdict.finding.what, verdict.because[: len(sentence)]) == (title, sentence)
    of_all = [replace(one, of_probes=False) for one in days]
    assert "probes" not in SpendRule().judge(of_all, None, NOON).because


def test_the_upper_end_of_probes_alone_is_called_so() -> None:
    verdict = upper(ranged("0.40", "2.10", of_probes=True))
    assert verdict.finding.what == (
        "spend of 2026-11-23 for the monitor's own probes may exceed $2.00"
    )


def test_the_certainty_of_probes_alone_says_what_is_not_counted() -> None:
    finding = SpendRule().judge([day("2.10", of_probes=True)], None, NOON).finding
    assert finding.certainty == (
        "certain (100 %), sum of all recorded costs (`daily_queries` is 0: the service's own "
        "traffic is not counted)"
    )
    assert finding.was == (
        "spend of 2026-11-23 for the monitor's own probes was over the limit of $2.00 {when}"
    )
