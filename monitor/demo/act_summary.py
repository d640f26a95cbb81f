"""What the stored probes say about each act of the story."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from statistics import mean
from typing import Any

from monitor.demo.scenario import ScenarioAct


@dataclass(frozen=True, slots=True)
class ActSummary:
    """One act in figures. `who` counts answers by identity; None: nothing to average."""

    called: str
    probes: int
    mean_ttft_ms: float | None
    who: Counter[str]
    usd_a_query: Decimal | None


def act_summaries(
    begun: Sequence[tuple[ScenarioAct, datetime]], rows: Sequence[tuple[Any, ...]]
) -> list[ActSummary]:
    """Share the probes among the acts they were started in.

    Rows are (started_at, ttft_ms, identity, cost_usd), in any order. Probes from before the
    first act belong to it.
    """
    starts = [start for _, start in begun]
    notified = []
    for number, (act, start) in enumerate(begun):
        since = start if number else datetime.min.replace(tzinfo=start.tzinfo)
        until = starts[number + 1] if number + 1 < len(starts) else None
        of_act = [row for row in rows if since <= row[0] and (until is None or row[0] < until)]
        first_tokens = [row[1] for row in of_act if row[1] is not None]
        costs = [row[3] for row in of_act if row[3] is not None]
        notified.append(
            ActSummary(
                called=act.called,
                probes=len(of_act),
                mean_ttft_ms=mean(first_tokens) if first_tokens else None,
                who=Counter(row[2] for row in of_act),
                usd_a_query=sum(costs, Decimal(0)) / len(costs) if costs else None,
            )
        )
    return notified
