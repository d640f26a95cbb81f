"""`down`: the service does not answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice, takewhile
from typing import ClassVar

from monitor.domain import Incident, Sample, State, Verdict
from monitor.rules.failures import named
from monitor.rules.limits import at_least, at_most, between
from monitor.rules.windows import PATIENCE, TRIED, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Down:
    """Breach when `failed` of the last `of` probes failed, over at least two rounds.

    A round that hangs counts as two once its failures are an interval (at most two minutes)
    apart: our own deadlines must not hold back what a round of many queries has shown.
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
        between(self, 1, TRIED, "failed", "of", "good")
        at_least(self, 2, "rounds")
        at_most(self, "failed", of="of")

    def judge(self, window: Window, standing: Incident | None, now: datetime) -> Verdict:
        """Judge the last day of one target."""
        latest = [] if window.silent(now) else self._latest(window, standing)
        shown = latest[: self.of]
        bad = [sample for good, sample in shown if not good]
        enough = self.failed
        begun = bad[-1].at if bad else None
        if not latest:
            state = State.NO_DATA
        elif standing is not None and standing.open:
            over = self._in_a_row(latest, good=True)
            state = State.OK if over else State.HOLD if latest[0][0] else State.BREACH
            begun = standing.breach_since
            # What ended it are the good ones; until then it is counted over its own rows.
            shown = _good(latest) if over else self._own(window, begun)
            bad = [sample for good, sample in shown if not good]
        elif len(bad) >= self.failed and (_rounds(bad) >= 2 or _lasting(bad, window)):
            state = State.BREACH
        elif self._in_a_row(latest, good=False):
            state, enough = State.BREACH, min(self.failed, len(bad))
        else:
            state = State.OK
        if state is State.BREACH and not (standing is not None and standing.open):
            begun = self._first_failure(window, standing, bad[-1])
        if not bad:
            return _none_failed(window.scope, state, len(shown), limit=float(self.failed))
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=state,
            value=float(len(bad)),
            limit=float(enough),
            because=f"{len(bad)} of the last {len(shown)} probes failed: {named(bad)}.",
            rows=tuple(sample.id for sample in bad),
            facts={"First failure": f"{begun.astimezone(UTC):%H:%M:%S} UTC"} if begun else {},
            since=begun if state is State.BREACH else None,
        )

    def _latest(self, window: Window, standing: Incident | None) -> Sequence[tuple[bool, Sample]]:
        """The latest probes that tell something, newest first, as many as may be judged."""
        since = window.since(standing)
        latest = list(islice(reversed(window.tried), max(self.of, self.good)))
        if latest and latest[-1][1].at <= since:
            return [(good, sample) for good, sample in latest if sample.at > since]
        return latest

    def _first_failure(self, window: Window, standing: Incident | None, bad: Sample) -> datetime:
        """Start of the first of the failures in a row up to one: rows may have been stored late."""
        begun, since = bad.at, window.since(standing)
        for good, sample in reversed(window.tried):
            if sample.at < begun:
                if good or sample.at <= since:
                    break
                begun = sample.at
        return begun

    def _own(self, window: Window, begun: datetime) -> Sequence[tuple[bool, Sample]]:
        """The latest probes of an open incident, newest first; none is older than it."""
        latest = islice(reversed(window.tried), self.of)
        return [(good, sample) for good, sample in latest if sample.at >= begun]

    def _in_a_row(self, latest: Sequence[tuple[bool, Sample]], *, good: bool) -> bool:
        if latest[0][0] is not good:
            return False
        same = [sample for _, sample in takewhile(lambda tried: tried[0] is good, latest)]
        return _rounds(same) >= self.rounds or (good and len(same) >= self.good)


def _good(latest: Sequence[tuple[bool, Sample]]) -> Sequence[tuple[bool, Sample]]:
    """The good probes since the last failure, newest first."""
    return list(takewhile(lambda tried: tried[0], latest))


def _rounds(samples: Sequence[Sample]) -> int:
    return len({sample.round for sample in samples})


def _lasting(bad: Sequence[Sample], window: Window) -> bool:
    """Whether failures of one round are further apart than the next round would have been."""
    if window.pace is None:
        return False
    return bad[0].at - bad[-1].at >= min(window.pace, PATIENCE)


@lru_cache(maxsize=256)  # most verdicts are this one
def _none_failed(scope: str, state: State, tried: int, *, limit: float) -> Verdict:
    return Verdict(
        rule=Down.name,
        scope=scope,
        state=state,
        value=0.0 if tried else None,
        limit=limit,
        because=f"None of the last {tried} probes failed."
        if tried
        else "There is no fresh probe to judge.",
    )
