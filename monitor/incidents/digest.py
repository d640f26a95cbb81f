"""The figures of a digest and its notice. Latencies are in ms; None means absent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from uuid import NAMESPACE_OID, UUID, uuid5

from monitor.domain import (
    ALL,
    OF_PROBES,
    Finding,
    Identity,
    Notice,
    NoticeStatus,
    Severity,
    amount_text,
    bill_text,
    counted,
    lasting,
    usd_text,
)
from monitor.domain.report import DaySpend
from monitor.identity.model_names.common_name import named_apart


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestLatency:
    """TTFT of a target. `mean_ms` is the mean of the round means, which the rule judges."""

    target: str
    rounds: int = 0
    probes: int = 0  # with a TTFT that may be judged
    over: int | None = None  # of these, over the limit; None: there is no limit
    mean_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestAnswers:
    """Answers of one model. `model` is None if it was not identified."""

    target: str
    model: str | None
    identity: Identity
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestSaving:
    """Savings compared with all answers by the fallback.

    `traffic_usd` covers the service's own traffic.
    """

    probes_usd: Decimal | None
    traffic_usd: Decimal | None
    left_out: int = 0  # complete answers without a cost: unknown model or no price


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestIncident:
    """An incident that was open at some time of the span. `resolved_at` is None if it still is."""

    number: int
    rule: str
    scope: str
    opened_at: datetime
    resolved_at: datetime | None
    recovering_since: datetime | None = None  # open, but not in breach since then


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestMonitor:
    """State of the monitor. `broken`: channels that reject every message, with the reason."""

    probes: int
    degraded: int
    rounds_expected: int | None  # None: unknown
    rounds_missed: int | None
    budget_used_usd: Decimal  # of the UTC day
    waiting: int
    lost: int  # messages that were given up in the span
    broken: Mapping[str, str]
    budget_margin_usd: Decimal = Decimal(0)
    absent: timedelta | None = None  # no worker ran for so long; None: no long absence is known


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestFigures:
    """All figures of a digest. A limit of None: its rule is switched off."""

    latencies: Sequence[DigestLatency]  # each target once
    served: Sequence[DigestAnswers]
    yesterday: DaySpend | None  # None: nothing is known about the target
    today: DaySpend | None
    saving: DigestSaving
    incidents: Sequence[DigestIncident]
    own: DigestMonitor
    limit_ms: float | None
    limit_usd: Decimal | None
    budget_usd: Decimal
    coming_up: str = ""  # dates of the next weeks, nearest first


# The daily digest: one notice a day about the last 24 hours, also if nothing is wrong. Pure.
#
# Latencies are in ms, shares are 0 to 1, days are those of the spend rule's zone. None: absent.
#
# Source: docs/alerts.md#digest


RULE = "digest"
SPAN = timedelta(days=1)
LATEST = timedelta(hours=12)  # the digest is sent up to this late if no worker ran at its hour
# Identities that do not count for the fallback share.
UNSURE = (Identity.CHANGED, Identity.DISPUTED, Identity.UNKNOWN)
_TARGETS = 3  # each with two facts; a message has room for 16
_NAMES = 4  # models, or incidents of one kind, named in a line
_NOT_KNOWN, _UNMEASURED = "not known", "no probes"


def due(now: datetime, *, at: time, zone: tzinfo) -> tuple[date, datetime] | None:
    """The day in the zone whose digest is due now, and its hour; None if none is due."""
    today = now.astimezone(zone).date()
    for day in (today, today - timedelta(days=1)):
        hour = datetime.combine(day, at, zone).astimezone(UTC)
        if hour <= now < hour + LATEST:
            return day, hour
    return None


def key(day: date) -> UUID:
    """The notice's id: one per day, the same for every worker."""
    return uuid5(NAMESPACE_OID, f"{RULE}|{day}")


def notice(day: date, figures: DigestFigures, *, at: datetime) -> Notice:
    """The digest of a day as a notice."""
    return Notice(
        id=key(day),
        status=NoticeStatus.NOTICE,
        rule=RULE,
        scope=ALL,
        at=at,
        sentence=f"{', '.join(_headlines(figures))}.",
        facts=dict(_facts(figures, at - SPAN)),
        severity=Severity.INFO,
        finding=Finding(what=f"daily digest of {day}", extent=", ".join(_headlines(figures))),
    )


