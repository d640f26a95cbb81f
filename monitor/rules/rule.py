"""What a rule is: limits, a judgement, and everything that other rooms need to know about it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar, TypeVar

from monitor.domain import Incident, Severity, Subject, Verdict, lasting, usd_text

RuleT = TypeVar("RuleT", bound="Rule")


class Unit(Enum):
    """How value, limit and peak of a rule are stored and shown."""

    COUNT = "count"
    MILLISECONDS = "milliseconds"
    SECONDS = "seconds"
    MINUTES = "minutes"
    SHARE = "share"  # 0 to 1, shown in per cent
    USD = "usd"

    @property
    def exact(self) -> bool:
        """Whether values are exact (`Decimal`); all others are measured (`float`)."""
        return self is Unit.USD

    def text(self, value: float | Decimal, *, limit: float | Decimal | None = None) -> str:
        """A value with its unit. A limit is formatted by passing it as both value and limit."""
        if not (math.isfinite(value) and -1e12 < value < 1e12):
            return f"{value:g}"
        match self:
            case Unit.COUNT:
                return f"{float(value):g}"
            case Unit.MILLISECONDS:
                return f"{value:,.0f} ms"
            case Unit.SECONDS:
                return lasting(timedelta(seconds=float(value)))
            case Unit.MINUTES:
                return lasting(timedelta(minutes=float(value)))
            case Unit.SHARE:
                return f"{100 * value:.1f}".removesuffix(".0") + " %"
            case Unit.USD:
                return usd_text(value, beside=limit, exact=value == limit)


class Rule(ABC):
    """A frozen dataclass of limits with a pure `judge`, and attributes that describe it.

    A rule is one file with one class and one line in `RULES`. Attributes without a default are
    required; `tests/unit/test_rules.py` names each missing one. A rule needs a section with its
    name in `docs/runbook.md` and in `docs/alerts.md`, and a test file.
    """

    __slots__ = ()

    name: ClassVar[str]  # also the name of its file, its configuration section and its runbook
    subject: ClassVar[Subject]  # the kind of its scope and of the data that `judge` gets
    unit: ClassVar[Unit]
    first_step: ClassVar[str]  # what the person on call does first; `{target}` stands for the scope
    # A query over schema `report` that shows what the rule saw; `{rows}` stands for scope and
    # time of a notice.
    evidence_sql: ClassVar[str]
    inhibits: ClassVar[frozenset[str]]  # rules whose incidents are explained by one of this rule
    likely_cause: ClassVar[bool]  # a breach looks for a likely cause among rows and events
    chart: ClassVar[bool]  # a chart of the last hours is attached

    # Rules that cannot be measured while this one is in breach: their incidents without a value do
    # not cause another notification.
    prevents: ClassVar[frozenset[str]] = frozenset()
    # Nothing in the service is broken: its incidents are sent as NOTICE, without a number, once a
    # day while they last. Such a rule explains no other.
    passing: ClassVar[bool] = False
    shares_faults: ClassVar[bool] = False  # one fault may be that of several targets
    names_models: ClassVar[bool] = False  # a breach names the models that answered
    suspects_model: ClassVar[bool] = False  # an open incident: another model may be answering
    needs_baseline: ClassVar[bool] = False  # not judged while the baselines are unavailable
    every_sample: ClassVar[bool] = False  # a backtest judges it after every sample, not every round
    # Limits that are set in another section: limit to key, `section.key`.
    set_elsewhere: ClassVar[Mapping[str, str]] = {}
    # Former limits, each with what to set instead: an error names it.
    moved: ClassVar[Mapping[str, str]] = {}

    severity: Severity  # certainty of a breach; a notice may have less

    @abstractmethod
    def judge(self, judged: Any, latest_incident: Incident | None, now: datetime, /) -> Verdict:
        """Judge data of the kind that `subject` names.

        `latest_incident` is the latest incident of this rule and scope, open or resolved. `now` is
        the time of the judgement.
        """


def rule_of(rules: Mapping[str, Rule], kind: type[RuleT]) -> RuleT | None:
    """The rule of a class with its limits; None if it is switched off."""
    rule = rules.get(kind.name)
    return rule if isinstance(rule, kind) else None
