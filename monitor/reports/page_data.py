"""The content of a report, already counted and ordered: one frozen value.

A step of time is named by the instant at which it begins. A step without data has no entry, so a
gap is shown as a gap. Latencies are in ms, shares 0 to 1, None is absence.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import floor, log2
from zoneinfo import ZoneInfo

from monitor.domain.report import (
    IDENTITIES,
    UNSURE,
    AnswerExcerpt,
    DaySpend,
    IdentityCounts,
    IncidentRow,
    LastRound,
    ModelAnswers,
    QueryCost,
)
from monitor.reports.axes import LegendKey, clock, ms, share
from monitor.rules import Unit, unit_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TtftPoint:
    """TTFT of one canned query in one step of time."""

    query: str
    at: datetime
    p50_ms: float
    p90_ms: float
    worst_ms: float
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCounts:
    """Probes of one step, and how many failed. Failures on our side do not count."""

    at: datetime
    good: int
    bad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBin:
    """TTFT samples above `low_ms`, up to `high_ms`, by identity of the answer."""

    low_ms: float
    high_ms: float
    expected: int
    fallback: int
    changed: int
    disputed: int
    unknown: int

    @property
    def samples(self) -> int:
        return sum(getattr(self, identity) for identity in IDENTITIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFigures:
    """One canned query over the whole span. Phases are medians, each after the previous one."""

    query: str
    probes: int
    answered: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    worst_ms: float | None
    over_limit: float | None  # share of TTFT samples over the limit
    dns_ms: float | None
    tcp_ms: float | None
    tls_ms: float | None
    head_ms: float | None  # request sent to response head
    text_ms: float | None  # response head to first answer text


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementQuality:
    """Measurement quality: source of the timestamps, and rounds that were not complete."""

    kernel: int
    user: int
    degraded: int
    worst_lag_ms: float | None
    rounds_expected: int | None  # None: the interval is unknown
    rounds_missed: int | None
    extra: int = 0  # probes that were sent on suspicion: they belong to no round


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRow:
    """What the target's own health page reports, compared with our probes.

    `healthy` None: it cannot be judged. `contradiction` is a sentence if the page reports healthy
    while probes fail or fall back.
    """

    healthy: bool | None
    since: datetime
    checked_at: datetime
    says: str
    contradiction: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """One target. `step` is that of `ttft`, `judged` and `tried`.

    If there are very many probes, phases, outcomes and timestamps are those of the latest only.
    """

    name: str
    limit_ms: float | None  # None: the rule is off
    step: timedelta
    probes: int
    answered: int
    failed: int
    p50_ms: float | None
    p90_ms: float | None
    over_limit: float | None
    known: int  # answers whose model is known
    fell: int
    ttft: tuple[TtftPoint, ...]
    judged: tuple[IdentityCounts, ...]
    tried: tuple[ProbeCounts, ...]
    served: tuple[ModelAnswers, ...]
    bins: tuple[LatencyBin, ...]
    queries: tuple[QueryFigures, ...]
    costs: tuple[QueryCost, ...]
    outcomes: tuple[tuple[str, int], ...]  # most frequent first
    quality: MeasurementQuality
    health: HealthRow | None
    excerpts: tuple[AnswerExcerpt, ...] = ()  # a good answer and a bad one, if there are any
    last_round: LastRound | None = None

    @property
    def fallback_share(self) -> float | None:
        """Share of the answers with a known model, as rule `fallback` counts them."""
        return self.fell / self.known if self.known else None

    @property
    def answers(self) -> int:
        return sum(item.answers for item in self.judged)

    def count(self, identity: str) -> int:
        """Answers of the whole span with this identity."""
        return sum(getattr(item, identity) for item in self.judged)

    def share_of(self, identity: str) -> float | None:
        """Share of all answers, whether or not their model is known."""
        return self.count(identity) / self.answers if self.answers else None

    @property
    def unsure(self) -> tuple[str, ...]:
        """The identities that occurred and do not count for the fallback share."""
        return tuple(identity for identity in UNSURE if self.count(identity))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPage:
    """Everything one report shows. `until` is not in the future. Days are those of `zone`."""

    version: str
    made_at: datetime
    since: datetime
    until: datetime
    zone: ZoneInfo
    targets: tuple[TargetReport, ...]
    spend: tuple[DaySpend, ...]
    spend_limit_usd: Decimal | None  # None: the rule is off
    fallback_limit: float | None
    incidents: tuple[IncidentRow, ...]
    bar: timedelta = timedelta(days=1)  # of `served`: time from one entry to the next

    def clock(self, at: datetime, *, step: timedelta = timedelta(minutes=1)) -> str:
        """An instant on the zone's clock, with the precision that the span or the steps need."""
        fine = step < timedelta(minutes=1)
        return clock(at, self.zone, within=step if fine else self.until - self.since)


