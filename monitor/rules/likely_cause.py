"""The likely cause of a breach, where what is stored shows one.

Refusals and changes of the hour before an incident explain it well, and prove nothing: a
message tells them as likely, with their time and numbers, and says nothing where nothing is
known. Source: docs/alerts.md#likely-cause
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from monitor.domain import Incident, Outcome, Sample, Verdict
from monitor.rules.window import Window

EXPLAINED = ("ttft", "fallback", "model_changed", "down")
BEFORE = timedelta(hours=1)  # what happened longer before an incident did not cause it
REFUSED, SHARE = 3, 0.2  # so many refusals, and of all probes, are no accident


@dataclass(frozen=True, slots=True)
class CauseEvent:
    """Something that changed, in words of ours: `its health page says version 5.3, before 5.2`."""

    at: datetime
    what: str


def explained(
    verdict: Verdict,
    window: Window,
    events: Sequence[CauseEvent],
    latest_incident: Incident | None,
    now: datetime,
) -> Verdict:
    """The verdict with its likely cause among the facts, if there is one."""
    begun = (
        latest_incident.opened_at if latest_incident is not None and latest_incident.open else now
    )
    causes = [*_refusals(window.samples, since=begun - BEFORE), *_latest(events, begun)]
    if not causes:
        return verdict
    return replace(verdict, facts={**verdict.facts, "Likely cause": "; ".join(causes)})


def _refusals(samples: Iterable[Sample], *, since: datetime) -> Iterable[str]:
    recent = [sample for sample in samples if sample.at > since]
    refused = sum(sample.outcome is Outcome.RATE_LIMITED for sample in recent)
    if refused >= REFUSED and refused >= SHARE * len(recent):
        yield f"the service is out of its rate: {refused} of {len(recent)} probes met a 429"


def _latest(events: Sequence[CauseEvent], begun: datetime) -> Iterable[str]:
    """The change nearest before the incident; one that came after it explains nothing."""
    before = [event for event in events if begun - BEFORE <= event.at <= begun]
    if before:
        event = max(before, key=lambda event: event.at)
        yield f"{event.what}, at {event.at.astimezone(UTC):%H:%M} UTC"
