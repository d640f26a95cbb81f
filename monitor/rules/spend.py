"""`spend`: the daily spend exceeds its limit."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import sqrt
from operator import itemgetter
from typing import ClassVar
from zoneinfo import ZoneInfo

from monitor.domain import (
    ALL,
    CERTAIN,
    OF_PROBES,
    UNCERTAIN,
    Finding,
    Incident,
    Severity,
    Spend,
    Subject,
    Verdict,
    VerdictState,
    amount_text,
    bill_text,
    certainty_text,
    lasting,
    log_odds,
    usd_text,
)
from monitor.rules.limit_checks import at_least, positive, zone
from monitor.rules.rule import Rule, Unit

SLICE = timedelta(minutes=5)
_AT = itemgetter(0)
DOUBLINGS_APART = timedelta(minutes=10)  # repeated doublings within this time are one message
_LAST_WORD = timedelta(minutes=1)
_LOW = 3  # standard errors below the mean rate, so that an early notice is seldom wrong
_AT_RATE = log_odds(0.9987)  # that a mean is not lower than so many of its standard errors below


@dataclass(frozen=True, slots=True)
class SpendUpperBound:
    """The same days, judged by the most that they may have cost."""

    days: Sequence[Spend]


@dataclass(frozen=True, slots=True)
class Crossing:
    """The five minutes in which a day passed its limit: start, cost, and the rest of the limit."""

    at: datetime
    usd: Decimal
    left_usd: Decimal  # of the limit, before them


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendRule(Rule):
    """Breach when the certain sum of a day passes the limit, reported again at each doubling.

    Doublings within ten minutes of a message are one message, which names the last of them. The
    incident of a day ends with the day. If yesterday passes the limit by rows that arrive late, the
    message says that it is yesterday's.

    A notice before that, once a day, if even the low estimate of the rate of the last `rate_hours`
    carries the sum over the limit before the day ends; judged from `rate_slices` slices of five
    minutes.

    A separate notice, once a day, if only the upper end of the sum passes the limit because answers
    of an unknown model may have cost as much.

    Source: docs/alerts.md#spend
    """

    name: ClassVar[str] = "spend"
    subject: ClassVar[Subject] = Subject.DAY
    unit: ClassVar[Unit] = Unit.USD
    first_step: ClassVar[str] = (
        "Find which target and model cost more (`monitor report --since 24h`), then stop the "
        "cause or raise the limit."
    )
    evidence_sql: ClassVar[str] = "SELECT * FROM report.spend_daily ORDER BY 1 DESC LIMIT 7;"
    inhibits: ClassVar[frozenset[str]] = frozenset()
    likely_cause: ClassVar[bool] = False
    chart: ClassVar[bool] = True
    names_models: ClassVar[bool] = True

    severity: Severity = Severity.PAGE
    limit_usd: Decimal = Decimal("2.00")
    timezone: str = "UTC"
    rate_hours: float = 3.0
    rate_slices: int = 12

    def __post_init__(self) -> None:
        positive(self, "limit_usd", "rate_hours")
        at_least(self, 2, "rate_slices")
        zone(self, "timezone")

    def judge(
        self,
        judged: Sequence[Spend] | SpendUpperBound,
        latest_incident: Incident | None,
        now: datetime,
    ) -> Verdict:
        """Judge the latest days in order of time, today last."""
        if isinstance(judged, SpendUpperBound):
            return self._upper_end(judged.days, latest_incident)
        days, today, notified = judged, judged[-1], _day_told(latest_incident)
        if latest_incident is not None and latest_incident.open and notified != f"{today.day}":
            return self._over_with_the_day(days, notified, latest_incident)
        if today.total_usd > self.limit_usd:
            return self._over(today, latest_incident, now)
        if (
            latest_incident is not None and latest_incident.open
        ):  # a correction of the sum: a message that was sent stays
            held = self._verdict(VerdictState.HOLD, today.total_usd, self._so_far(today))
            return replace(held, recovered="Corrected to within the limit")
        late = next((day for day in days[:-1] if day.total_usd > self.limit_usd), None)
        if late is not None and notified != f"{late.day}":
            because = f"Corrected by late observations: {self._so_far(late)}"
            finding = replace(self._finding(late), extent="Late observations corrected the sum")
            once = f"{late.day} late"
            return self._verdict(
                VerdictState.NOTICE, late.total_usd, because, once=once, finding=finding
            )
        return self._early(today, now) or self._verdict(
            VerdictState.OK, today.total_usd, self._so_far(today)
        )

    def _over_with_the_day(
        self, days: Sequence[Spend], notified: str | None, latest_incident: Incident
    ) -> Verdict:
        day = next((day for day in days if f"{day.day}" == notified), None)
        final = latest_incident.value if day is None else day.total_usd
        ended = f"The day {notified} is over"
        if day is not None and day.high_usd:
            ended += f", at {amount_text(day.total_usd, day.high_usd, beside=self.limit_usd)}"
        elif final:
            ended += f", at {usd_text(final, beside=self.limit_usd)}"
        finding = Finding(extent=ended, restored="spend is within the daily limit again")
        over_at = latest_incident.until or (self._end_of(notified) if notified else None)
        return self._verdict(VerdictState.OK, final, f"{ended}.", since=over_at, finding=finding)

    def _end_of(self, day: str) -> datetime:
        next_day = date.fromisoformat(day) + timedelta(days=1)
        return datetime.combine(next_day, time(), ZoneInfo(self.timezone)).astimezone(UTC)

    def _upper_end(self, days: Sequence[Spend], latest_incident: Incident | None) -> Verdict:
        """The notice that a day passed the limit if the most expensive models answered."""
        known = latest_incident is not None and latest_incident.open
        may_be_over = (
            day for day in reversed(days) if day.total_usd <= self.limit_usd < day.high_usd
        )
        day = None if known else next(may_be_over, None)
        if day is None:
            return self._verdict(VerdictState.HOLD, days[-1].high_usd, self._so_far(days[-1]))
        because = (
            f"{self._so_far(day)} The model of some answers is unknown: the spend exceeds the "
            "limit if the most expensive declared model gave them."
        )
        finding = Finding(
            what=f"{_named(day)} may exceed {self._limit}",
            extent=f"It is {self._sum(day)}, as the model of some answers is unknown",
            certainty=f"{UNCERTAIN}: only if the most expensive declared model gave them",
        )
        once = f"{day.day} upper end"
        return self._verdict(VerdictState.NOTICE, day.high_usd, because, once=once, finding=finding)

    def _over(self, today: Spend, latest_incident: Incident | None, now: datetime) -> Verdict:
        worst, before = today.total_usd, None
        if latest_incident is not None and _day_told(latest_incident) == f"{today.day}":
            worst = max(worst, Decimal(latest_incident.peak or 0))
            before = latest_incident if latest_incident.open else None
        # the limit of now: a correction may have lowered the sum
        times = self._doublings(today.total_usd)
        because = self._so_far(today) + (
            f" That is more than {times} times the limit." if times > 1 else ""
        )
        once = f"{today.day} ×{self._doublings(worst)}"
        if before is not None:  # does not continue after its day: its end is not reported
            free = min(before.last_told_at + DOUBLINGS_APART, today.ends_at - _LAST_WORD)
            once = before.once if before.once and now < free else once
        since = self._crossed_at(today)
        return self._verdict(
            VerdictState.BREACH,
            today.total_usd,
            because,
            once=once,
            since=since,
            finding=self._finding(today),
        )

    def _doublings(self, usd: Decimal) -> int:
        """The highest power of two, at least 1, whose multiple of the limit the sum exceeds."""
        times = 1
        while usd > 2 * times * self.limit_usd:
            times *= 2
        return times

    def _finding(self, day: Spend) -> Finding:
        """The day against its limit."""
        times = day.total_usd / self.limit_usd
        exact = not day.at_least and not day.margin_usd
        return Finding(
            what=f"{_named(day)} is {self._sum(day)}, limit {self._limit}",
            was=f"{_named(day)} was over the limit of {self._limit} {{when}}",
            began="over the limit since {since}, ",
            extent=", ".join(
                filter(
                    None,
                    (
                        f"now {times:.1f} × the limit" if times >= Decimal("1.1") else "",
                        bill_text(day.total_usd, day.bill_within_usd, day.reconciled_days),
                    ),
                )
            ),
            certainty=self._certainty(day, exact=exact),
        )

    def _certainty(self, day: Spend, *, exact: bool) -> str:
        costs, within = "all recorded costs", day.bill_within_usd
        if day.of_probes:
            costs += " (`daily_queries` is 0: the service's own traffic is not counted)"
        if within is not None and day.total_usd - within <= self.limit_usd:
            return f"{CERTAIN} for the sum of {costs}; the provider's bill may be within the limit"
        if exact:
            return f"{CERTAIN}, sum of {costs}"
        return f"{CERTAIN} that it is over the limit; the sum may be higher"

    def _crossed_at(self, day: Spend) -> datetime:
        """Start of the slice that crossed the limit; start of the day if no slice is known."""
        crossing = self.crossing(day)
        return max(crossing.at, day.starts_at) if crossing else day.starts_at

    def crossing(self, day: Spend) -> "Crossing | None":
        """The slice in which the sum of a day passed the limit; None if none is known."""
        before = day.total_usd
        for at, usd in reversed(day.slices):
            before -= usd
            if before <= self.limit_usd:
                return Crossing(at, usd, self.limit_usd - before)
        return None

    def _early(self, today: Spend, now: datetime) -> Verdict | None:
        """The notice that the day will pass the limit if even a low rate continues."""
        first = bisect_left(today.slices, now - timedelta(hours=self.rate_hours), key=_AT)
        over = bisect_right(today.slices, now - SLICE, key=_AT)  # the one under way is not
        slices = today.slices[first:over]
        if len(slices) < self.rate_slices:
            return None
        spread = (slices[-1][0] - slices[0][0]) // SLICE + 1  # slices without spend count as zero
        rate = float(sum(usd for _, usd in slices)) / spread
        missing, left = float(self.limit_usd - today.total_usd), (today.ends_at - now) / SLICE
        if rate * left <= missing:
            return None
        squares = sum(float(usd) ** 2 for _, usd in slices) - spread * rate * rate
        error = sqrt(max(squares, 0) / (spread - 1) / spread)
        if (rate - _LOW * error) * left <= missing:
            return None
        crossing = (now + SLICE * (missing / rate)).astimezone(ZoneInfo(self.timezone))
        because = (
            f"At this rate the {_named(today)} crosses {self._limit} at "
            f"{crossing:%H:%M} {self.timezone}; it is {self._sum(today)} now."
        )
        once = f"{today.day} at this rate"
        finding = Finding(
            what=f"today's spend{_whose(today)} will pass the daily limit of {self._limit} at "
            f"about {crossing:%H:%M} {self.timezone}",
            extent=f"{self._sum(today)} so far today; {lasting(crossing - now)} left",
            certainty=f"{certainty_text(_AT_RATE)}, if spend continues as in the last "
            f"{self.rate_hours:g} h",
        )
        return self._verdict(
            VerdictState.NOTICE, today.total_usd, because, once=once, finding=finding
        )

    def _so_far(self, day: Spend) -> str:
        so_far = f"Spend of {day.day} ({self.timezone}){_whose(day)} is {self._sum(day)}"
        return f"{so_far}; limit {self._limit}."

    def _sum(self, day: Spend) -> str:
        """Cents, with more digits if cents would not show on which side of the limit the sum is."""
        return amount_text(
            day.total_usd, day.high_usd, beside=self.limit_usd, at_least=day.at_least
        )

    @property
    def _limit(self) -> str:
        return usd_text(self.limit_usd, exact=True)

    def _verdict(
        self,
        state: VerdictState,
        value: float | Decimal | None,
        because: str,
        *,
        once: str | None = None,
        since: datetime | None = None,
        finding: Finding | None = None,
    ) -> Verdict:
        return Verdict(
            rule=self.name,
            scope=ALL,
            state=state,
            value=value,
            limit=self.limit_usd,
            because=because,
            once=once,
            since=since,
            finding=finding or Finding(),
            severity=Severity.INFO if state is VerdictState.NOTICE else None,
        )


def _named(day: Spend) -> str:
    return f"spend of {day.day}{_whose(day)}"


def _whose(day: Spend) -> str:
    return f" {OF_PROBES}" if day.of_probes else ""


def _day_told(latest_incident: Incident | None) -> str | None:
    return (
        latest_incident.once.split()[0]
        if latest_incident is not None and latest_incident.once
        else None
    )
