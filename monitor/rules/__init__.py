"""The rules: a window in, a verdict with its proof out. One file each, listed here.

A rule is a frozen dataclass of its limits with a `name` and a pure `judge`. What it judges
is the type of its first argument: the last day of a target, the days of spend, the reading
of an account, the backlog of a channel. `latest_incident` is the latest incident of that rule and
scope, open or resolved, or None.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Protocol

from monitor.domain import Incident, Verdict
from monitor.rules.delivery import DeliveryBacklog, DeliveryRule
from monitor.rules.down import DownRule
from monitor.rules.fallback import FallbackRule
from monitor.rules.identity_unknown import IdentityUnknownRule
from monitor.rules.key import KeyCredit, KeyRule
from monitor.rules.limit_checks import is_literal, of_query
from monitor.rules.model_changed import ModelChangedRule
from monitor.rules.no_data import NoDataRule
from monitor.rules.probe_budget import ProbeBudgetRule, ProbeUsage
from monitor.rules.spend import SLICE, SpendRule, SpendUpperBound
from monitor.rules.ttft import TtftRule
from monitor.rules.unpriced import UnpricedRule
from monitor.rules.window import SAMPLES, SPAN, Window


class Rule(Protocol):
    """What every rule has; `judged` is of the type that rule says."""

    name: ClassVar[str]

    def judge(self, judged: Any, latest_incident: Incident | None, now: datetime, /) -> Verdict: ...


RULES: Mapping[str, type[Rule]] = {
    "ttft": TtftRule,  # a Window
    "fallback": FallbackRule,  # a Window
    "model_changed": ModelChangedRule,  # a Window
    "down": DownRule,  # a Window
    "no_data": NoDataRule,  # a Window
    "identity_unknown": IdentityUnknownRule,  # a Window
    "unpriced": UnpricedRule,  # a Window
    "spend": SpendRule,  # days of Spend, the last of them today's, and their UpperEnd
    "probe_budget": ProbeBudgetRule,  # Probing: today's probes
    "key": KeyRule,  # the latest Reading of a provider, and its Credit
    "delivery": DeliveryRule,  # the Backlog of a channel
}

OF_TARGETS = (
    "ttft",
    "fallback",
    "model_changed",
    "down",
    "no_data",
    "identity_unknown",
    "unpriced",
)

__all__ = [
    "OF_TARGETS",
    "RULES",
    "SAMPLES",
    "SLICE",
    "SPAN",
    "DeliveryBacklog",
    "DeliveryRule",
    "DownRule",
    "FallbackRule",
    "IdentityUnknownRule",
    "KeyCredit",
    "KeyRule",
    "ModelChangedRule",
    "NoDataRule",
    "ProbeBudgetRule",
    "ProbeUsage",
    "Rule",
    "SpendRule",
    "SpendUpperBound",
    "TtftRule",
    "UnpricedRule",
    "Window",
    "is_literal",
    "of_query",
]
