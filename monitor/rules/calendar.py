"""`calendar`: what ends or changes soon: keys, credit, certificates, models and prices."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from hashlib import sha256
from typing import ClassVar

from monitor.domain import ALL, CERTAIN, Finding, Incident, Severity, Subject, Verdict, VerdictState
from monitor.identity.model_names.common_name import common_name
from monitor.rules.rule import Rule, Unit

_DAY = timedelta(days=1)
_SHOWN = 8  # entries in one message
_DIGEST_SHOWN = 4
_DIGEST_CHARS = 300  # of a line of the digest; a longer one would be cut in the middle of a date
_DETAIL = " changed: "  # the figures of a change follow
_NEAR = 3  # days: entries that are nearer have the rule's full severity


class CalendarKind(StrEnum):
    """What ends or changes."""

    KEY = "key"
    CREDIT = "credit"
    CERTIFICATE = "certificate"
    MODEL = "model"  # the announced end of a model
    UNLISTED = "unlisted"  # a model left the provider's list
    PRICE = "price"  # a price in the provider's list changed

    @property
    def announced(self) -> bool:
        """Whether it lies ahead. What has already happened is reported at once."""
        return self not in (CalendarKind.UNLISTED, CalendarKind.PRICE)


_STEPS = {
    CalendarKind.KEY: "Renew the key before then.",
    CalendarKind.CREDIT: "Add credit at the provider before then.",
    CalendarKind.CERTIFICATE: "Renew the certificate before then.",
    CalendarKind.MODEL: "Choose another model and change the service before then.",
    CalendarKind.UNLISTED: "Check whether the provider still serves the model.",
    CalendarKind.PRICE: "Check that the new price is acceptable, and correct `[prices]` if it "
    "states the old one.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarEntry:
    """A date ahead. `term` tells dates of the same thing apart, such as of two certificates.

    `notified_days`: the last stage that was reported, in days before the date; None: none.
    """

    kind: CalendarKind
    scope: str  # a target or a provider
    at: datetime
    what: str  # one sentence without its end: "the key expires"
    source: str
    term: str
    model: str = ""
    notified_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The dates ahead. Days begin at `day_starts` in `zone`, so that one day is one message."""

    entries: Sequence[CalendarEntry]
    day_starts: time = time(0)
    zone: tzinfo = UTC

    def today(self, now: datetime) -> date:
        local = now.astimezone(self.zone)
        return local.date() - timedelta(days=local.time() < self.day_starts)

    def days_left(self, entry: CalendarEntry, now: datetime) -> int:
        """Days from the present one to that of the entry."""
        return (entry.at.astimezone(self.zone).date() - self.today(now)).days


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarRule(Rule):
    """Notice before something ends: once for each entry of `days`, all of one day in one message.

    What a provider has already changed, a price or its list of models, is reported at once.

    Source: docs/alerts.md#calendar
    """

    name: ClassVar[str] = "calendar"
    subject: ClassVar[Subject] = Subject.CALENDAR
    unit: ClassVar[Unit] = Unit.COUNT
    first_step: ClassVar[str] = "Renew or replace each of them before its date."
    evidence_sql: ClassVar[str] = (
        "SELECT ends_at, days_left, kind, scope, model, what, source FROM report.calendar "
        "ORDER BY ends_at;"
    )
    inhibits: ClassVar[frozenset[str]] = frozenset()
    likely_cause: ClassVar[bool] = False
    chart: ClassVar[bool] = False

    severity: Severity = Severity.WARN
    days: tuple[int, ...] = (30, 14, 3, 1)

    def __post_init__(self) -> None:
        for days in self.days:
            if not 1 <= days <= 365:
                raise ValueError(f"days = {days}: write whole days between 1 and 365")

    def due(self, calendar: Calendar, now: datetime) -> Sequence[tuple[CalendarEntry, int]]:
        """Entries to report now, each with the stage that it has reached, the nearest first."""
        found = []
        for entry in sorted(calendar.entries, key=lambda entry: entry.at):
            left = calendar.days_left(entry, now)
            reached = [0] if not entry.kind.announced else [d for d in self.days if left <= d]
            if not reached or (entry.kind.announced and entry.at <= now):
                continue
            notified, stage = _notified(entry, left), min(reached)
            if notified is None or stage < notified:
                found.append((entry, stage))
        return found

    def judge(self, calendar: Calendar, latest_incident: Incident | None, now: datetime) -> Verdict:
        """Judge all dates together."""
        due = self.due(calendar, now)
        entries = [entry for entry, _ in due]
        lines = [f"{_subject(entry)}: {_said(entry, now)}" for entry in entries]
        more = f"and {len(lines) - _SHOWN} more, see report.calendar"
        shown = lines[:_SHOWN] + [more] * (len(lines) > _SHOWN)
        head = "coming up" if any(e.kind.announced for e in entries) else "changed"
        because = f"{head.capitalize()}: {'; '.join(shown)}." if due else "Nothing new."
        what, extent = f"{head}: {len(lines)} dates", ""
        if len(lines) == 1:
            first, detail, extent = lines[0].partition(_DETAIL)
            first += detail.rstrip(": ")
            what = f"{head}: {first}" if entries[0].kind.announced else first
        steps = {_STEPS[entry.kind] for entry in entries}
        urgent = any(stage <= _NEAR for _, stage in due)
        notified = "|".join(f"{e.kind} {e.scope} {e.model} {e.term} {stage}" for e, stage in due)
        # A credit that was topped up passes the same stage again, on another day.
        once = f"{calendar.today(now)} {sha256(notified.encode()).hexdigest()[:16]}"
        return Verdict(
            rule=self.name,
            scope=ALL,
            state=VerdictState.NOTICE if due else VerdictState.OK,
            value=None,
            limit=None,
            because=because,
            facts=_facts(entries, now)
            if len(lines) > 1
            else {"Source": _source(entries[0])}
            if due
            else {},
            finding=Finding(
                what=what,
                extent=extent[:1].upper() + extent[1:],
                first_step=steps.pop() if len(steps) == 1 else "",
                certainty=f"{CERTAIN}, as read from providers and certificates",
            )
            if due
            else Finding(),
            severity=None if urgent else Severity.INFO,
            once=once if due else None,
            since=min((e.at for e in entries if not e.kind.announced), default=None),
        )


