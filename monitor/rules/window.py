"""How far back a breach reaches: further than the stretch that proves it."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from operator import attrgetter
from statistics import fmean
from typing import Self

from monitor.domain import Identity, Incident, Outcome, Sample

WITHIN_LIMIT = "Within the limit again"  # what is true of a share or a latency that recovers


def breach_length(hits: Iterable[bool], proven: int) -> int:
    """How many of the latest belong to a breach, back to its first hit; 0 without a hit.

    `hits`: newest first. `proven`: how many of the latest prove the breach; misses among them
    belong to it. Before them, consecutive hits belong to it up to the first miss.
    """
    length = 0
    for nth, hit in enumerate(hits, 1):
        if hit:
            length = nth
        elif nth >= proven:
            break
    return length


# Answers that count for a rule, oldest first, with a running count of the hits among them.


_AT = attrgetter("at")


class AnswerSeries:
    """At most `most` fresh answers; the caller decides what a hit is."""

    __slots__ = ("_counts", "_most", "samples")

    def __init__(self, most: int) -> None:
        self.samples: list[Sample] = []
        self._counts: list[int] = [0]  # hits among the first i samples; one entry more than samples
        self._most = most

    def __len__(self) -> int:
        return len(self.samples)

    def add(self, sample: Sample, *, hit: bool) -> None:
        self.samples.append(sample)
        self._counts.append(self._counts[-1] + hit)

    def forget(self, start: datetime) -> None:
        """Remove what is older than `start`, and the oldest beyond `most`."""
        samples = self.samples
        while samples and (len(samples) > self._most or samples[0].at < start):
            del samples[0], self._counts[0]

    def clear(self) -> None:
        self.samples.clear()
        self._counts = [0]

    def hits(self, n: int) -> int:
        """Hits among the latest n; n is at most the number of answers."""
        return self._counts[-1] - self._counts[-1 - n]

    def is_hit(self, nth: int) -> bool:
        """Whether the nth latest answer is a hit; 1 is the newest."""
        return self._counts[-nth] > self._counts[-1 - nth]

    def breach(self, proven: int, fresh: int) -> int:
        """How many of the latest are one breach: `breach_length` within the latest `fresh`."""
        return breach_length(map(self.is_hit, range(1, fresh + 1)), proven)

    def hit_samples(self, n: int) -> list[Sample]:
        """The hits among the latest n, newest first."""
        return [self.samples[-nth] for nth in range(1, n + 1) if self.is_hit(nth)]

    def misses_since(self) -> datetime | None:
        """Start of the answers without a hit up to the newest; None if the newest is a hit."""
        latest = len(self.samples) + 1
        nth = next((nth for nth in range(1, latest) if self.is_hit(nth)), latest)
        return self.samples[1 - nth].at if nth > 1 else None

    def later_than(self, at: datetime | None) -> int:
        """How many of the latest are later than an instant; all of them for None."""
        if at is None or not self.samples or at < self.samples[0].at:
            return len(self.samples)
        return len(self.samples) - bisect_right(self.samples, at, key=_AT)

    def since(self, at: datetime) -> int:
        """How many of the latest are at or after an instant."""
        return len(self.samples) - bisect_left(self.samples, at, key=_AT)


# The window of a target that its rules judge: its last day, bounded, appended in order of time.
#
# The same window is built from rows of the database and, row by row, in a replay. It holds no
# judgement, so the same rows always give the same result.


SPAN = timedelta(days=1)
SAMPLES = 2000  # more than a day of three queries every five minutes
ROUNDS = 289  # a day of rounds every five minutes: 288 steps from one to the next
KNOWN = 640  # answers whose model is known: the longest stretch `fallback` looks at
MISSED = 3  # this many intervals without a sample are a gap
PATIENCE = timedelta(minutes=2)  # no shorter silence is a gap: one probe may take a minute
DEADLINE = timedelta(minutes=1)  # of one probe, if unknown
HUNG = timedelta(minutes=10)  # assumed longest duration of a probe that hung, if unknown
MARGIN = timedelta(seconds=30)  # time to connect, to store, and for delay
TRIED = 50  # probes that say something: the longest stretch `down` looks at

_SPACINGS = 9
_LEAST_MS = 0.1  # lower bound of a latency: zero has no logarithm
_WIDTHS = 12
_HANGS = (Outcome.TIMEOUT_FIRST_TOKEN, Outcome.STALLED, Outcome.DEADLINE, Outcome.CONNECT)


@dataclass(frozen=True, slots=True)
class RoundMean:
    """A round's mean TTFT over `readings` queries, as measured and with each query capped.

    `missed`: how many of them gave no first token in time. They count as the cap.
    """

    readings: int
    missed: int
    ms: float
    capped_ms: float

    @property
    def measured(self) -> bool:
        """Whether any query has a TTFT: without one, the mean is the cap and no measurement."""
        return self.missed < self.readings


class RoundSamples:
    """The samples of one slot that have arrived so far."""

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

    def mean(self, cap_ms: float) -> RoundMean | None:
        """None without a TTFT. A missed first token counts as the cap."""
        if cap_ms != self._cap_ms:  # rules request the same mean many times
            latencies = [
                cap_ms if sample.ttft_ms is None else sample.ttft_ms
                for sample in self.samples
                if sample.ttft_ms is not None or sample.outcome is Outcome.TIMEOUT_FIRST_TOKEN
            ]
            capped = [min(max(ms, _LEAST_MS), cap_ms) for ms in latencies]
            self._cap_ms = cap_ms
            missed = len(latencies) - sum(s.ttft_ms is not None for s in self.samples)
            self._mean = (
                RoundMean(len(latencies), missed, fmean(latencies), fmean(capped))
                if latencies
                else None
            )
        return self._mean


class Window:
    """The last day of one target.

    `every` and `queries` are the configured interval and number of queries; if unknown, they are
    learnt from the rows. `deadline` is the longest duration of one probe: the time of a running
    probe is no gap. `watched_since` is when this worker began to evaluate: silence before it was
    our own. Samples are added in order of `at`.
    """

    def __init__(
        self,
        scope: str,
        *,
        every: timedelta | None = None,
        queries: int | None = None,
        deadline: timedelta | None = None,
        watched_since: datetime | None = None,
        a_day: int | None = None,
        baseline_at: datetime | None = None,
    ) -> None:
        self.scope = scope
        self.a_day = a_day  # queries per day of the service, or of the probes; None: unknown
        self.watched_since = watched_since
        self.baseline_at = baseline_at  # when a person last confirmed the baseline
        self.samples: deque[Sample] = deque()
        self.rounds: deque[RoundSamples] = deque()
        self.known = AnswerSeries(KNOWN)  # fresh, whose model is known; a hit is a fallback
        self.unnamed = AnswerSeries(
            KNOWN
        )  # expected or of an unknown model; a hit is of an unknown model
        self.compared = AnswerSeries(KNOWN)  # known, changed or disputed; all but expected are hits
        self.tried: deque[tuple[bool, Sample]] = deque(maxlen=TRIED)  # good or bad, newest last
        self.answered = self.unknown = self.unpriced = self.ranged = 0  # among `samples`
        self.pace = every  # time between rounds: as configured, or as observed if slower
        self.queries = queries  # queries of a complete round
        self.ended_at: datetime | None = None  # end of the last conclusive probe
        self._deadline = deadline or DEADLINE
        self._hung = HUNG if deadline is None else timedelta(0)
        self._every, self._asked = every, queries
        self._spacings: deque[timedelta] = deque(maxlen=_SPACINGS)
        # samples up to this instant are old, or before a gap
        self._floor = datetime.min.replace(tzinfo=UTC)
        self._gap_at = self._floor

    @classmethod
    def of(
        cls,
        samples: Iterable[Sample],
        *,
        scope: str,
        every: timedelta,
        queries: int,
        deadline: timedelta | None = None,
        watched_since: datetime | None = None,
        a_day: int | None = None,
        baseline_at: datetime | None = None,
    ) -> Self:
        """The window of a live target, from its rows of the last day in order of `at`."""
        window = cls(
            scope,
            every=every,
            queries=queries,
            deadline=deadline,
            watched_since=watched_since,
            a_day=a_day,
            baseline_at=baseline_at,
        )
        for sample in samples:
            window.add(sample)
        return window

    @property
    def silence(self) -> timedelta | None:
        """The silence that counts as a gap; None while the interval is unknown."""
        return None if self.pace is None else max(MISSED * self.pace, PATIENCE, self.probe_time)

    @property
    def probe_time(self) -> timedelta:
        """How long after one probe the next may end: an interval and its deadline."""
        hung = self._hung if self.tried and self.tried[-1][1].outcome in _HANGS else timedelta(0)
        return (self.pace or timedelta(0)) + self._deadline + MARGIN + hung

    def silent(self, now: datetime) -> bool:
        """Whether the latest sample is too old to say anything about `now`."""
        if self.ended_at is None:
            return True
        silence = now - self.ended_at
        return silence > PATIENCE and self.silence is not None and silence > self.silence

    def add(self, sample: Sample) -> bool:
        """Append a sample and forget what has become too old; True if it closed a round.

        A round is closed by the sample that completes it, or by the first sample of the next round.
        """
        good = sample.outcome.good
        if good is not None:
            self._learn_pace(sample)
            self.tried.append((good, sample))
        closed = self._place(sample)
        self.samples.append(sample)
        self._count(sample, 1)
        if good:
            self._identify(sample)
        start = sample.at - SPAN
        self._floor = max(start, self._gap_at)
        for answers in (self.known, self.unnamed, self.compared):
            answers.forget(start)
        while len(self.samples) > SAMPLES or self.samples[0].at < start:
            self._count(self.samples.popleft(), -1)
        while len(self.rounds) > ROUNDS or self.rounds[0].last_at < start:
            self.rounds.popleft()
        return closed

    def since(self, latest_incident: Incident | None) -> datetime:
        """Samples after this may be judged: in this day, after the gap and the last transition."""
        return (
            self._floor if latest_incident is None else max(self._floor, latest_incident.turned_at)
        )

    @property
    def lately(self) -> datetime:
        """Samples before this are too old for a rule that takes each sample literally."""
        lately = self.samples[-1].at - (self.silence or SPAN) if self.samples else self._floor
        return max(self._floor, lately)

    def unjudged(self, latest_incident: Incident | None) -> datetime:
        """Samples after this instant are new and after the last transition, so perhaps unjudged."""
        return max(self.since(latest_incident), self.lately)

    def stretch(self, answers: AnswerSeries, latest_incident: Incident | None) -> int:
        """How many of the latest answers may be judged: all, or those since the last transition."""
        return answers.later_than(latest_incident.turned_at if latest_incident else None)

    def closed(self, since: datetime | None = None) -> Iterator[RoundSamples]:
        """Rounds that are complete or over and later than an instant; newest first."""
        for round_ in reversed(self.rounds):
            if since is not None and round_.last_at <= since:
                return
            if round_ is not self.rounds[-1] or self._whole(round_):
                yield round_

    def _whole(self, round_: RoundSamples) -> bool:
        return self.queries is not None and len(round_.asked) >= self.queries

    def _learn_pace(self, sample: Sample) -> None:
        """Detect a gap before this sample, and learn the time between rounds.

        A gap is time in which no probe was running. It counts from the end of the previous probe,
        so rounds that our own deadlines stretch are no gap, however short the interval is.
        """
        before = self.tried[-1][1] if self.tried else sample
        gap = sample.at - (self.ended_at or sample.at)
        if sample.outcome in _HANGS:  # `at` may be its end
            gap -= self._hung
        if self.silence is not None and gap > self.silence:
            self._gap_at = before.at
            for answers in (self.known, self.unnamed, self.compared):
                answers.clear()
        ended = min(max(sample.recorded_at or sample.at, sample.at), sample.at + self._deadline)
        self.ended_at = max(self.ended_at or ended, ended)
        if sample.round <= before.round:
            return
        self._spacings.append(sample.round - before.round)
        usual = sorted(self._spacings)[len(self._spacings) // 2]
        self.pace = usual if self._every is None else max(usual, self._every)

    def _place(self, sample: Sample) -> bool:
        newest = self.rounds[-1] if self.rounds else None
        was_whole = newest is None or self._whole(newest)
        for later, round_ in enumerate(reversed(self.rounds)):
            if round_.slot == sample.round:
                round_.add(sample)
                return round_ is newest and not was_whole and self._whole(round_)
            if round_.slot < sample.round:
                self.rounds.insert(len(self.rounds) - later, RoundSamples(sample))
                break
        else:
            self.rounds.appendleft(RoundSamples(sample))
        if self._asked is None and newest is not None:
            latest = islice(reversed(self.rounds), 1, _WIDTHS)
            self.queries = max(len(round_.asked) for round_ in latest)
        return not was_whole or self._whole(self.rounds[-1])

    def _identify(self, sample: Sample) -> None:
        """Add a good answer to the series that it counts for; unknown ones count for none."""
        identity = sample.identity
        if identity is Identity.UNKNOWN:
            return
        expected, fell = identity is Identity.EXPECTED, identity is Identity.FALLBACK
        self.compared.add(sample, hit=not expected)
        if expected or fell:
            self.known.add(sample, hit=fell)
        if not fell:
            self.unnamed.add(sample, hit=not expected)

    def _count(self, sample: Sample, by: int) -> None:
        if sample.outcome is Outcome.ANSWERED:
            self.answered += by
            self.unknown += by * (sample.identity is Identity.UNKNOWN)
            self.unpriced += by * (sample.model is not None and sample.cost_ends is None)
            self.ranged += by * (sample.cost_high_usd is not None)
