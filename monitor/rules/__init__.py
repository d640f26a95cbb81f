"""The rules: one file each, listed in `RULES`. A rule turns rows into a verdict with its proof.

Everything that other rooms need to know of a rule is an attribute of its class: see `Rule`.
"""

from collections.abc import Mapping

from monitor.rules.answer_check import AnswerCheckRule
from monitor.rules.calendar import Calendar, CalendarRule
from monitor.rules.cost_drift import CostDriftRule
from monitor.rules.delivery import DeliveryBacklog, DeliveryRule
from monitor.rules.down import DownRule
from monitor.rules.fallback import FallbackRule
from monitor.rules.identity_unknown import IdentityUnknownRule
from monitor.rules.key import KeyRule
from monitor.rules.limit_checks import is_literal, of_query
from monitor.rules.model_changed import ModelChangedRule
from monitor.rules.no_data import NoDataRule
from monitor.rules.probe_budget import ProbeBudgetRule, ProbeUsage
from monitor.rules.retrieval import RetrievalRule
from monitor.rules.rule import Rule, Unit, rule_of
from monitor.rules.spend import SLICE, SpendRule, SpendUpperBound
from monitor.rules.ttft import TtftRule
from monitor.rules.ttft_unknown import TtftUnknownRule
from monitor.rules.unpriced import UnpricedRule
from monitor.rules.window import SAMPLES, SPAN, Window

RULES: Mapping[str, type[Rule]] = {
    rule.name: rule
    for rule in (
        TtftRule,
        FallbackRule,
        ModelChangedRule,
        DownRule,
        AnswerCheckRule,
        RetrievalRule,
        NoDataRule,
        TtftUnknownRule,
        IdentityUnknownRule,
        UnpricedRule,
        CostDriftRule,
        SpendRule,
        ProbeBudgetRule,
        KeyRule,
        CalendarRule,
        DeliveryRule,
    )
}

# Every rule with its default limits, including those that a configuration switches off.
DEFAULT_RULES: Mapping[str, Rule] = {name: rule() for name, rule in RULES.items()}


def unit_of(name: str) -> Unit:
    """The unit of a rule's values; a plain number for what is no rule, such as the digest."""
    rule = RULES.get(name)
    return rule.unit if rule else Unit.COUNT


__all__ = [
    "DEFAULT_RULES",
    "RULES",
    "SAMPLES",
    "SLICE",
    "SPAN",
    "AnswerCheckRule",
    "Calendar",
    "CalendarRule",
    "CostDriftRule",
    "DeliveryBacklog",
    "DeliveryRule",
    "DownRule",
    "FallbackRule",
    "IdentityUnknownRule",
    "KeyRule",
    "ModelChangedRule",
    "NoDataRule",
    "ProbeBudgetRule",
    "ProbeUsage",
    "RetrievalRule",
    "Rule",
    "SpendRule",
    "SpendUpperBound",
    "TtftRule",
    "TtftUnknownRule",
    "Unit",
    "UnpricedRule",
    "Window",
    "is_literal",
    "of_query",
    "rule_of",
    "unit_of",
]
