"""The words of the monitor: frozen facts that travel from room to room.

Nothing here reads a clock, a socket, a database or the environment. Instants named
`_at` are aware UTC datetimes; instants named `_ns` are readings of one monotonic clock;
money is `Decimal` US dollars. Absence is `None` and never zero.
"""

from monitor.domain.accounts import AccountState, Reading
from monitor.domain.confidence import confidence_text
from monitor.domain.heard import (
    Claim,
    ClaimKind,
    Dialect,
    Ending,
    Event,
    Finish,
    Framing,
    Heard,
    Piece,
    Reply,
    Sources,
    Stamp,
    Transcript,
    Usage,
    WireRequest,
)
from monitor.domain.judged import (
    ALL,
    Delivery,
    GiveUp,
    Incident,
    Message,
    Notice,
    Sample,
    Sent,
    Spend,
    State,
    Status,
    TryLater,
    Verdict,
    incident_key,
)
from monitor.domain.money import amount_text, usd_text
from monitor.domain.observed import (
    Cost,
    CostRange,
    CostSource,
    Evidence,
    Identity,
    Observation,
    Outcome,
    Timing,
    Unpriced,
    Who,
)
from monitor.domain.times import instant, lasting
from monitor.domain.watched import Query, Target

__all__ = [
    "ALL",
    "AccountState",
    "Claim",
    "ClaimKind",
    "Cost",
    "CostRange",
    "CostSource",
    "Delivery",
    "Dialect",
    "Ending",
    "Event",
    "Evidence",
    "Finish",
    "Framing",
    "GiveUp",
    "Heard",
    "Identity",
    "Incident",
    "Message",
    "Notice",
    "Observation",
    "Outcome",
    "Piece",
    "Query",
    "Reading",
    "Reply",
    "Sample",
    "Sent",
    "Sources",
    "Spend",
    "Stamp",
    "State",
    "Status",
    "Target",
    "Timing",
    "Transcript",
    "TryLater",
    "Unpriced",
    "Usage",
    "Verdict",
    "Who",
    "WireRequest",
    "amount_text",
    "confidence_text",
    "incident_key",
    "instant",
    "lasting",
    "usd_text",
]
