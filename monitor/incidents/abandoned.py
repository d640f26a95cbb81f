"""Incidents nobody judges any more: their target or their rule left the configuration."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta

from monitor.domain import Incident, State, Verdict

ABANDONED = timedelta(hours=1)  # no deployment has two configurations side by side for so long


def abandoned(
    standing: Iterable[Incident],
    *,
    rules: Collection[str],
    of_targets: Collection[str],
    targets: Collection[str],
    now: datetime,
) -> Iterator[Verdict]:
    """The end of each open incident that no verdict will ever reach, and why.

    `of_targets`: the rules whose scope is a target. Nothing is said to be well again: nobody
    looks any more.
    """
    for incident in standing:
        if not incident.open or now - incident.last_breach_at < ABANDONED:
            continue
        if incident.rule not in rules:
            why = f"Rule {incident.rule} is switched off"
        elif incident.rule in of_targets and incident.scope not in targets:
            why = f"{incident.scope} is no longer watched"
        else:
            continue
        yield Verdict(
            rule=incident.rule,
            scope=incident.scope,
            state=State.OK,
            value=incident.value,
            limit=incident.limit,
            because=f"{why}; whether it is well again nobody knows.",
            literal=True,
        )
