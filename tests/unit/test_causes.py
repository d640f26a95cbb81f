"""The likely cause of a breach: what happened shortly before it, and nothing else."""

from datetime import timedelta

import pytest

from monitor.domain import Verdict
from monitor.rules import DownRule, FallbackRule
from monitor.rules.explanations import CauseEvent, explained
from tests.probe_notation import NOON, after, incident, marked, window

MINUTE = timedelta(minutes=1)
BEGUN = NOON + 20 * MINUTE


def judged(marks: str, *events: CauseEvent, open_since: int | None = None) -> Verdict:
    """The verdict of `down` on rounds since noon; by an incident open so many minutes."""
    seen = window(marked(marks))
    now = after(seen)
    latest_incident = None
    if open_since is not None:
        latest_incident = incident("down", opened_at=now - open_since * MINUTE)
    return explained(
        DownRule().judge(seen, latest_incident, now), seen, events, latest_incident, now
    )


def deploy(minutes: int) -> CauseEvent:
    return CauseEvent(NOON + minutes * MINUTE, f"version {minutes}")


@pytest.mark.parametrize(
    ("events", "notified"),
    [
        ([], None),
        ([deploy(-50)], "version -50, at 11:10 UTC"),
        ([deploy(-56)], None),  # more than an hour before
        ([deploy(-50), deploy(3), deploy(-20)], "version 3, at 12:03 UTC"),  # the nearest
        ([deploy(7)], None),  # it came after
    ],
)
def test_the_change_nearest_before_a_breach_is_its_likely_cause(
    events: list[CauseEvent], notified: str | None
) -> None:
    verdict = judged("xxx|xxx", *events)
    assert verdict.finding.cause == (notified or "")
    assert "First failure" in verdict.facts, "what the rule itself says stays"


def test_an_open_incident_is_explained_by_what_came_before_its_opening() -> None:
    hour = "|".join(["xxx"] * 14)  # 65 minutes
    opened, later = deploy(-5), deploy(30)
    assert judged(hour, opened, later, open_since=60).finding.cause == ("version -5, at 11:55 UTC")


@pytest.mark.parametrize(
    ("marks", "notified"),
    [
        ("xxx|xx.|rr.", None),
        ("xxx|xx.|rrr", "the service is rate limiting: 3 of 9 probes got HTTP 429"),
        ("xxx|xxx|" + "...|" * 3 + "rrr", None),  # three of eighteen are no more than an accident
        ("rrr|" + "---|" * 13 + "xxx|xxx", None),  # they were long ago
    ],
)
def test_probes_refused_with_429_are_a_likely_cause(marks: str, notified: str | None) -> None:
    assert judged(marks).finding.cause == (notified or "")


def test_both_are_reported() -> None:
    notified = judged("xxx|xxx|rrr", deploy(2)).finding.cause
    assert notified == (
        "the service is rate limiting: 3 of 9 probes got HTTP 429; version 2, at 12:02 UTC"
    )


def test_a_cause_is_no_fact_of_the_rule() -> None:
    seen = window(marked("FFF|FFF"))
    now = after(seen)
    verdict = explained(FallbackRule().judge(seen, None, now), seen, [deploy(1)], None, now)
    assert verdict.finding.cause == "version 1, at 12:01 UTC"
    assert list(verdict.facts) == ["Answers", "Cost a query"]
