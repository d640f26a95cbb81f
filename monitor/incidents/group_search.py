"""Which group of incidents a new one joins.

Only incidents that may be related are compared: those of the same target, of all targets or of a
provider, of one number, and those that may share a fault. So an outage of a thousand targets costs
as much for each as that of one.
Source: docs/alerts.md
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from monitor.domain import ALL, Incident, NoticeStatus
from monitor.incidents.incident_groups import IncidentGroup, Key, incident_groups
from monitor.incidents.inhibitions import Inhibitions


@dataclass(slots=True)
class KnownGroup:
    """A group as far as it matters to an incident that may join.

    `headline`: the incident that its message describes. `in_breach`: a member of each rule.
    """

    primary: Incident
    headline: Incident
    number: int | None
    in_breach: dict[str, Incident] = field(default_factory=dict)
    near: dict[str, list[Incident]] = field(default_factory=dict)  # members by scope
    wide: list[Incident] = field(default_factory=list)  # those that concern every target

    def members(self, scope: str) -> Iterable[Incident]:
        """Those of a scope, and those that concern every target."""
        yield from self.near.get(scope, ())
        yield from self.wide


class GroupSearch:
    """The groups that the channel shows as open, and those that are added.

    `may_notify`: whether messages of a primary incident are sent now; a silenced group is not
    joined. `stale`: incidents that are related to nothing, because they may be over.
    """

    def __init__(
        self,
        incidents: Mapping[Key, Incident],
        inhibitions: Inhibitions,
        *,
        may_notify: Callable[[Incident], bool],
        stale: Collection[Key] = (),
    ) -> None:
        self._inhibitions, self._stale = inhibitions, stale
        self._order = {key: nth for nth, key in enumerate(incidents)}
        self._groups: dict[Key, KnownGroup] = {}
        self._of_number: dict[int, list[Key]] = {}
        self._of_scope: dict[str, dict[Key, None]] = {}  # with a member of it
        self._wide: dict[Key, None] = {}  # with a member that concerns every target
        self._of_fault: dict[Hashable, dict[Key, None]] = {}
        self._parts: dict[Key, list[Incident]] = {}  # by a primary incident that is not here
        for group in incident_groups(incidents, inhibitions):
            if may_notify(group.primary):
                self._begin(group)
        for incident in incidents.values():
            leader = incident.part_of
            if incident.told is NoticeStatus.FIRING and leader is not None:
                self._parts.setdefault(leader, []).append(incident)

    def group_of(self, incident: Incident) -> KnownGroup | None:
        """The oldest group with a cause or a symptom of this incident, or with the same fault.

        Incidents that were announced under one number stay together, because people know them by
        that number. A group whose notices have no number is joined by no cause: that gets its own.
        """
        number = incident.announced_as or incident.number
        related = dict.fromkeys(self._of_number.get(number, ()) if number is not None else ())
        everywhere = incident.scope == ALL or self._inhibitions.of_provider(incident)
        near: Iterable[Key] = self._groups
        if not everywhere:
            near = {**self._of_scope.get(incident.scope, {}), **self._wide}
        for key in near:
            if self._related(self._groups[key], incident, everywhere=everywhere):
                related[key] = None
        for fault in self._inhibitions.fault_keys(incident):
            for key in self._of_fault.get(fault, ()):
                face = self._groups[key].headline
                shown = face.in_breach and face.key not in self._stale
                if shown and self._inhibitions.shares_fault(face, incident):
                    related[key] = None
        return min(map(self._groups.__getitem__, related), key=self._age, default=None)

    def adds_nothing(self, incident: Incident, group: KnownGroup) -> bool:
        """Whether the incident adds nothing new: an unmeasurable TTFT during an outage, or a
        passing symptom, which the message of its cause then states."""
        if self._inhibitions.passing(incident):
            causes = self._inhibitions.causes
            return any(i.in_breach and causes(i, incident) for i in group.members(incident.scope))
        prevents = self._inhibitions.prevents
        return any(prevents(i, incident) for i in group.in_breach.values())

    def add(self, incident: Incident) -> None:
        """Add an incident in breach that is reported: a primary one, or a part of its group."""
        if incident.part_of is None:
            parts = tuple(sorted(self._parts.get(incident.key, ()), key=self._inhibitions.rank))
            self._begin(IncidentGroup(incident, parts, self._inhibitions))
            return
        group = self._groups[incident.part_of]
        self._member(group, incident)
        rank = self._inhibitions.rank
        if not group.headline.in_breach or rank(incident) < rank(group.headline):
            self._describe(group, incident)

    def _begin(self, group: IncidentGroup) -> None:
        known = KnownGroup(group.primary, group.headline, group.number)
        self._groups[group.primary.key] = known
        if known.number is not None:
            self._of_number.setdefault(known.number, []).append(group.primary.key)
        for member in group.members:
            self._member(known, member)
        self._describe(known, group.headline)

    def _member(self, group: KnownGroup, incident: Incident) -> None:
        key = group.primary.key
        group.near.setdefault(incident.scope, []).append(incident)
        self._of_scope.setdefault(incident.scope, {})[key] = None
        if incident.scope == ALL or self._inhibitions.of_provider(incident):
            group.wide.append(incident)
            self._wide[key] = None
        if incident.in_breach:
            group.in_breach.setdefault(incident.rule, incident)

    def _describe(self, group: KnownGroup, headline: Incident) -> None:
        group.headline = headline
        for fault in self._inhibitions.fault_keys(headline):
            self._of_fault.setdefault(fault, {})[group.primary.key] = None

    def _age(self, group: KnownGroup) -> tuple[datetime, int]:
        """Sort key: the oldest first; of several the one that was known first."""
        return group.primary.opened_at, self._order[group.primary.key]

    def _related(self, group: KnownGroup, incident: Incident, *, everywhere: bool) -> bool:
        """Whether a member is a cause or a symptom of the incident."""
        causes, passing = self._inhibitions.causes, self._inhibitions.passing
        members = (
            (i for some in group.near.values() for i in some)
            if everywhere
            else group.members(incident.scope)
        )
        return any(
            i.open
            and i.key not in self._stale
            and (causes(i, incident) or (causes(incident, i) and not passing(i)))
            for i in members
        )
