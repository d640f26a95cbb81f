"""A channel: a name, a way to send, and which notices it takes."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.domain import Notice, Severity, Subject
from monitor.notifications.notifier import ChannelOptions, Notifier
from monitor.rules import RULES

DEFAULT = "slack"  # the channel that the environment describes
Key = tuple[str, str]  # rule and scope of an incident; the scope may name a query: `rag/hi`


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFilter:
    """Which notices a channel accepts. An empty set accepts all of its kind.

    `targets` limits notices about a target. Others (spend, a provider's key, a channel, the digest)
    are limited only by rule and severity.
    """

    rules: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    severity: frozenset[Severity] = frozenset()

    def takes(self, notice: Notice, reported: Iterable[Key] = ()) -> bool:
        """Whether the channel accepts a notice. `reported`: the incidents that the notice is about.

        The severity is that of the notice: the most urgent of its incidents.
        """
        if self.severity and notice.severity not in self.severity:
            return False
        return any(
            self.hears(rule, scope) for rule, scope in ((notice.rule, notice.scope), *reported)
        )

    def hears(self, rule: str, scope: str) -> bool:
        """Whether it accepts notices of a rule about a scope, whatever their severity."""
        if self.rules and rule not in self.rules:
            return False
        known = RULES.get(rule)
        of_target = known is not None and known.subject is Subject.TARGET
        return not (self.targets and of_target) or scope.partition("/")[0] in self.targets

    def __str__(self) -> str:
        parts = (
            f"{name} {', '.join(sorted(getattr(self, name)))}"
            for name in ("rules", "targets", "severity")
            if getattr(self, name)
        )
        return "; ".join(parts) or "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel that is ready to send. The outbox stores its `name`."""

    name: str
    notifier: Notifier
    accepts: ChannelFilter = ChannelFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredChannel:
    """A channel as configured: validated, but not yet opened."""

    name: str
    options: ChannelOptions = field(repr=False)
    accepts: ChannelFilter = ChannelFilter()
    usable: bool = True  # False: its variables are not set, and `options` only stands in

    @property
    def kind(self) -> str:
        return self.options.kind

    def opened(self) -> Channel:
        return Channel(
            name=self.name, notifier=self.options.notifier(self.name), accepts=self.accepts
        )