def _headlines(figures: DigestFigures) -> Iterator[str]:
    """Each figure with its limit: TTFT of the slowest target, fallback share, spend, incidents."""
    slowest = max(figures.latencies, key=lambda item: item.mean_ms or 0.0)
    whose = f" ({slowest.target}, the slowest)" if len(figures.latencies) > 1 else ""
    yield f"TTFT {_against(slowest.mean_ms, figures.limit_ms)}{whose}"
    fell = _answers(figures.served, Identity.FALLBACK)
    known = fell + _answers(figures.served, Identity.EXPECTED)
    yield f"fallback {_share(fell, known) if known else _NOT_KNOWN}"
    for identity in UNSURE:  # not part of that share, so they are shown separately
        if count := _answers(figures.served, identity):
            yield f"{identity} {_share(count, sum(item.answers for item in figures.served))}"
    spent = figures.yesterday
    yield f"spent {_spent(spent, figures.limit_usd)}" + (f" on {spent.day}" if spent else "")
    opened = sum(item.resolved_at is None for item in figures.incidents)
    yield "no incident open" if not opened else counted(opened, "incident") + " open"


def _facts(figures: DigestFigures, since: datetime) -> Iterator[tuple[str, str]]:
    several = len(figures.latencies) > 1
    slowest_first = sorted(figures.latencies, key=lambda item: -(item.mean_ms or 0.0))
    for item in slowest_first[:_TARGETS]:
        whose = f" {item.target}" if several else ""
        yield f"TTFT{whose}", _latency(item, figures.limit_ms)
        yield f"Models{whose}", _models([s for s in figures.served if s.target == item.target])
    if further := slowest_first[_TARGETS:]:
        yield "Faster targets", ", ".join(item.target for item in further)
    yield "Answers", _identities(figures.served)
    yield "Spend yesterday", _day(figures.yesterday, figures.limit_usd)
    yield "Spend today so far", _day(figures.today, figures.limit_usd)
    yield "Saved vs. fallback only", _saving(figures.saving)
    yield "Incidents", _incidents(figures.incidents, since)
    if figures.coming_up:
        yield "Coming up", figures.coming_up
    yield "Monitor health", _own(figures.own, figures.budget_usd)
    yield "Delivery", _delivery(figures.own)


def _latency(item: DigestLatency, limit_ms: float | None) -> str:
    if not item.probes:
        return "no measurements"
    reported = f"mean of {counted(item.rounds, 'round')} {_against(item.mean_ms, limit_ms)}"
    reported += f", p95 {_ms(item.p95_ms)}"
    if item.over is not None:
        reported += f", {item.over:,} of {counted(item.probes, 'probe')} over"
    return reported


def _models(served: Sequence[DigestAnswers]) -> str:
    """Shares of all answers, largest first."""
    received = sum(item.answers for item in served)
    most_first = sorted(served, key=lambda item: -item.answers)
    models = tuple({item.model: None for item in served if item.model})
    names = dict(zip(models, named_apart(models), strict=True))
    reported = [
        f"{_model(item, names)} {_share(item.answers, received)}" for item in most_first[:_NAMES]
    ]
    if rest := sum(item.answers for item in most_first[_NAMES:]):
        reported.append(f"others {_share(rest, received)}")
    return ", ".join(reported) or "no answers"


def _identities(served: Sequence[DigestAnswers]) -> str:
    """The share of each identity among all answers."""
    whole = sum(item.answers for item in served)
    if not whole:
        return "none"
    return ", ".join(
        f"{identity} {_share(_answers(served, identity), whole)}"
        for identity in (Identity.EXPECTED, Identity.FALLBACK, *UNSURE)
    )


def _model(item: DigestAnswers, names: Mapping[str, str]) -> str:
    name = names[item.model] if item.model else "not identified"
    return name if item.identity is Identity.EXPECTED else f"{name} ({item.identity})"


def _answers(served: Sequence[DigestAnswers], identity: Identity) -> int:
    return sum(item.answers for item in served if item.identity is identity)


