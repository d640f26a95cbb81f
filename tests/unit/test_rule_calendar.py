"""`calendar`: which dates are reported, when, how often, and in which words."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from monitor.domain import Severity, VerdictState
from monitor.rules.calendar import Calendar, CalendarEntry, CalendarKind, CalendarRule, coming_up
from tests.case_tables import each
from tests.probe_notation import NOON

RULE = CalendarRule()
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ROME = ZoneInfo("Europe/Rome")


def entry(left: timedelta = 3 * DAY, kind: CalendarKind = CalendarKind.KEY, **changes: Any) -> Any:
    said: dict[str, Any] = {
        "scope": "openrouter",
        "what": "the key expires",
        "source": "account API of openrouter",
        "term": "1",
    }
    return CalendarEntry(kind=kind, at=NOON + left, **said | changes)


@each(
    ("left", "notified", "stage"),
    [
        (31 * DAY, None, None),
        (30 * DAY, None, 30),
        (30 * DAY + 11 * HOUR, None, 30),  # on the 30th day: any hour of it
        (30 * DAY + 13 * HOUR, None, None),
        (15 * DAY, None, 30),
        (15 * DAY, 30, None),
        (14 * DAY, 30, 14),
        (4 * DAY, 14, None),
        (3 * DAY, 14, 3),
        (2 * DAY, 3, None),
        (1 * DAY, 3, 1),
        (1 * HOUR, None, 1),  # found late: one notice, not four
        (1 * HOUR, 1, None),
        (-1 * HOUR, None, None),  # over: rules `key` and `down` report it
    ],
)
def test_each_stage_is_due_once(left: timedelta, notified: int | None, stage: int | None) -> None:
    calendar = Calendar(entries=[entry(left, notified_days=notified)])
    assert [days for _, days in RULE.due(calendar, NOON)] == ([] if stage is None else [stage])
    expected = VerdictState.OK if stage is None else VerdictState.NOTICE
    assert RULE.judge(calendar, None, NOON).state is expected


def test_hour_by_hour_there_are_four_notices_a_date() -> None:
    ends, notified, stages = entry(40 * DAY), None, []
    for hour in range(41 * 24):
        for _, days in RULE.due(
            Calendar(entries=[replace(ends, notified_days=notified)]), NOON + hour * HOUR
        ):
            stages.append(days)
            notified = days
    assert stages == [30, 14, 3, 1]


@each(
    ("notified", "left", "stage"),
    [
        (14, 20 * DAY, None),  # the spend fell a little
        (14, 22 * DAY, 30),  # credit was added
        (1, 4 * DAY, None),
        (1, 5 * DAY, 14),
        (3, 2 * DAY, None),
    ],
)
def test_added_credit_begins_the_stages_again_and_a_change_of_rate_does_not(
    notified: int, left: timedelta, stage: int | None
) -> None:
    credit = entry(left, CalendarKind.CREDIT, notified_days=notified)
    due = RULE.due(Calendar(entries=[credit]), NOON)
    assert [days for _, days in due] == ([] if stage is None else [stage])


def test_dates_of_one_day_are_one_message_with_a_line_each() -> None:
    entries = [
        entry(3 * DAY + hours * HOUR, scope=f"s{hours}", term=str(hours)) for hours in range(5)
    ]
    verdict = RULE.judge(Calendar(entries=entries), None, NOON)
    assert verdict.finding.what == "coming up: 5 dates"
    assert list(verdict.facts) == [f"s{hours}, key" for hours in range(5)]
    assert verdict.facts["s4, key"] == (
        "the key expires in 3 days, 2026-11-26 16:00 UTC (account API of openrouter)"
    )


def test_one_date_is_the_headline() -> None:
    verdict = RULE.judge(Calendar(entries=[entry(27 * HOUR)]), None, NOON)
    assert verdict.because == (
        "Coming up: openrouter: the key expires in 27 hours, 2026-11-24 15:00 UTC."
    )
    assert verdict.finding.first_step == "Renew the key before then."


def test_many_dates_stay_a_readable_message() -> None:
    entries = [entry(scope=f"target-{n}", term=str(n)) for n in range(500)]
    verdict = RULE.judge(Calendar(entries=entries), None, NOON)
    assert len(verdict.facts) == 9
    assert verdict.facts["Further"] == "492, see report.calendar"
    assert verdict.because.endswith("; and 492 more, see report.calendar.")


@each(("left", "severity"), [(30, Severity.INFO), (14, Severity.INFO), (3, None), (1, None)])
def test_a_near_date_is_more_urgent(left: int, severity: Severity | None) -> None:
    assert RULE.judge(Calendar(entries=[entry(left * DAY)]), None, NOON).severity is severity


@each(
    ("now", "left"),
    [
        (datetime(2026, 10, 24, 6, 59, tzinfo=UTC), 3),  # 08:59: still the day before
        (datetime(2026, 10, 24, 7, tzinfo=UTC), 2),  # 09:00 in summer time
        (datetime(2026, 10, 25, 7, 59, tzinfo=UTC), 2),  # the clocks went back: 08:59
        (datetime(2026, 10, 25, 8, tzinfo=UTC), 1),
    ],
)
def test_a_day_begins_at_the_hour_of_the_digest_in_summer_and_winter(
    now: datetime, left: int
) -> None:
    ends = replace(entry(), at=datetime(2026, 10, 26, 12, tzinfo=UTC))
    calendar = Calendar(entries=[ends], day_starts=time(9), zone=ROME)
    assert calendar.days_left(ends, now) == left


def test_a_date_counts_on_its_day_in_the_zone_of_the_digest() -> None:
    late = replace(entry(), at=datetime(2026, 11, 25, 23, 30, tzinfo=UTC))  # the 26th in Rome
    assert Calendar(entries=[late]).days_left(late, NOON) == 2
    assert Calendar(entries=[late], zone=ROME).days_left(late, NOON) == 3


def test_what_has_changed_is_reported_at_once_and_once() -> None:
    what = "the list price changed: input $0.08 → $0.10"
    price = entry(-HOUR, CalendarKind.PRICE, what=what, model="llama-4-scout")
    verdict = RULE.judge(Calendar(entries=[price]), None, NOON)
    assert verdict.because == f"Changed: Llama 4 Scout at openrouter: {what}."
    assert verdict.finding.what == "Llama 4 Scout at openrouter: the list price changed"
    assert verdict.finding.extent == "Input $0.08 → $0.10"
    assert verdict.since == price.at
    notified = replace(price, notified_days=0)
    assert RULE.judge(Calendar(entries=[notified]), None, NOON).state is VerdictState.OK


def test_the_digest_names_the_nearest_dates() -> None:
    entries = [entry(n * DAY, scope=f"s{n}") for n in (40, 9, 2, 5, 20, 21, -1)]
    said = coming_up(entries, NOON, within=30 * DAY)
    assert [part.split(":")[0] for part in said.split("; ")] == [
        "s2",
        "s5",
        "s9",
        "s20",
        "and 1 more",
    ]
    assert coming_up([], NOON, within=30 * DAY) == "nothing in the next 30 days"
    long = [entry(n * DAY, scope=f"s{n}", what=80 * "w") for n in (1, 2, 3)]
    said = coming_up(long, NOON, within=30 * DAY)
    assert said.endswith("UTC; and 1 more"), "none is cut in the middle of its date"
    assert len(said) <= 300


@pytest.mark.parametrize("days", [0, -1, 366])
def test_a_senseless_limit_is_refused_with_its_remedy(days: int) -> None:
    with pytest.raises(ValueError, match=f"days = {days}: write whole days between 1 and 365"):
        CalendarRule(days=(14, days))