def coming_up(entries: Iterable[CalendarEntry], now: datetime, *, within: timedelta) -> str:
    """The nearest dates in one line for the digest, as many as fit into it as a whole."""
    near = sorted(
        (e for e in entries if e.kind.announced and now < e.at <= now + within),
        key=lambda entry: entry.at,
    )
    lines = [f"{_subject(entry)}: {_said(entry, now)}" for entry in near]
    if not lines:
        return f"nothing in the next {within.days} days"
    for shown in range(min(len(lines), _DIGEST_SHOWN), 0, -1):
        more = [f"and {len(lines) - shown} more"] * (len(lines) > shown)
        line = "; ".join(lines[:shown] + more)
        if len(line) <= _DIGEST_CHARS:
            break
    return line


def _notified(entry: CalendarEntry, left: int) -> int | None:
    """The last stage that was reported; None after credit was added."""
    notified = entry.notified_days
    if notified is None or entry.kind is not CalendarKind.CREDIT:
        return notified
    # The estimate moves with the spend: only a clear rise is new credit.
    return None if left > max(notified * 3 // 2, notified + 3) else notified


def _subject(entry: CalendarEntry) -> str:
    return f"{common_name(entry.model)} at {entry.scope}" if entry.model else entry.scope


def _said(entry: CalendarEntry, now: datetime) -> str:
    """What happens, and when."""
    if not entry.kind.announced:
        return entry.what
    at = f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{entry.what} {_in(entry.at - now)}, {at}"


def _source(entry: CalendarEntry) -> str:
    """Where it was read; of a change also when, because nothing else says since when it exists."""
    if entry.kind.announced:
        return entry.source
    return f"{entry.source}, read at {entry.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _in(left: timedelta) -> str:
    hours = max(left // timedelta(hours=1), 0)
    if hours >= 48:
        return f"in {round(left / _DAY)} days"
    return f"in {hours} hour" + "s" * (hours != 1)


def _facts(entries: Sequence[CalendarEntry], now: datetime) -> dict[str, str]:
    def lines() -> Iterator[tuple[str, str]]:
        for entry in entries[:_SHOWN]:
            name = f"{_subject(entry)}, {entry.kind}"
            yield name, f"{_said(entry, now)} ({_source(entry)})"

    facts: dict[str, str] = {}
    for name, said in lines():
        facts[name] = f"{facts[name]}; {said}" if name in facts else said
    if len(entries) > _SHOWN:
        facts["Further"] = f"{len(entries) - _SHOWN}, see report.calendar"
    return facts
