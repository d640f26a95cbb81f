"""The state in a sentence for each problem: first on the page, the terminal and the status page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.domain import (
    OF_PROBES,
    counted,
    instant,
    lasting,
)
from monitor.domain.report import IncidentRow, LastRound, StatusSnapshot
from monitor.identity.model_names.common_name import common_name
from monitor.redaction import plain
from monitor.reports.axes import usd
from monitor.reports.page_data import ReportPage, TargetReport, model_roles
from monitor.rules import RULES

_CHECK = 80  # characters of a failed check


@dataclass(frozen=True, slots=True)
class StateSentence:
    """The most important sentence. `bad`: something needs attention; `good`: all is well.

    Neither: no incident is open, but not everything is as expected.
    """

    text: str
    bad: bool = False
    good: bool = False

    @property
    def style(self) -> str:
        """The terminal style of the sentence."""
        return "bold red" if self.bad else "bold green" if self.good else "bold"


def page_sentences(page: ReportPage) -> tuple[StateSentence, ...]:
    """The state at the end of the span, worst first."""
    return state_sentences(
        [watched.last_round for watched in page.targets if watched.last_round],
        [item for item in page.incidents if item.resolved_at is None],
        now=page.until,
        cost_ratios={watched.name: times for watched in page.targets if (times := _times(watched))},
    )


def state_sentences(
    rounds: Sequence[LastRound],
    incidents: Sequence[IncidentRow],
    *,
    now: datetime,
    cost_ratios: Mapping[str, float] | None = None,
) -> tuple[StateSentence, ...]:
    """A sentence for each open incident and each target without rounds; one if all is well.

    `incidents` are open ones. `cost_ratios`: cost of the fallback as a multiple of the expected
    model's, by target.
    """
    last = {item.target: item for item in rounds}
    found = [
        StateSentence(_incident(item, last.get(item.scope), cost_ratios or {}, now), bad=True)
        for item in incidents
    ]
    named = {item.scope for item in incidents}
    watched = [item for item in rounds if item.every is not None]
    found += [
        StateSentence(_overdue(item, now), bad=True)
        for item in watched
        if item.overdue(now) and item.target not in named
    ]
    if found:
        return tuple(found)
    return (_calm(watched, now),)


def _incident(
    item: IncidentRow, last: LastRound | None, cost_ratios: Mapping[str, float], now: datetime
) -> str:
    when = f"since {instant(item.since, now=now)} ({lasting(now - item.since)})"
    rule = RULES.get(item.rule)
    fell = [probe.model for probe in last.probes if probe.identity == "fallback"] if last else []
    if rule is not None and rule.suspects_model and (model := most_common(fell)):
        times = cost_ratios.get(item.scope)
        cost = f"; {times_text(times)} the cost" if times else ""
        return f"{common_name(model)} answers {item.scope} {when}{cost}."
    scope = "All targets" if item.scope == "all" else item.scope
    return f"{scope}, {item.rule} {when}: {item.sentence}"


def _overdue(item: LastRound, now: datetime) -> str:
    if item.at is None:
        return f"{item.target} has not been probed yet."
    return (
        f"{item.target}: no round since {instant(item.at, now=now)} ({lasting(now - item.at)}); "
        f"one is due every {lasting(item.every)}."  # type: ignore[arg-type]
    )


def _calm(watched: Sequence[LastRound], now: datetime) -> StateSentence:
    ages = [now - item.at for item in watched if item.at]
    if not ages:
        return StateSentence("No target is configured.")
    subject = "All targets are" if len(watched) > 1 else f"{watched[0].target} is"
    for item in watched:
        if wrong := _wrong(item):
            return StateSentence(
                f"No incident is open. {item.target}: {wrong} in the last round, "
                f"{lasting(now - item.at)} ago."  # type: ignore[operator]
            )
    return StateSentence(f"{subject} well; last round {lasting(min(ages))} ago.", good=True)


def _wrong(item: LastRound) -> str | None:
    failed = sum(probe.good is False for probe in item.probes)
    other = sum(probe.identity in ("fallback", "changed", "disputed") for probe in item.probes)
    parts = [f"{failed} of {counted(len(item.probes), 'probe')} failed"] if failed else []
    if other:
        answers, are = counted(len(item.probes), "answer"), "is" if other == 1 else "are"
        parts.append(f"{other} of {answers} {are} not the expected model's")
    checks = [probe.check_failed for probe in item.probes if probe.check_failed]
    if checks:
        first = plain(checks[0], _CHECK)
        parts.append(
            f"{len(checks)} of {counted(len(item.probes), 'answer')} failed a check ({first})"
        )
    return " and ".join(parts) or None


def _times(watched: TargetReport) -> float | None:
    """Cost of the fallback as a multiple of the expected model's, for queries answered by both."""
    roles = model_roles(watched)
    expected, fallback = (
        {item.query: item.mean_usd for item in watched.costs if item.model in models}
        for models in (roles.expected, roles.fallback)
    )
    both = [(usd, expected[query]) for query, usd in fallback.items() if expected.get(query)]
    if not both or any(usd is None for usd, _ in both):
        return None
    return float(sum(usd or 0 for usd, _ in both) / sum(usd or 0 for _, usd in both))


def spend_today(found: StatusSnapshot) -> str:
    """The spend of today against its limit."""
    if found.spend is None:
        return "not computed yet"
    spent, limit = found.spend, found.spend_limit_usd
    whole = usd(spent.total_usd, high=spent.total_high_usd, at_least=spent.at_least)
    whose = f" {OF_PROBES}" if spent.of_probes else ""
    return (whole if limit is None else f"{whole} of a limit of {usd(limit)}") + whose


def most_common(models: Sequence[str | None]) -> str | None:
    return Counter(models).most_common(1)[0][0] if models else None


def times_text(times: float) -> str:
    """`15 ×`, `2.5 ×`: two digits at most below ten."""
    return f"{times:.0f} ×" if times >= 10 else f"{times:.1f}".removesuffix(".0") + " ×"
