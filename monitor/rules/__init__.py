"""The rules: a window in, a verdict with its proof out. One file each, listed here.

A rule is a frozen dataclass of its limits with a `name` and a pure `judge`. What it judges
is the type of its first argument: the last day of a target, the days of spend, the reading
of an account, the backlog of a channel. `standing` is the latest incident of that rule and
scope, open or resolved, or None.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Protocol

from monitor.domain import Incident, Verdict
from monitor.rules.delivery import Backlog, Delivering
from monitor.rules.down import Down
from monitor.rules.fallback import Fallback
from monitor.rules.identity_unknown import IdentityUnknown
from monitor.rules.key import Credit, Key
from monitor.rules.literal import is_literal, of_query
from monitor.rules.model_changed import ModelChanged
from monitor.rules.no_data import NoData
from monitor.rules.probe_budget import ProbeBudget, Probing
from monitor.rules.spend import SLICE, DailySpend, UpperEnd
from monitor.rules.ttft import Ttft
from monitor.rules.unpriced import Unpriced
from monitor.rules.windows import SAMPLES, SPAN, Window


class Rule(Protocol):
    """What every rule has; `judged` is of the type that rule says."""

    name: ClassVar[str]

    def judge(self, judged: Any, standing: Incident | None, now: datetime, /) -> Verdict: ...


RULES: Mapping[str, type[Rule]] = {
    "ttft": Ttft,  # a Window
    "fallback": Fallback,  # a Window
    "model_changed": ModelChanged,  # a Window
    "down": Down,  # a Window
    "no_data": NoData,  # a Window
    "identity_unknown": IdentityUnknown,  # a Window
    "unpriced": Unpriced,  # a Window
    "spend": DailySpend,  # days of Spend, the last of them today's, and their UpperEnd
    "probe_budget": ProbeBudget,  # Probing: today's probes
    "key": Key,  # the latest Reading of a provider, and its Credit
    "delivery": Delivering,  # the Backlog of a channel
}

OF_TARGETS = (
    "ttft", "fallback", "model_changed", "down", "no_data", "identity_unknown", "unpriced",
)  # fmt: skip

__all__ = [
    "OF_TARGETS",
    "RULES",
    "SAMPLES",
    "SLICE",
    "SPAN",
    "Backlog",
    "Credit",
    "DailySpend",
    "Delivering",
    "Down",
    "Fallback",
    "IdentityUnknown",
    "Key",
    "ModelChanged",
    "NoData",
    "ProbeBudget",
    "Probing",
    "Rule",
    "Ttft",
    "Unpriced",
    "UpperEnd",
    "Window",
    "is_literal",
    "of_query",
]
