"""What a digest is made of, already counted. Latencies are ms; absence is None."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from monitor.domain import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestLatency:
    """TTFT of a target. `mean_ms`: of its rounds' means, as the rule judges them."""

    target: str
    rounds: int = 0
    probes: int = 0  # with a TTFT that may be judged
    over: int | None = None  # of these, over the limit; None: there is no limit
    mean_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestAnswers:
    """Answers of one model. `model` None: not identified."""

    target: str
    model: str | None
    identity: Identity
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestDay:
    """What a day cost, and what each meter says: they are never added up.

    Margins: so much more if the most expensive declared models gave the answers of unknown model.
    """

    day: date
    total_usd: Decimal
    probes_usd: Decimal
    traffic_usd: Decimal
    account_usd: Decimal | None
    at_least: bool
    margin_usd: Decimal = Decimal(0)
    probes_margin_usd: Decimal = Decimal(0)
    traffic_margin_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestSaving:
    """Against all answers by the fallback. `traffic_usd`: at the service's own queries."""

    probes_usd: Decimal | None
    traffic_usd: Decimal | None
    left_out: int = 0  # whole answers without a cost: their model is unknown, or has no price


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestIncident:
    """An incident that was open at some time of the span. `resolved_at` None: it is."""

    number: int
    rule: str
    scope: str
    opened_at: datetime
    resolved_at: datetime | None
    recovering_since: datetime | None = None  # open, but not in breach since then


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestMonitor:
    """How the monitor itself is. `broken_why`: the channel refuses everything."""

    probes: int
    degraded: int
    rounds_expected: int | None  # None: nobody can tell
    rounds_missed: int | None
    budget_used_usd: Decimal  # of the UTC day
    waiting: int
    lost: int  # messages given up in the span
    broken_why: str | None
    budget_margin_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestFigures:
    """Everything a digest tells. A limit that is None: its rule is off."""

    latencies: Sequence[DigestLatency]  # each target once
    served: Sequence[DigestAnswers]
    yesterday: DigestDay | None  # None: nothing is known of it
    today: DigestDay | None
    saving: DigestSaving
    incidents: Sequence[DigestIncident]
    own: DigestMonitor
    limit_ms: float | None
    limit_usd: Decimal | None
    budget_usd: Decimal
