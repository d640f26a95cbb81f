"""Which incidents explain which others, and how urgent they are together.

Source: docs/alerts.md
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from monitor.domain import ALL, Incident, Severity, Subject

_TOGETHER = timedelta(hours=1)  # a passing symptom and its cause begin so near to each other


class RuleRelations(Protocol):
    """What grouping needs to know of a rule: its subject, its severity, and what it inhibits."""

    @property
    def subject(self) -> Subject: ...
    @property
    def inhibits(self) -> frozenset[str]: ...
    @property
    def prevents(self) -> frozenset[str]: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def passing(self) -> bool: ...
    @property
    def shares_faults(self) -> bool: ...
    @property
    def suspects_model(self) -> bool: ...


class TargetPlace(NamedTuple):
    """Where a target is, and which channels are notified of it."""

    host: str
    channels: frozenset[str]


# Targets on other hosts that fail for the same reason so near to each other share a fault, such as
# one of the network.
_AT_ONCE = timedelta(minutes=10)
_READ_LATE = timedelta(minutes=15)  # after which a provider's fault has been read


class Inhibitions:
    """Which incidents explain which others, according to the rules."""

    def __init__(
        self,
        rules: Mapping[str, RuleRelations],
        *,
        place_of: Callable[[str], TargetPlace | None] = lambda target: None,
        targets_on: Callable[[str], int] = lambda host: 0,
    ) -> None:
        """`place_of`: where a target is; None: not known, it shares no fault.

        `targets_on`: how many targets a host has; 0: not known.

        Raises ValueError if a rule inhibits itself, directly or through other rules.
        """
        self._rules, self._place_of, self._targets_on = rules, place_of, targets_on
        self._depth = {name: self._chain(name, ()) for name in rules}

    def _chain(self, name: str, causes: tuple[str, ...]) -> int:
        """The length of the longest chain of inhibitions that starts at a rule."""
        if name in causes:
            raise ValueError(f"rule {name} inhibits itself: {' → '.join((*causes, name))}")
        if name not in self._rules:
            return 0
        inhibited = self._rules[name].inhibits
        return max((1 + self._chain(other, (*causes, name)) for other in inhibited), default=0)

    def rank(self, incident: Incident) -> tuple[int, bool, datetime]:
        """Sort key: causes before their symptoms, providers before targets, then by age."""
        depth = self._depth.get(incident.rule, 0)
        return -depth, not self.of_provider(incident), incident.opened_at

    def causes(self, cause: Incident, symptom: Incident) -> bool:
        """Whether one incident explains another on the same target, or as a cause for every target.

        A cause with scope `all` or of a provider applies to every target. An incident with scope
        `all` is not a symptom of one target: otherwise it would join incidents of unrelated
        targets. A passing symptom is one change: only what began with it explains it.
        """
        rule = self._rules.get(cause.rule)
        near = cause.scope in (symptom.scope, ALL) or self.of_provider(cause)
        explained = rule is not None and symptom.rule in rule.inhibits and near
        if explained and self.passing(symptom):
            return abs(symptom.breach_since - cause.breach_since) <= _TOGETHER
        return explained

    def prevents(self, cause: Incident, symptom: Incident) -> bool:
        """Whether the symptom cannot be measured during the cause."""
        rule = self._rules.get(cause.rule)
        return rule is not None and symptom.rule in rule.prevents and symptom.value is None

    def shares_fault(self, one: Incident, other: Incident, *, at_any_time: bool = False) -> bool:
        """Whether two targets cannot be reached for one reason.

        Without a connection: both are on the same host, or have the same error at about the same
        time. If a gateway answers: all three. Only if the same channels are notified of both.
        `at_any_time`: the times do not matter, because one may be a return.
        """
        found, another = one.finding, other.finding
        if one.rule != other.rule or one.scope == other.scope:
            return False
        if not (found.together and another.together):
            return False
        place, elsewhere = self._place_of(one.scope), self._place_of(other.scope)
        if place is None or elsewhere is None or place.channels != elsewhere.channels:
            return False
        near = at_any_time or abs(one.breach_since - other.breach_since) <= _AT_ONCE
        at_once = near and found.together == another.together
        same_host = place.host == elsewhere.host
        if found.unconnected and another.unconnected:
            return same_host or at_once
        return same_host and at_once

    def shared_step(self, sharing: Sequence[Incident]) -> str:
        """What to check first for targets that share a fault now; "" if it is not known."""
        places = {self._place_of(one.scope) for one in sharing}
        hosts = {place.host if place else "" for place in places}
        reasons = {one.finding.together.removeprefix("do not answer: ") for one in sharing}
        what = "cannot be reached"
        if len(reasons) == 1:
            (reason,) = reasons
            refused = reason == "connection refused"
            what = "refuse connections" if refused else f"do not answer ({reason})"
        count = len(sharing)
        if "" in hosts:
            return ""
        if len(hosts) > 1:
            where = f"{count} targets on {len(hosts)} hosts"
            return f"{where} {what}: check the monitor's own network first."
        (host,) = hosts
        where = f"{'All ' * (self._targets_on(host) == count)}{count} targets on {host}"
        if all(one.finding.unconnected for one in sharing):
            return f"{where} {what}: check the host first."
        return f"{where} {what}: check the gateway and the server behind it."

    def unrelated(self, shared: Incident, returned: Incident) -> bool:
        """Whether a target returns for another reason than a fault that it shared."""
        if not self.may_share_faults(shared) or shared.scope == returned.scope:
            return False
        if self.of_provider(returned) or ALL in (shared.scope, returned.scope):
            return False
        return not self.shares_fault(shared, returned, at_any_time=True)

    def may_share_faults(self, incident: Incident) -> bool:
        """Whether its rule is one whose incidents of several targets may be one message."""
        rule = self._rules.get(incident.rule)
        return rule is not None and rule.shares_faults

    def fault_keys(self, incident: Incident) -> Collection[Hashable]:
        """Two incidents that share a fault have one of these in common."""
        place = self._place_of(incident.scope) if incident.finding.together else None
        if place is None:
            return ()
        rule, notified = incident.rule, place.channels
        return (rule, notified, place.host), (rule, notified, None, incident.finding.together)

    def severity(self, *rules: str) -> Severity:
        """The most urgent severity of these rules; `page` for an unknown rule."""
        known = [self._rules[rule].severity for rule in rules if rule in self._rules]
        return max(known, key=lambda severity: severity.rank, default=Severity.PAGE)

    def passing(self, incident: Incident) -> bool:
        """Whether its notices have the status NOTICE: nothing in the service is broken."""
        rule = self._rules.get(incident.rule)
        return rule is not None and rule.passing

    def replaces_model(self, cause: Incident, symptom: Incident) -> bool:
        """Whether a fault at a provider may be the reason that another model answers."""
        return self.about_model(symptom) and self.of_provider(cause) and self.causes(cause, symptom)

    def about_model(self, incident: Incident) -> bool:
        """Whether it is about the model that answers."""
        rule = self._rules.get(incident.rule)
        return rule is not None and rule.suspects_model

    def names_model(self, cause: Incident, symptom: Incident) -> bool:
        """Whether both are about the model that answers, and the cause knows more of it."""
        both = self.about_model(cause) and self.about_model(symptom)
        return both and self.causes(cause, symptom)

    def follows_not(self, cause: Incident, symptom: Incident) -> bool:
        """Whether the symptom was detected before its cause began, and so does not follow from it.

        A provider is read from time to time, so its fault may be a little older than it seems. What
        gets a name later is the same fault, which was there before.
        """
        detected_at = symptom.reopened_at or symptom.opened_at
        late = _READ_LATE if self.of_provider(cause) else timedelta(0)
        later = detected_at < cause.breach_since - late
        return self.causes(cause, symptom) and later and not self.names_model(cause, symptom)

    def of_provider(self, incident: Incident) -> bool:
        """Whether it is a provider's, so that it concerns every target."""
        rule = self._rules.get(incident.rule)
        return rule is not None and rule.subject is Subject.PROVIDER
