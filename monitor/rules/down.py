"""`down`: the service does not answer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import ClassVar

from monitor.domain import Incident, Sample, State, Verdict
from monitor.rules.limits import at_least, at_most
from monitor.rules.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Down:
    """Breach when `failed` of the last `of` probes failed, over at least two rounds.

    Fewer are enough when they are all of `rounds` rounds in a row, so that a target of one
    query is not waited for longer. It resolves after `good` good probes in a row, or good
    ones only in `rounds` rounds. Rate-limited and aborted probes are on neither side.

    Source: docs/alerts.md#down
    """

    name: ClassVar[str] = "down"
    failed: int = 5
    of: int = 6
    rounds: int = 3
    good: int = 5

    def __post_init__(self) -> None:
        at_least(self, 1, "failed", "of", "good")
        at_least(self, 2, "rounds")
        at_most(self, "failed", of="of")

    def judge(self, window: Window, standing: Incident | None, now: datetime) -> Verdict:
        """Judge the last day of one target."""
        latest = [] if window.silent(now) else self._latest(window, standing)
        bad = [sample for sample in latest[: self.of] if not sample.outcome.good]
        if not latest:
            state = State.NO_DATA
        elif standing is not None and standing.open:
            over = self._in_a_row(latest, good=True)
            state = State.OK if over else State.BREACH if latest[0] in bad else State.HOLD
        else:
            proven = len(bad) >= self.failed and _rounds(bad) >= 2
            state = State.BREACH if proven or self._in_a_row(latest, good=False) else State.OK
        return self._verdict(window, state, bad, tried=len(latest[: self.of]))

    def _latest(self, window: Window, standing: Incident | None) -> Sequence[Sample]:
        """The latest probes that tell something, newest first, as many as may be judged."""
        since = window.since(standing)
        latest: list[Sample] = []
        for sample in reversed(window.samples):
            if sample.at <= since or len(latest) == max(self.of, self.good):
                break
            if sample.outcome.good is not None:
                latest.append(sample)
        return latest

    def _in_a_row(self, latest: Sequence[Sample], *, good: bool) -> bool:
        same = list(takewhile(lambda sample: sample.outcome.good is good, latest))
        return _rounds(same) >= self.rounds or (good and len(same) >= self.good)

    def _verdict(
        self, window: Window, state: State, bad: Sequence[Sample], *, tried: int
    ) -> Verdict:
        how = Counter(sample.outcome.value for sample in bad).most_common()
        named = ": " + ", ".join(f"{count} {outcome}" for outcome, count in how) if how else ""
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=state,
            value=float(len(bad)) if tried else None,
            limit=float(self.failed),
            because=f"{len(bad)} of the last {tried} probes failed{named}."
            if tried
            else "There is no fresh probe to judge.",
            rows=tuple(sample.id for sample in bad),
            facts={"First failure": f"{bad[-1].at:%H:%M:%S} UTC"} if bad else {},
        )


def _rounds(samples: Sequence[Sample]) -> int:
    return len({sample.round for sample in samples})
