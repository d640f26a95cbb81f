"""The settings of the simulated service that can be changed while it runs, and its state."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from monitor.simulator.answer_plan import topic
from monitor.simulator.provider_account import SimulatedAccount
from monitor.simulator.situations import (
    COURSES,
    AnswerCourse,
    ServiceSituation,
    SimulatedModel,
)

TOOLS_S = 3.0  # the first request of a process fetches the tool list
EMBEDDING_S = 0.29  # the first search for a query
PROMPT_TOKENS = 700  # the persona's system prompt outweighs every question
CHARACTERS_A_TOKEN = 4


@dataclass(slots=True)
class ServiceState:
    """The settings of a simulated service, and the true figures that clients do not see.

    `share` is that of answers by the fallback while the situation is intermittent; `candour` that
    of direct identity questions which a model answers with its own name; `served` counts the
    answers in which each model took part.
    """

    share: float = 0.3
    candour: Mapping[SimulatedModel, float] = field(
        default_factory=lambda: {SimulatedModel.HAIKU: 0.3}
    )
    account: SimulatedAccount = field(default_factory=SimulatedAccount)
    served: Counter[SimulatedModel] = field(default_factory=Counter)

    def course(self, situation: ServiceSituation, draw: Random) -> AnswerCourse:
        """How the next answer goes; its prompt is billed at once."""
        if situation is ServiceSituation.INTERMITTENT:
            fell = draw.random() < self.share
            situation = ServiceSituation.KEY_REJECTED if fell else ServiceSituation.HEALTHY
        course = COURSES[situation]
        self.served.update({turn.speaker for turn in course.turns})
        self._charge(course, PROMPT_TOKENS)
        return course

    def answered(self, course: AnswerCourse, characters: int) -> None:
        """Bill an answer that was read to its end."""
        self._charge(course, characters // CHARACTERS_A_TOKEN)

    def _charge(self, course: AnswerCourse, tokens: int) -> None:
        if any(turn.speaker is SimulatedModel.LLAMA for turn in course.turns):
            self.account.charge(tokens)

    def change(self, wanted: Mapping[str, Any]) -> None:
        """Change these settings; on ValueError, ArithmeticError or TypeError none is changed."""
        unknown = wanted.keys() - {"share", "candour", "spent_usd", "limit_usd", "expires_at"}
        if unknown:
            raise ValueError(f"cannot change {', '.join(sorted(unknown))}")
        share = float(wanted.get("share", self.share))
        candour = {
            SimulatedModel(s): float(c) for s, c in wanted.get("candour", self.candour).items()
        }
        spent_usd = Decimal(str(wanted.get("spent_usd", self.account.spent_usd)))
        limit = wanted.get("limit_usd", self.account.limit_usd)
        limit_usd = None if limit is None else Decimal(str(limit))
        expires_at = wanted.get("expires_at", self.account.expires_at)
        self.share, self.candour = share, candour
        self.account = SimulatedAccount(spent_usd, limit_usd, expires_at)


class ServiceCaches:
    """What a process of the service has already looked up. It starts warm."""

    def __init__(self) -> None:
        self._cold = False
        self._tools = True
        self._searched: set[str] = set()

    def restart(self) -> None:
        self._cold, self._tools = True, False
        self._searched.clear()

    def lost_s(self, query: str) -> float:
        """Seconds that this query takes longer than the next time."""
        if not self._cold:
            return 0.0
        lost = 0.0 if self._tools else TOOLS_S
        if query not in self._searched and topic(query) not in ("greeting", "identity"):
            lost += EMBEDDING_S
        self._tools = True
        self._searched.add(query)
        return lost