def _spent(day: DaySpend | None, limit_usd: Decimal | None) -> str:
    if day is None or (day.at_least and not day.high_usd):  # at least nothing
        return _NOT_KNOWN
    limit = "" if limit_usd is None else f" of {usd_text(limit_usd)}"
    whose = f" {OF_PROBES}" if day.of_probes else ""
    return amount_text(day.total_usd, day.high_usd, at_least=day.at_least) + limit + whose


def _day(day: DaySpend | None, limit_usd: Decimal | None) -> str:
    """The day's spend by meter: probes, the service's traffic, and the providers' own figures."""
    if day is None:
        return _NOT_KNOWN
    account = _NOT_KNOWN if day.account_usd is None else usd_text(day.account_usd)
    probes = _range(day.probes_usd, day.probes_high_usd)
    traffic = _range(day.traffic_usd, day.traffic_high_usd)
    within = bill_text(day.total_usd, day.bill_within_usd, day.reconciled_days)
    bill = f" ({within})" if within else ""
    return (
        f"{_spent(day, limit_usd)}{bill}; meters: probes {probes}, traffic {traffic}, "
        f"account {account}"
    )


def _saving(saving: DigestSaving) -> str:
    """Yesterday's savings: today has only begun."""
    if saving.probes_usd is None:
        return _NOT_KNOWN
    reported = f"{usd_text(saving.probes_usd)} on yesterday's probes"
    if saving.traffic_usd is not None:
        reported += f", {usd_text(saving.traffic_usd)} a day on the service's traffic"
    if saving.left_out:
        reported += f"; {counted(saving.left_out, 'answer')} without a cost excluded"
    return reported


def _incidents(notified: Sequence[DigestIncident], since: datetime) -> str:
    kinds = {
        "opened": [item for item in notified if item.opened_at >= since],
        "resolved": [item for item in notified if item.resolved_at is not None],
        "open": [item for item in notified if item.resolved_at is None],
    }
    return "; ".join(f"{kind} {_named(items)}" for kind, items in kinds.items())


def _named(items: Sequence[DigestIncident]) -> str:
    if not items:
        return "none"
    names = [_name(item) for item in items[:_NAMES]]
    more = f" and {len(items) - _NAMES} more" if len(items) > _NAMES else ""
    return f"{len(items)} ({', '.join(names)}{more})"


def _name(notified: DigestIncident) -> str:
    since = notified.recovering_since
    recovering = f", recovering since {since.astimezone(UTC):%H:%M} UTC" if since else ""
    return f"#{notified.number} {notified.rule} · {notified.scope}{recovering}"


def _own(own: DigestMonitor, budget_usd: Decimal) -> str:
    missed = f"rounds missed {_NOT_KNOWN}"
    if own.rounds_expected == 0:
        missed = "no round was due"
    elif own.rounds_expected and own.rounds_missed is not None:
        missed = f"{own.rounds_missed:,} of {counted(own.rounds_expected, 'round')} missed"
    if own.absent:
        missed += f", no worker ran for {lasting(own.absent)}"
    degraded = f"{_share(own.degraded, own.probes)} degraded" if own.probes else _UNMEASURED
    used = _range(own.budget_used_usd, own.budget_used_usd + own.budget_margin_usd)
    budget = f"probe budget today {used} of {usd_text(budget_usd)}"
    return f"{missed}, {degraded}, {budget}"


def _delivery(own: DigestMonitor) -> str:
    reported = f"{counted(own.waiting, 'message')} waiting, {own.lost:,} not delivered"
    broken = (f", channel {name} broken: {why}" for name, why in own.broken.items())
    return reported + "".join(broken)


def _against(value_ms: float | None, limit_ms: float | None) -> str:
    known = value_ms is not None and limit_ms is not None
    return _ms(value_ms) + (f" of {limit_ms:,.0f} ms" if known else "")


def _ms(value: float | None) -> str:
    return _NOT_KNOWN if value is None else f"{value:,.0f} ms"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}".removesuffix(".0") + " %"


def _range(low_usd: Decimal | None, high_usd: Decimal | None) -> str:
    if low_usd is None:
        return _NOT_KNOWN
    return amount_text(low_usd, low_usd if high_usd is None else high_usd)
