"""One truth: the message, `incidents list` and the report page agree on sentence and length."""

import io
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.console import Console

from monitor.cli.alerting import _lines, _whole
from monitor.domain import Incident, NoticeStatus, Verdict, VerdictState, report
from monitor.incidents.planner import plan
from monitor.incidents.state_machine import ReminderPolicy
from monitor.notifications.slack.render import render
from monitor.reports import html, terminal
from tests.example_reports import report_page
from tests.probe_notation import INHIBITIONS, NOON

SECOND = timedelta(seconds=1)
FIRED, LATER = (
    "5 of the last 6 probes failed: HTTP 500.",
    "6 of the last 6 probes failed: HTTP 500.",
)


def judged(state: VerdictState, because: str) -> Verdict:
    return Verdict(rule="down", scope="rag", state=state, value=5.0, limit=5.0, because=because,
                   since=NOON - 21 * SECOND)  # fmt: skip


def told(incident: Incident) -> report.IncidentRow:
    return report.IncidentRow(
        number=1, rule="down", scope="rag", opened_at=incident.opened_at,
        resolved_at=incident.resolved_at, peak=5.0, limit=5.0, because=incident.because,
        cost_usd=None, cost_at_least=False, first_seen_at=incident.first_seen_at,
        opening_because=incident.opening_because,
    )  # fmt: skip


@pytest.fixture
def life() -> tuple[Incident, Incident, str]:
    """An outage of 41 s, found after 21 of them: while it was open, when over, its last message."""
    latest: dict[tuple[str, str], Incident] = {}
    messages, seen = [], []
    for after, state, because in (
        (0, VerdictState.BREACH, FIRED),
        (10, VerdictState.BREACH, LATER),
        (20, VerdictState.OK, "None failed."),
    ):
        now = NOON + after * SECOND
        for step in plan(
            latest.values(),
            [judged(state, because)],
            inhibitions=INHIBITIONS,
            policy=ReminderPolicy(),
            now=now,
        ):
            assert step.incident is not None
            latest[step.incident.key] = replace(step.incident, number=1)
            if step.notice is not None:
                messages.append(render(step.notice).text)
        seen.append(latest["down", "rag"])
    assert messages[0].startswith(f"{NoticeStatus.FIRING} down · rag: {FIRED}\n")
    assert "Since 11:59 UTC (21 s)." in messages[0]
    return seen[1], seen[2], messages[-1]


def test_they_agree_on_how_long_it_was(life: tuple[Incident, Incident, str]) -> None:
    _, over, message = life
    assert "down · rag: Over after 41 s. None failed.\n" in message
    assert "from 11:59 to 12:00 UTC" in message
    [line] = _lines([over], [])
    assert line == f"#1 resolved down · rag 2026-11-23 11:59 UTC, 41 s: {FIRED}"
    shown = replace(report_page(), incidents=(told(over),))
    assert "41 s" in html.html_page(shown)
    out = io.StringIO()
    terminal.show(shown, Console(file=out, width=100))
    assert "lasted 41 s" in out.getvalue()


def test_an_open_incident_shows_what_it_fired_with_and_how_it_is_now(
    life: tuple[Incident, Incident, str],
) -> None:
    still_open, _, _ = life
    [line] = _lines([still_open], [])
    assert line.endswith(FIRED)
    whole = list(_whole(still_open))
    assert "  first seen: 2026-11-23 11:59:39 UTC" in whole
    assert f"  latest: {LATER}" in whole
    assert f"{FIRED} Now: {LATER}" in str(
        html.html_page(replace(report_page(), incidents=(told(still_open),)))
    )


def test_an_incident_known_by_another_number_says_so() -> None:
    other = Incident(rule="fallback", scope="rag", opened_at=NOON, last_breach_at=NOON,
                     last_told_at=NOON, value=1.0, limit=0.1, because="It fell back.", number=2,
                     announced_as=1)  # fmt: skip
    [line] = _lines([other], [])
    assert line.startswith("#2 OPEN fallback · rag (announced as #1) since")
    [line] = _lines([replace(other, part_of=("down", "wiki"))], [])
    assert line.startswith("#2 OPEN fallback · rag (part of #1) since")


def test_the_list_states_since_when_an_incident_that_came_back_is_in_breach() -> None:
    back = Incident(
        rule="down", scope="rag", number=7, opened_at=NOON, last_breach_at=NOON + 600 * SECOND,
        last_told_at=NOON, first_seen_at=NOON, since=NOON + 360 * SECOND, value=5.0, limit=5.0,
        reopened_at=NOON + 380 * SECOND, reopenings=1, because=FIRED,
    )  # fmt: skip
    (line,) = _lines([back], ())
    again, first = NOON + 360 * SECOND, NOON
    assert f"again since {again:%Y-%m-%d %H:%M} UTC, first at {first:%Y-%m-%d %H:%M} UTC" in line