def quality_lines(found: MeasurementQuality) -> Iterator[tuple[str, str]]:
    """Measurement quality, line by line."""
    timed = found.kernel + found.user + found.degraded
    if not timed:
        return
    for name, count in (
        ("timed by the kernel", found.kernel),
        ("timed by the monitor's process", found.user),
        ("degraded: excluded from latency rules", found.degraded),
    ):
        yield name, f"{count:,} ({share(count / timed)})"
    yield "longest event-loop delay", ms(found.worst_lag_ms)
    for name, rounds in (
        ("rounds due, by whole hours or days", found.rounds_expected),
        ("incomplete or missed rounds", found.rounds_missed),
    ):
        yield name, "–" if rounds is None else f"{rounds:,}"
    if found.extra:
        yield "extra probes on suspicion, which belong to no round", f"{found.extra:,}"


def value_of(rule: str, value: float | Decimal | None) -> str:
    """A rule's value in its unit."""
    if value is None:
        return "–"
    unit, text = unit_of(rule), unit_of(rule).text(value)
    return f"{text} {'probe' if value == 1 else 'probes'}" if unit is Unit.COUNT else text


# Latencies counted into the bars of a histogram: quarter octaves around the limit.


AN_OCTAVE = 4
UNLIMITED_MS = 1000.0  # the reference if no limit is in force


def bins(
    samples: Iterable[tuple[float, str, int]], limit_ms: float | None
) -> tuple[LatencyBin, ...]:
    """Bars from the smallest to the greatest sample, including empty ones.

    Samples are (ms, identity of the answer, count); the limit is an edge between two bars.
    """
    mark = limit_ms or UNLIMITED_MS
    counts: Counter[tuple[int, str]] = Counter()
    for latency, identity, many in samples:
        # A value equal to the limit is within it: bars hold what is above their lower edge.
        counts[-floor(-AN_OCTAVE * log2(max(latency, 0.001) / mark)) - 1, identity] += many
    places = [place for place, _ in counts]
    if not places:
        return ()
    return tuple(
        LatencyBin(
            low_ms=_edge(place, mark),
            high_ms=_edge(place + 1, mark),
            **{identity: counts[place, identity] for identity in IDENTITIES},
        )
        for place in range(min(places), max(places) + 1)
    )


def _edge(place: int, mark: float) -> float:
    return float(mark * 2 ** (place / AN_OCTAVE))


# Colours and dashes. Never colour alone: lines differ in dashes, unknown is hatched.
#
# The hues are those of Okabe and Ito, which people with any colour vision can distinguish. An
# expected model is grey, a fallback has a warm hue, a change is violet: the important ones stand
# out.


QUERIES = 8  # styles q0 to q7, then again from the start


def query_style(place: int) -> str:
    return f"q{place % QUERIES}"


# Class and legend of the identities that are not drawn by model.
UNSURE_KEYS = {
    "changed": LegendKey("changed: matches no known model", "changed"),
    "disputed": LegendKey("disputed: evidence for two models", "disputed"),
    "unknown": LegendKey("unknown: model not identified", "unknown"),
}


@dataclass(frozen=True, slots=True)
class ModelRoles:
    """The models that answered a target by role, and the style of each.

    `others` are models that only occur in answers that are changed, disputed or unknown, each with
    its most frequent identity. `unsure` are those identities that occurred.
    """

    expected: tuple[str, ...]
    fallback: tuple[str, ...]
    others: Mapping[str, str]
    unsure: tuple[str, ...]

    def style(self, model: str | None, identity: str | None = None) -> str:
        """The class of an area; without an identity, that of the model."""
        if identity in UNSURE_KEYS:
            return UNSURE_KEYS[identity].style
        for role, models, styles in (
            ("expected", self.expected, 3),
            ("fallback", self.fallback, 4),
        ):
            if model in models:
                return f"{role}{models.index(model) % styles}"
        return self.others.get(model or "", "unknown")

    def order(self, item: ModelAnswers) -> tuple[int, str]:
        """Fallbacks on top, then changed, disputed, unknown and, at the bottom, expected."""
        ranks = {identity: place for place, identity in enumerate(("fallback", *UNSURE))}
        return ranks.get(item.identity, len(ranks)), item.model or ""

    def keys(self) -> Iterator[LegendKey]:
        for models, role in ((self.expected, " (expected)"), (self.fallback, " (fallback)")):
            for model in models:
                yield LegendKey(f"{model}{role}", self.style(model))
        yield from (UNSURE_KEYS[identity] for identity in self.unsure)


def model_roles(watched: TargetReport) -> ModelRoles:
    """All models of the span; a model is expected or a fallback if it ever was."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item in watched.served:
        if item.model is not None:
            counts[item.model][item.identity] += item.answers
    roles = {}
    for model, found in sorted(counts.items()):
        known = Counter({role: found[role] for role in ("expected", "fallback") if found[role]})
        roles[model] = (known or found).most_common(1)[0][0]
    seen = {item.identity for item in watched.served}
    return ModelRoles(
        tuple(model for model, role in roles.items() if role == "expected"),
        tuple(model for model, role in roles.items() if role == "fallback"),
        {model: role for model, role in roles.items() if role in UNSURE},
        tuple(identity for identity in UNSURE if identity in seen),
    )
