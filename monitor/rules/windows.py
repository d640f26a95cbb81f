"""What the rules of a target look at: its last day, bounded, appended in order of time.

The same window is built from rows of the database and, row by row, from a replay. It
remembers no judgement: whoever builds it again from the same rows judges the same.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from operator import attrgetter
from statistics import fmean
from typing import Self

from monitor.domain import Identity, Incident, Outcome, Sample

SPAN = timedelta(days=1)
SAMPLES = 2000  # more than a day of three queries every five minutes
ROUNDS = 289  # a day of rounds every five minutes: 288 steps from one to the next
KNOWN = 640  # answers whose model is known: the longest stretch `fallback` looks at
MISSED = 3  # so many intervals without a sample are a gap
PATIENCE = timedelta(minutes=2)  # no silence is shorter: one probe may take a minute

_SPACINGS = 9
_WIDTHS = 12
_AT = attrgetter("at")


@dataclass(frozen=True, slots=True)
class Mean:
    """A round's mean TTFT over `readings` queries, as it was and with each query capped."""

    readings: int
    ms: float
    capped_ms: float


class Round:
    """The samples of one slot, as far as they have come."""

    __slots__ = ("_cap_ms", "_mean", "asked", "last_at", "samples", "slot")

    def __init__(self, sample: Sample) -> None:
        self.slot = sample.round
        self.samples: list[Sample] = []
        self.asked: set[str] = set()
        self.add(sample)

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        self.asked.add(sample.query)
        self.last_at = sample.at
        self._cap_ms: float | None = None

    def mean(self, cap_ms: float) -> Mean | None:
        """None without a TTFT. No first token in time counts as the cap."""
        if cap_ms != self._cap_ms:  # rules ask for the same mean again and again
            latencies = [
                cap_ms if sample.ttft_ms is None else sample.ttft_ms
                for sample in self.samples
                if sample.ttft_ms is not None or sample.outcome is Outcome.TIMEOUT_FIRST_TOKEN
            ]
            capped = [min(ms, cap_ms) for ms in latencies]
            self._cap_ms = cap_ms
            self._mean = (
                Mean(len(latencies), fmean(latencies), fmean(capped)) if latencies else None
            )
        return self._mean


class Window:
    """The last day of one target.

    `every` and `queries` are what the target is asked; where nobody can say, they are learnt
    from the rows. `watched_since` is when whoever judges began to watch: silence before it
    was ours. Samples are added in order of `at`.
    """

    def __init__(
        self,
        scope: str,
        *,
        every: timedelta | None = None,
        queries: int | None = None,
        watched_since: datetime | None = None,
    ) -> None:
        self.scope = scope
        self.watched_since = watched_since
        self.samples: deque[Sample] = deque()
        self.rounds: deque[Round] = deque()
        self.known: list[Sample] = []  # answers whose model is known, oldest first
        self.fell: list[int] = [0]  # fallbacks among the first n of `known`
        self.usable: Sample | None = None  # the latest that says something about the service
        self.answered = self.unknown = self.unpriced = 0  # among `samples`
        self._every, self._queries = every, queries
        self._spacings: deque[timedelta] = deque(maxlen=_SPACINGS)
        self._learnt: timedelta | None = None  # the usual spacing of rounds
        self._gap_at: datetime | None = None  # the last usable sample before the latest gap

    @classmethod
    def of(
        cls,
        samples: Iterable[Sample],
        *,
        scope: str,
        every: timedelta,
        queries: int,
        watched_since: datetime | None = None,
    ) -> Self:
        """The window of a live target, from its rows of the last day in order of `at`."""
        window = cls(scope, every=every, queries=queries, watched_since=watched_since)
        for sample in samples:
            window.add(sample)
        return window

    @property
    def pace(self) -> timedelta | None:
        """Time from one round to the next, as asked or as it comes if that is slower."""
        paces = [pace for pace in (self._every, self._learnt) if pace is not None]
        return max(paces, default=None)

    @property
    def silence(self) -> timedelta | None:
        """The silence that is a gap; None while nobody can tell the pace."""
        pace = self.pace
        return None if pace is None else max(MISSED * pace, PATIENCE)

    def silent(self, now: datetime) -> bool:
        """Whether what is known is too old to say anything about `now`."""
        if self.usable is None:
            return True
        silence = self.silence
        return silence is not None and now - self.usable.at > silence

    def add(self, sample: Sample) -> None:
        """Append a sample and forget what has grown too old."""
        good = sample.outcome.good
        if good is not None:
            self._pace(sample)
            self.usable = sample
        self._place(sample)
        self.samples.append(sample)
        self._count(sample, 1)
        if good and sample.identity.fallback is not None:
            self._learn(sample)
        start = sample.at - SPAN
        while len(self.samples) > SAMPLES or self.samples[0].at < start:
            self._count(self.samples.popleft(), -1)
        while len(self.rounds) > ROUNDS or self.rounds[0].last_at < start:
            self.rounds.popleft()

    def since(self, standing: Incident | None) -> datetime:
        """What came later may be judged: it is of this day, past the gap and past the turn."""
        newest = self.samples[-1].at
        turned = standing.turned_at if standing else newest - SPAN
        return max(newest - SPAN, self._gap_at or newest - SPAN, turned)

    def stretch(self, since: datetime) -> int:
        """How many of the latest `known` answers came later."""
        return len(self.known) - bisect_right(self.known, since, key=_AT)

    def closed(self, since: datetime | None = None) -> Iterator[Round]:
        """Rounds that are whole, or over, and came later; newest first."""
        newest = True
        for round_ in reversed(self.rounds):
            if since is not None and round_.last_at <= since:
                return
            if not newest or len(round_.asked) >= (self.queries or inf):
                yield round_
            newest = False

    @property
    def queries(self) -> int | None:
        """How many queries a whole round asks; None while nobody can tell."""
        if self._queries is not None or len(self.rounds) < 2:
            return self._queries
        return max(len(self.rounds[-i].asked) for i in range(2, min(len(self.rounds), _WIDTHS) + 1))

    def _pace(self, sample: Sample) -> None:
        before = self.usable
        if before is None or sample.round <= before.round:
            return
        spacing, silence = sample.round - before.round, self.silence
        if silence is not None and spacing > silence:
            self._gap_at = before.at
        self._spacings.append(spacing)
        self._learnt = sorted(self._spacings)[len(self._spacings) // 2]

    def _place(self, sample: Sample) -> None:
        later = 0
        for round_ in reversed(self.rounds):
            if round_.slot == sample.round:
                return round_.add(sample)
            if round_.slot < sample.round:
                break
            later += 1
        return self.rounds.insert(len(self.rounds) - later, Round(sample))

    def _count(self, sample: Sample, by: int) -> None:
        if sample.outcome is Outcome.ANSWERED:
            self.answered += by
            self.unknown += by * (sample.identity is Identity.UNKNOWN)
            self.unpriced += by * (sample.cost_usd is None)

    def _learn(self, sample: Sample) -> None:
        self.known.append(sample)
        self.fell.append(self.fell[-1] + bool(sample.identity.fallback))
        if len(self.known) >= 2 * KNOWN:
            del self.known[:-KNOWN], self.fell[: -KNOWN - 1]
