"""`identity_unknown`: we cannot tell who answers."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from monitor.domain import Identity, Incident, State, Verdict
from monitor.rules.limits import at_least, between
from monitor.rules.windows import Window

_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityUnknown:
    """Notice, once a week, that most answers of the last day disclose no model.

    Judged on `answers` or more. While nobody can tell who answers, `fallback` is blind.

    Source: docs/alerts.md#identity_unknown
    """

    name: ClassVar[str] = "identity_unknown"
    limit: float = 0.5
    answers: int = 100

    def __post_init__(self) -> None:
        between(self, 0, 1, "limit")
        at_least(self, 1, "answers")

    def judge(self, window: Window, standing: Incident | None, now: datetime) -> Verdict:
        """Judge the last day of one target."""
        of, unknown = window.answered, window.unknown
        share = unknown / of if of else None
        if share is None or of < self.answers:
            state = State.NO_DATA
        else:
            state = State.NOTICE if share > self.limit else State.OK
        year, week, _ = now.astimezone(UTC).isocalendar()
        told = state is State.NOTICE
        untold = [s for s in window.samples if s.identity is Identity.UNKNOWN] if told else []
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=state,
            value=share,
            limit=self.limit,
            because=f"The model could not be identified for {unknown} of {of} answers "
            "in the last 24 h.",
            rows=tuple(sample.id for sample in untold[: -_ROWS - 1 : -1]),
            once=f"{year}-W{week:02}" if told else None,
            since=untold[0].at if untold else None,
        )
