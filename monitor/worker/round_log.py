"""One log line for each round: times, who answered, cost, and which rules are in breach."""

import logging
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from monitor.domain import ALL, Identity, Observation, Outcome, Target, amount_text
from monitor.identity.model_names.common_name import common_name
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)


def log_round(
    context: WorkerContext, target: Target, slot: datetime, seen: Sequence[Observation]
) -> None:
    """Log what a round brought. `breaches` are as of the last evaluation by this worker."""
    answered = [one for one in seen if one.outcome is Outcome.ANSWERED]
    breaches = context.state.breaches
    log.info(
        "round probed",
        extra={
            "target": target.name,
            "slot": slot,
            "ttft_ms": {
                one.query: None if one.ttft_ms is None else round(one.ttft_ms) for one in answered
            },
            "failed": {
                one.query: one.error or one.outcome.value for one in seen if one not in answered
            },
            "answered_by": list(dict.fromkeys(map(_answerer, answered))),
            "cost_usd": _spent(seen),
            "breaches": sorted({*breaches.get(target.name, ()), *breaches.get(ALL, ())}),
        },
    )


def _answerer(seen: Observation) -> str:
    """The model by its common name, with the judgement unless it is the expected one."""
    if seen.model_detected is None:
        return seen.identity.value
    name = common_name(seen.model_detected)
    return name if seen.identity is Identity.EXPECTED else f"{name} ({seen.identity})"


def _spent(seen: Sequence[Observation]) -> str | None:
    """What the round cost; None where no probe has a price."""
    if not any(one.cost_usd is not None or one.cost_low_usd is not None for one in seen):
        return None
    low, high = (sum(usd, Decimal(0)) for usd in zip(*(o.cost_ends for o in seen), strict=True))
    return amount_text(low, high)
