"""One cause, one message: which incidents are told together, and who leads the telling.

A story is a leader, whose number and message it has, and the incidents that are part of it.
Every incident keeps a row of its own, so that durations are known. Source: docs/alerts.md
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from monitor.domain import ALL, Incident, NoticeStatus

Key = tuple[str, str]  # rule and scope

CAUSES: Mapping[str, frozenset[str]] = {
    "key": frozenset({"fallback", "model_changed", "ttft", "spend"}),
    "down": frozenset({"fallback", "model_changed", "ttft", "spend"}),
    "fallback": frozenset({"model_changed", "ttft"}),  # a name was found for the change
    "model_changed": frozenset({"ttft"}),
    "probe_budget": frozenset({"no_data"}),
}
_RANK = (
    "key",
    "probe_budget",
    "down",
    "fallback",
    "model_changed",
)  # causes before what follows from them


@dataclass(frozen=True, slots=True)
class IncidentGroup:
    """A leader and its parts, which are open, or over without having been told so."""

    primary: Incident
    parts: tuple[Incident, ...] = ()

    @property
    def members(self) -> tuple[Incident, ...]:
        return self.primary, *self.parts

    @property
    def number(self) -> int | None:
        """The number its messages carry; None until the database gives one."""
        return self.primary.announced_as or self.primary.number

    @property
    def headline(self) -> Incident:
        """Whom the message is about: the deepest cause that is true now, else one still open."""
        live = [member for member in self.members if member.in_breach]
        still = live or [member for member in self.members if member.open]
        return min(still or self.members, key=rank)

    @property
    def over(self) -> bool:
        return not any(member.open for member in self.members)


def rank(incident: Incident) -> tuple[int, datetime]:
    """Sorts causes before symptoms, then by age."""
    place = _RANK.index(incident.rule) if incident.rule in _RANK else len(_RANK)
    return place, incident.opened_at


def incident_groups(incidents: Mapping[Key, Incident]) -> list[IncidentGroup]:
    """Everything the channel believes to be going on, as it was told."""
    believed = [i for i in incidents.values() if i.told is NoticeStatus.FIRING]
    leaders = [i for i in believed if i.part_of is None]
    return [
        IncidentGroup(
            primary, tuple(sorted((i for i in believed if i.part_of == primary.key), key=rank))
        )
        for primary in leaders
    ]


def adds_nothing(incident: Incident, group: IncidentGroup) -> bool:
    """Whether people know it already: a TTFT that nobody could measure beside an outage."""
    outage = any(member.in_breach and member.rule == "down" for member in group.members)
    return outage and incident.rule == "ttft" and incident.value is None


def group_of(
    incident: Incident, notified: Iterable[IncidentGroup], *, stale: Collection[Key] = ()
) -> IncidentGroup | None:
    """The oldest story that tells of a cause or of a symptom of this incident.

    What is `stale` is related to nothing: whether it is still true is not known. What was
    announced under one number stays together: people know it by that number.
    """
    number = incident.announced_as or incident.number
    related = [
        group
        for group in notified
        if (number is not None and number == group.number)
        or any(
            i.open and i.key not in stale and (_causes(i, incident) or _causes(incident, i))
            for i in group.members
        )
    ]
    return min(related, key=lambda group: group.primary.opened_at, default=None)


def _causes(cause: Incident, symptom: Incident) -> bool:
    """A key serves every target; `spend` is over all of them."""
    near = cause.scope == symptom.scope or ALL in (cause.scope, symptom.scope)
    return symptom.rule in CAUSES.get(cause.rule, ()) and (near or cause.rule == "key")
