"""The digest: when it is due, and what it says in which words."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from monitor.domain import Identity, Notice, NoticeStatus
from monitor.domain.report import DaySpend
from monitor.incidents import digest
from monitor.incidents.digest import (
    DigestAnswers,
    DigestFigures,
    DigestIncident,
    DigestLatency,
    DigestMonitor,
    DigestSaving,
)
from monitor.notifications.slack.render import render
from tests.case_tables import each
from tests.example_data import HAIKU, LLAMA

ROME = ZoneInfo("Europe/Rome")
NINE = datetime(2026, 11, 23, 9, tzinfo=UTC)
TODAY = date(2026, 11, 23)
YESTERDAY = TODAY - timedelta(days=1)

WELL = DigestFigures(
    latencies=[
        DigestLatency(target="rag", rounds=288, probes=864, over=12, mean_ms=843, p95_ms=1410)
    ],
    served=[
        DigestAnswers(target="rag", model=LLAMA, identity=Identity.EXPECTED, answers=836),
        DigestAnswers(target="rag", model=HAIKU, identity=Identity.FALLBACK, answers=28),
    ],
    yesterday=DaySpend(
        day=YESTERDAY,
        total_usd=Decimal("0.41"),
        probes_usd=Decimal("0.05"),
        traffic_usd=Decimal("0.36"),
        account_usd=None,
        at_least=False,
    ),
    today=DaySpend(
        day=TODAY,
        total_usd=Decimal("0.12"),
        probes_usd=Decimal("0.02"),
        traffic_usd=Decimal("0.1"),
        account_usd=Decimal("0.11"),
        at_least=True,
    ),
    saving=DigestSaving(probes_usd=Decimal("0.0123"), traffic_usd=Decimal("1.1")),
    incidents=[],
    own=DigestMonitor(
        probes=864,
        degraded=9,
        rounds_expected=288,
        rounds_missed=2,
        budget_used_usd=Decimal("0.02"),
        waiting=1,
        lost=0,
        broken={},
    ),
    limit_ms=1200.0,
    limit_usd=Decimal(2),
    budget_usd=Decimal("0.5"),
)


def told(**changes: object) -> Notice:
    return digest.notice(TODAY, replace(WELL, **changes), at=NINE)  # type: ignore[arg-type]


def test_what_is_not_known_has_no_limit_beside_it() -> None:
    unmeasured = [replace(one, rounds=0, probes=0, mean_ms=None) for one in WELL.latencies]
    assert WELL.yesterday is not None
    nothing = replace(WELL.yesterday, total_usd=Decimal(0), total_high_usd=None, at_least=True)
    notice = told(latencies=unmeasured, yesterday=nothing)
    assert notice.sentence.startswith("TTFT not known, ")
    assert "spent not known on " in notice.sentence
    assert notice.facts["Spend yesterday"].startswith("not known; meters: probes ")


def incident(number: int, opened_h: float, resolved_h: float | None = None) -> DigestIncident:
    """Hours before the digest."""
    return DigestIncident(
        number=number, rule="ttft", scope="rag", opened_at=NINE - timedelta(hours=opened_h),
        resolved_at=None if resolved_h is None else NINE - timedelta(hours=resolved_h),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (NINE - timedelta(seconds=1), None),  # yesterday's is 24 hours old: no longer told
        (NINE, TODAY),
        (NINE + timedelta(hours=12, seconds=-1), TODAY),
        (NINE + timedelta(hours=12), None),
        (NINE + timedelta(days=1), TODAY + timedelta(days=1)),
    ],
)
def test_a_digest_is_due_from_its_hour_on_for_half_a_day(now: datetime, day: date | None) -> None:
    due = digest.due(now, at=time(9), zone=UTC)
    assert (due and due[0]) == day


def test_late_after_midnight_it_is_still_the_digest_of_the_day_before() -> None:
    two = datetime(2026, 11, 23, 2, tzinfo=UTC)
    assert digest.due(two, at=time(20), zone=UTC) == (YESTERDAY, two - timedelta(hours=6))


@pytest.mark.parametrize(
    ("day", "hour_utc"),
    [
        (date(2026, 10, 24), 7),  # summer time
        (date(2026, 10, 25), 8),  # the clocks went back that night
        (date(2027, 3, 28), 7),  # and forward
    ],
)
def test_its_hour_is_that_of_the_wall_through_summer_and_winter(day: date, hour_utc: int) -> None:
    hour = datetime(day.year, day.month, day.day, hour_utc, tzinfo=UTC)
    assert digest.due(hour, at=time(9), zone=ROME) == (day, hour)
    before = digest.due(hour - timedelta(seconds=1), at=time(9), zone=ROME)
    assert before is None


def test_an_hour_the_clocks_leave_out_is_reported_all_the_same() -> None:
    spring = datetime(2027, 3, 28, 1, 30, tzinfo=UTC)  # 03:30 in Rome, where 02:30 never was
    assert digest.due(spring, at=time(2, 30), zone=ROME) == (date(2027, 3, 28), spring)


def test_a_day_has_one_digest_whichever_worker_writes_it() -> None:
    assert told().id == digest.notice(TODAY, WELL, at=NINE + timedelta(hours=3)).id
    assert told().id != digest.key(YESTERDAY)
    assert isinstance(told().id, UUID)


def test_the_first_line_reports_all_that_has_a_limit() -> None:
    assert render(told()).text.splitlines()[0] == (
        "NOTICE digest · all: TTFT 843 ms of 1,200 ms, fallback 3.2 %, "
        "spent $0.41 of $2.00 on 2026-11-22, no incident open."
    )


def test_the_facts_of_an_ordinary_day() -> None:
    notice = told()
    assert notice.status is NoticeStatus.NOTICE
    assert notice.number is None
    assert dict(notice.facts) == {
        "TTFT": "mean of 288 rounds 843 ms of 1,200 ms, p95 1,410 ms, 12 of 864 probes over",
        "Models": "Llama 4 Scout 96.8 %, Claude Haiku 4.5 (fallback) 3.2 %",
        "Answers": "expected 96.8 %, fallback 3.2 %, changed 0 %, disputed 0 %, unknown 0 %",
        "Spend yesterday": "$0.41 of $2.00; meters: probes $0.05, traffic $0.36, "
                           "account not known",
        "Spend today so far": "at least $0.12 of $2.00; meters: probes $0.02, traffic $0.10, "
                              "account $0.11",
        "Saved vs. fallback only": "$0.0123 on yesterday's probes, "
                                      "$1.10 a day on the service's traffic",
        "Incidents": "opened none; resolved none; open none",
        "Monitor health": "2 of 288 rounds missed, 1 % degraded, probe budget today $0.02 of $0.50",
        "Delivery": "1 message waiting, 0 not delivered",
    }  # fmt: skip


def test_a_change_is_in_the_first_line_and_has_its_own_share() -> None:
    notice = told(served=[
        DigestAnswers(target="rag", model=LLAMA, identity=Identity.EXPECTED, answers=44),
        DigestAnswers(target="rag", model=None, identity=Identity.CHANGED, answers=75),
        DigestAnswers(target="rag", model=LLAMA, identity=Identity.DISPUTED, answers=1),
    ])  # fmt: skip
    assert "fallback 0 %, changed 62.5 %, disputed 0.8 %, spent" in notice.sentence
    assert notice.facts["Models"] == (
        "not identified (changed) 62.5 %, Llama 4 Scout 36.7 %, Llama 4 Scout (disputed) 0.8 %"
    )
    assert notice.facts["Answers"] == (
        "expected 36.7 %, fallback 0 %, changed 62.5 %, disputed 0.8 %, unknown 0 %"
    )


@each(("absent", "said"), [
    (None, "2 of 288 rounds missed, 1 % degraded"),
    (timedelta(hours=3, minutes=20), "2 of 288 rounds missed, no worker ran for 3 h 20 min, 1 % d"),
])  # fmt: skip
def test_the_time_without_a_worker_is_stated_beside_the_missed_rounds(
    absent: timedelta | None, said: str
) -> None:
    assert told(own=replace(WELL.own, absent=absent)).facts["Monitor health"].startswith(said)


def test_a_day_without_a_worker_had_no_round_and_not_an_unknown_number() -> None:
    own = replace(
        WELL.own, rounds_expected=0, rounds_missed=0, absent=timedelta(hours=9, minutes=5)
    )
    health = told(own=own).facts["Monitor health"]
    assert health.startswith("no round was due, no worker ran for 9 h 5 min")


def test_what_no_one_knows_is_said_and_never_zero() -> None:
    nothing = told(
        latencies=[DigestLatency(target="rag")],
        served=[],
        yesterday=None,
        today=None,
        saving=DigestSaving(probes_usd=None, traffic_usd=None),
        limit_ms=None,
        limit_usd=None,
        own=DigestMonitor(
            probes=0,
            degraded=0,
            rounds_expected=None,
            rounds_missed=None,
            lost=2,
            waiting=0,
            budget_used_usd=Decimal(0),
            broken={"slack": "Slack error no_service"},
        ),
    )
    assert nothing.sentence == (
        "TTFT not known, fallback not known, spent not known, no incident open."
    )
    assert nothing.facts["TTFT"] == "no measurements"
    assert nothing.facts["Models"] == "no answers"
    assert nothing.facts["Answers"] == "none"
    assert nothing.facts["Saved vs. fallback only"] == "not known"
    assert nothing.facts["Monitor health"].startswith("rounds missed not known, no probes, ")
    assert nothing.facts["Delivery"] == (
        "0 messages waiting, 2 not delivered, channel slack broken: Slack error no_service"
    )


def test_incidents_are_counted_by_what_happened_within_the_day() -> None:
    notice = told(incidents=[incident(3, 30, 20), incident(4, 24), incident(5, 2, 1)])
    assert notice.sentence.endswith("1 incident open.")
    assert notice.facts["Incidents"] == (
        "opened 2 (#4 ttft · rag, #5 ttft · rag); "
        "resolved 2 (#3 ttft · rag, #5 ttft · rag); open 1 (#4 ttft · rag)"
    )


def test_an_open_incident_that_is_not_in_breach_now_is_recovering() -> None:
    recovering = replace(incident(4, 24), recovering_since=NINE - timedelta(minutes=5))
    facts = told(incidents=[recovering]).facts
    assert facts["Incidents"].endswith("open 1 (#4 ttft · rag, recovering since 08:55 UTC)")


def test_a_fallback_that_is_cheaper_saved_less_than_nothing() -> None:
    notice = told(saving=DigestSaving(probes_usd=Decimal("-0.01"), traffic_usd=None))
    assert notice.facts["Saved vs. fallback only"] == "-$0.01 on yesterday's probes"


def test_of_several_targets_the_slowest_leads() -> None:
    fast = DigestLatency(target="fast", rounds=1, probes=1, over=0, mean_ms=200, p95_ms=200)
    notice = told(latencies=[fast, *WELL.latencies, DigestLatency(target="silent")])
    assert notice.sentence.startswith("TTFT 843 ms of 1,200 ms (rag, the slowest), ")
    assert [label for label in notice.facts if label.startswith("TTFT")] == [
        "TTFT rag", "TTFT fast", "TTFT silent",
    ]  # fmt: skip


def test_nothing_is_left_out_of_a_message_however_many_targets_there_are() -> None:
    many = [DigestLatency(target=f"t{n}", rounds=1, probes=1, over=0, mean_ms=n, p95_ms=n)
            for n in range(20)]  # fmt: skip
    notice = told(latencies=many, coming_up="nothing in the next 30 days")
    assert len(notice.facts) == 3 * 2 + 1 + 8
    assert "Faster targets" in notice.facts
    reported = render(notice).text
    assert "more facts" not in reported
    assert "Delivery: " in reported


def test_unknown_models_leave_the_spend_between_two_ends() -> None:
    assert WELL.yesterday is not None
    day = replace(
        WELL.yesterday, at_least=False, total_high_usd=Decimal("2.10"),
        probes_high_usd=Decimal("0.50"), traffic_high_usd=Decimal("1.60"),
    )  # fmt: skip
    own = replace(WELL.own, budget_margin_usd=Decimal("0.13"))
    saving = replace(WELL.saving, left_out=12)
    reported = told(yesterday=day, own=own, saving=saving)
    assert "spent between $0.41 and $2.10 of $2.00 on 2026-11-22" in reported.sentence
    assert reported.facts["Spend yesterday"] == (
        "between $0.41 and $2.10 of $2.00; meters: probes between $0.05 and $0.50, "
        "traffic between $0.36 and $1.60, account not known"
    )
    assert "probe budget today between $0.02 and $0.15 of $0.50" in reported.facts["Monitor health"]
    assert reported.facts["Saved vs. fallback only"].endswith(
        "; 12 answers without a cost excluded"
    )


def test_the_cost_of_probes_alone_is_called_so() -> None:
    assert WELL.yesterday is not None
    alone = replace(WELL.yesterday, total_usd=Decimal("0.05"), traffic_usd=Decimal(0))
    assert "spent $0.05 of $2.00 for the monitor's own probes on 2026-11-22" in (
        told(yesterday=alone).sentence
    )
    for other in ({"account_usd": Decimal("0.05")}, {"traffic_usd": Decimal("0.01")},
                  {"at_least": True}):  # fmt: skip
        assert "own probes" not in told(yesterday=replace(alone, **other)).sentence
