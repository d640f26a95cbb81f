"""Groups of incidents with one cause.

A group has a primary incident, whose number and message it uses, and the incidents that are part of
it. Each incident keeps its own row, so that its duration is known.

Source: docs/alerts.md
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from monitor.domain import Incident, NoticeStatus
from monitor.incidents.inhibitions import Inhibitions

Key = tuple[str, str]  # rule and scope


@dataclass(frozen=True)  # without slots: it may have thousands of members, so what follows is kept
class IncidentGroup:
    """A primary incident and its parts: open, or resolved but not yet reported as resolved."""

    primary: Incident
    parts: tuple[Incident, ...]
    inhibitions: Inhibitions

    @cached_property
    def members(self) -> tuple[Incident, ...]:
        return self.primary, *self.parts

    @property
    def number(self) -> int | None:
        """The number in its messages; None until the database assigns one."""
        return self.primary.announced_as or self.primary.number

    @cached_property
    def headline(self) -> Incident:
        """The incident that the message describes: deepest cause in breach, else one still open.

        If all are over, the deepest cause among those whose end was not sent before.
        """
        live = [member for member in self.members if member.in_breach]
        still = live or [member for member in self.members if member.open]
        return min(still or self.just_ended, key=self.inhibitions.rank)

    @property
    def just_ended(self) -> Sequence[Incident]:
        """If all are over: those whose end was not sent before, causes first."""
        ends = {i.key: i.resolved_at for i in self.members if i.resolved_at is not None}
        latest = max(ends.values())
        reported = min(self.primary.last_told_at, latest - timedelta.resolution)
        return [i for i in self.ranked if ends[i.key] > reported]

    def breaches(self, member: Incident, now: datetime) -> Sequence[tuple[datetime, datetime]]:
        """Start and end of each breach of a member under this number, oldest first; never empty.

        A breach ends with the first good row after it: the rows that prove the end, and the calm
        after it, are no breach. An earlier breach that was over before the primary incident began
        had another number.
        """
        if not member.earlier_breaches:
            return ((member.began_at, member.breach_until or now),)
        start = self.primary.began_at
        ended = member.until or member.last_breach_at  # an earlier version stored no end
        latest = (member.breach_since, max(member.breach_since, ended))
        return (*(one for one in member.earlier_breaches if one[1] >= start), latest)

    @cached_property
    def alike(self) -> Sequence[Incident]:
        """The members of other targets with the fault that the message describes."""
        if not self.parts:
            return ()
        face = self.headline
        return [
            i
            for i in self.ranked
            if (i.open, i.in_breach) == (face.open, face.in_breach)
            and self.inhibitions.shares_fault(face, i)
        ]

    @cached_property
    def alike_keys(self) -> Collection[Key]:
        return {incident.key for incident in self.alike}

    @cached_property
    def ranked(self) -> list[Incident]:
        """The members, causes first."""
        return sorted(self.members, key=self.inhibitions.rank)

    @property
    def over(self) -> bool:
        return not any(member.open for member in self.members)


def incident_groups(
    incidents: Mapping[Key, Incident], inhibitions: Inhibitions
) -> list[IncidentGroup]:
    """All groups that the channel shows as open."""
    parts: dict[Key, list[Incident]] = {}
    leaders = []
    for incident in incidents.values():
        if incident.told is not NoticeStatus.FIRING:
            continue
        if incident.part_of is None:
            leaders.append(incident)
        else:
            parts.setdefault(incident.part_of, []).append(incident)
    return [
        IncidentGroup(
            primary,
            tuple(sorted(parts.get(primary.key, ()), key=inhibitions.rank)),
            inhibitions,
        )
        for primary in leaders
    ]
