"""`no_data`: we have stopped seeing."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import ClassVar

from monitor.domain import Incident, Outcome, State, Verdict
from monitor.rules.limits import at_least
from monitor.rules.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class NoData:
    """Breach when no usable sample came for `intervals` intervals, or `least_s` if longer.

    It is counted from the end of the last probe, and is never shorter than the next probe may
    take. Silence counts from when we began to watch at the earliest: an absence of our own is
    told by the heartbeat, outside.

    Source: docs/alerts.md#no_data
    """

    name: ClassVar[str] = "no_data"
    intervals: int = 3
    least_s: float = 120.0

    def __post_init__(self) -> None:
        at_least(self, 1, "intervals")
        at_least(self, 0, "least_s")

    def judge(self, window: Window, standing: Incident | None, now: datetime) -> Verdict:
        """Judge the silence of one target."""
        seen = window.ended_at
        watched = [min(at, now) for at in (seen, window.watched_since) if at is not None]
        if not watched or window.pace is None:
            return self._verdict(window, State.NO_DATA, None, None)
        silent = now - max(watched)
        allowed = max(self.intervals * window.pace, timedelta(seconds=self.least_s))
        allowed = max(allowed, window.probe_time)
        if standing is not None and standing.open:
            # Beginning to watch anew is no sample: only a sample ends the silence.
            over = seen is not None and seen > standing.turned_at and silent <= allowed
        else:
            over = silent <= allowed
        if not over:
            return self._verdict(window, State.BREACH, silent, allowed, since=max(watched))
        samples = self._verdict(window, State.OK, silent, allowed)
        if standing is None or not standing.open:
            return samples
        later = (
            sample.at for _, sample in window.tried
            if sample.at > standing.breach_since
        )  # fmt: skip
        since = standing.recovering_since or min(later, default=None)
        return replace(samples, recovered="Probes give samples again", since=since)

    def _verdict(
        self,
        window: Window,
        state: State,
        silent: timedelta | None,
        allowed: timedelta | None,
        *,
        since: datetime | None = None,
    ) -> Verdict:
        facts: dict[str, str] = {}
        if silent is None or allowed is None:
            because = "Nothing was sampled yet."
        elif state is State.OK:
            because = "Samples come in."
        else:
            last = f"{window.tried[-1][1].at:%H:%M:%S} UTC" if window.tried else "never"
            idle = takewhile(lambda sample: sample.outcome.good is None, reversed(window.samples))
            how = Counter(sample.outcome for sample in idle).most_common(1)
            why = ""
            for outcome, count in how:
                facts["Probes since"] = f"{count} {outcome.value}"
                if outcome is Outcome.RATE_LIMITED:
                    why = " (the service is rate limiting our probes: HTTP 429)"
            minutes = silent // timedelta(minutes=1)
            because = f"No usable sample for {minutes} min{why}; the last: {last}."
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=state,
            value=None if silent is None else max(silent.total_seconds(), 0.0),
            limit=None if allowed is None else allowed.total_seconds(),
            because=because,
            facts=facts,
            since=since if state is State.BREACH else None,
        )
