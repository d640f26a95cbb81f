"""The last day of a target, as its rules judge it."""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Self

from monitor.domain import Identity, Incident, Outcome, Sample
from monitor.rules.answer_series import AnswerSeries
from monitor.rules.packed_samples import SampleLog, instant, microseconds
from monitor.rules.packed_sequence import PackedSequence
from monitor.rules.query_history import QueryHistories, QueryHistory
from monitor.rules.window_rounds import RoundLog, RoundSamples

WITHIN_LIMIT = "Within the limit again"  # what is true of a share or a latency that recovers


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
RUN_IN = 12  # rounds before a window from which its pace is known when it begins
SENT = 24  # latest rounds; a query that is in none of them is no longer configured
TRIED = 50  # probes that say something: the longest stretch `down` looks at

_SPACINGS = 9
_WIDTHS = 12
_HANGS = (Outcome.TIMEOUT_FIRST_TOKEN, Outcome.STALLED, Outcome.DEADLINE, Outcome.CONNECT)


class Window:
    """The last day of one target.

    `every`, `queries` and `asked` are the configured interval, and the number and ids of queries;
    if unknown, they are learnt from the rows. `deadline` is the longest duration of one probe: the
    time of a running probe is no gap. `watched_since` is when this worker began to evaluate:
    silence before it was our own. Samples are added in order of `at`.
    """

    def __init__(
        self,
        scope: str,
        *,
        every: timedelta | None = None,
        queries: int | None = None,
        asked: Collection[str] | None = None,
        deadline: timedelta | None = None,
        watched_since: datetime | None = None,
        a_day: int | None = None,
        of_probes: bool = False,
        baseline_at: datetime | None = None,
    ) -> None:
        self.scope = scope
        # Queries per day of the service, or, if `of_probes`, of the probes; None: unknown.
        self.a_day, self.of_probes = a_day, of_probes
        self.watched_since = watched_since
        self.baseline_at = baseline_at  # when a person last confirmed the baseline
        self.log = log = SampleLog()
        self.rounds = RoundLog(log, ROUNDS)
        self.known = AnswerSeries(log, KNOWN)  # fresh, whose model is known; a hit is a fallback
        # Expected or of an unknown model; a hit is of an unknown model.
        self.unnamed = AnswerSeries(log, KNOWN)
        # Known, changed or disputed; all but expected are hits.
        self.compared = AnswerSeries(log, KNOWN)
        self.histories = QueryHistories(log)  # figures of good answers, by query
        self._tried = array("I")  # the latest that are good or bad, by number
        self.answered = self.unknown = self.unpriced = self.ranged = 0  # among `samples`
        self.checked = self.checks_failed = 0  # the same, of any outcome
        self.pace = every  # time between rounds: as configured, or as observed if slower
        self.queries = queries  # queries of a complete round
        self._configured = asked
        self.ended_at: datetime | None = None  # end of the last conclusive probe
        self._deadline = deadline or DEADLINE
        self._hung = HUNG if deadline is None else timedelta(0)
        self._every, self._asked = every, queries
        # The latest steps from one round to the next, with the number of the sample before each.
        self._spacings: deque[tuple[int, timedelta]] = deque(maxlen=_SPACINGS)
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
        asked: Collection[str] | None = None,
        deadline: timedelta | None = None,
        watched_since: datetime | None = None,
        a_day: int | None = None,
        of_probes: bool = False,
        baseline_at: datetime | None = None,
    ) -> Self:
        """The window of a live target, from its rows of the last day in order of `at`."""
        window = cls(
            scope,
            every=every,
            queries=queries,
            asked=asked,
            deadline=deadline,
            watched_since=watched_since,
            a_day=a_day,
            of_probes=of_probes,
            baseline_at=baseline_at,
        )
        for sample in samples:
            window.add(sample)
        return window

    @property
    def samples(self) -> Sequence[Sample]:
        return PackedSequence(range(self.log.first, self.log.end), self.log.sample)

    @property
    def tried(self) -> Sequence[tuple[bool, Sample]]:
        """The latest probes that are good or bad, the newest last."""
        return PackedSequence(self._tried, self._trial)

    def _trial(self, number: int) -> tuple[bool, Sample]:
        sample = self.log.sample(number)
        return bool(sample.outcome.good), sample

    def good_in_a_row(self, most: int, *, since: datetime) -> int:
        """How many of the latest conclusive probes later than an instant are good; up to `most`.

        0 if one of these failed.
        """
        floor = microseconds(since)
        latest = [number for number in self._tried[-most:] if self.log.at_us(number) > floor]
        all_good = all(self.log.kind(number).outcome.good for number in latest)
        return len(latest) if all_good else 0

    @property
    def silence(self) -> timedelta | None:
        """The silence that counts as a gap; None while the interval is unknown."""
        return None if self.pace is None else max(MISSED * self.pace, PATIENCE, self.probe_time)

    @property
    def probe_time(self) -> timedelta:
        """How long after one probe the next may be over: an interval and its deadline."""
        hung = self._hung if self._last_hung() else timedelta(0)
        return (self.pace or timedelta(0)) + self._deadline + MARGIN + hung

    def _last_hung(self) -> bool:
        return bool(self._tried) and self.log.kind(self._tried[-1]).outcome in _HANGS

    @property
    def asked(self) -> Collection[str]:
        """The queries that are sent, as configured, or else those of the latest rounds."""
        if self._configured is not None:
            return self._configured
        latest = range(1, min(len(self.rounds), SENT) + 1)
        return {query for nth in latest for query in self.rounds[-nth].asked}

    @property
    def asked_sources(self) -> Mapping[str, QueryHistory]:
        """What the queries that are sent retrieved; a removed query is not judged."""
        asked = self.asked
        return {query: one for query, one in self.histories.sources.items() if query in asked}

    def silent(self, now: datetime) -> bool:
        """Whether the latest sample is too old to say anything about `now`."""
        if self.ended_at is None:
            return True
        silence = now - self.ended_at
        return silence > PATIENCE and self.silence is not None and silence > self.silence

    def add(self, sample: Sample) -> bool:
        """Append a sample and forget what has become too old; True if it closed a round.

        A round is closed by the sample that completes it, or by the first sample of the next round.
        An extra sample counts for the round before it, but it is not one of its measurements.
        """
        if sample.extra and len(self.rounds):
            sample = replace(sample, round=self.rounds[-1].slot)
        good = sample.outcome.good
        number = self.log.append(sample)
        if good is not None:
            self._learn_pace(sample)
            self._tried.append(number)
            del self._tried[:-TRIED]
        closed = not sample.extra and self._place(number)
        self._count(number, 1)
        if good:
            self._identify(sample.identity, number)
            self.histories.add(number, sample)
        self.forget(sample.at - SPAN)
        return closed

    def reprice(self, sample: Sample) -> bool:
        """Take in the new cost of a sample; False if it differs by more, or is not here."""
        number = self.log.find(sample)
        if number is None:
            return False
        if sample.extra:
            sample = replace(sample, round=self.log.sample(number).round)
        self._count(number, -1)
        done = self.log.reprice(number, sample)
        self._count(number, 1)
        if done:
            self.histories.reprice(number, sample)
        return done

    def forget(self, start: datetime) -> None:
        """Drop what is older than `start`, and what is more than `SAMPLES`."""
        log = self.log
        self._floor = max(self._floor, start, self._gap_at)
        first = max(log.before(start), log.end - SAMPLES)
        if first == log.first:
            return
        gone = range(log.first, first)
        for number in gone:
            self._count(number, -1)
        self.rounds.forget(gone)
        for answers in (self.known, self.unnamed, self.compared, self.histories):
            answers.forget(first)
        log.drop(first)
        del self._tried[: bisect_left(self._tried, first)]
        if not self._tried:
            self.ended_at = None
        if self._spacings and self._spacings[0][0] < first:
            while self._spacings and self._spacings[0][0] < first:
                self._spacings.popleft()
            self._keep_pace()

    def since(self, latest_incident: Incident | None) -> datetime:
        """Samples after this may be judged: in this day, after the gap and the last transition."""
        return (
            self._floor if latest_incident is None else max(self._floor, latest_incident.turned_at)
        )

    @property
    def lately(self) -> datetime:
        """Samples before this are too old for a rule that takes each sample literally."""
        if not len(self.log):
            return self._floor
        return max(self._floor, self.log.at(self.log.end - 1) - (self.silence or SPAN))

    def unjudged(self, latest_incident: Incident | None) -> datetime:
        """Samples after this instant are new and after the last transition, so perhaps unjudged."""
        return max(self.since(latest_incident), self.lately)

    def stretch(self, answers: AnswerSeries, latest_incident: Incident | None) -> int:
        """How many of the latest answers may be judged: all, or those since the last transition."""
        return answers.later_than(latest_incident.turned_at if latest_incident else None)

    def closed(self, since: datetime | None = None) -> Iterator[RoundSamples]:
        """Rounds that are complete or over and later than an instant; newest first."""
        for nth in range(len(self.rounds) - 1, -1, -1):
            round_ = self.rounds[nth]
            if since is not None and round_.last_at <= since:
                return
            if nth < len(self.rounds) - 1 or self._whole(round_):
                yield round_

    def _whole(self, round_: RoundSamples) -> bool:
        return self.queries is not None and len(round_.asked) >= self.queries

    def _learn_pace(self, sample: Sample) -> None:
        """Detect a gap before this sample, and learn the time between rounds.

        A gap is time in which no probe was running. It counts from the end of the previous probe,
        so rounds that our own deadlines stretch are no gap, however short the interval is.
        """
        gap = sample.at - (self.ended_at or sample.at)
        if sample.outcome in _HANGS:  # `at` may be its end
            gap -= self._hung
        if self.silence is not None and gap > self.silence:
            self._gap_at = self.log.at(self._tried[-1]) if self._tried else sample.at
            for answers in (self.known, self.unnamed, self.compared):
                answers.clear()
        ended = min(max(sample.recorded_at or sample.at, sample.at), sample.at + self._deadline)
        self.ended_at = max(self.ended_at or ended, ended)
        if not self._tried:
            return
        spacing = sample.round - instant(self.log.slot_us(self._tried[-1]))
        if spacing > timedelta(0):
            self._spacings.append((self._tried[-1], spacing))
            self._keep_pace()

    def _keep_pace(self) -> None:
        """How far apart rounds begin: the median of the latest steps, and no less than asked."""
        spacings = sorted(spacing for _, spacing in self._spacings)
        usual = spacings[len(spacings) // 2] if spacings else self._every
        if usual is not None:
            usual = usual if self._every is None else max(usual, self._every)
        self.pace = usual

    def _place(self, number: int) -> bool:
        newest = self.rounds[-1] if len(self.rounds) else None
        was_whole = newest is None or self._whole(newest)
        slot = self.log.slot_us(number)
        if not self.rounds.add(number):
            same = newest is not None and microseconds(newest.slot) == slot
            return same and not was_whole and self._whole(self.rounds[-1])
        if self._asked is None and newest is not None:
            known = len(self.rounds) - 1
            latest = range(known - 1, max(known - _WIDTHS, -1), -1)
            self.queries = max(len(self.rounds[nth].asked) for nth in latest)
        return not was_whole or self._whole(self.rounds[-1])

    def _identify(self, identity: Identity, number: int) -> None:
        """Add a good answer to the series that it counts for; unknown ones count for none."""
        if identity is Identity.UNKNOWN:
            return
        expected, fell = identity is Identity.EXPECTED, identity is Identity.FALLBACK
        self.compared.add(number, hit=not expected)
        if expected or fell:
            self.known.add(number, hit=fell)
        if not fell:
            self.unnamed.add(number, hit=not expected)

    def _count(self, number: int, by: int) -> None:
        kind = self.log.kind(number)
        if kind.check_passed is not None:
            self.checked += by
            self.checks_failed += by * (not kind.check_passed)
        if kind.outcome is Outcome.ANSWERED:
            self.answered += by
            self.unknown += by * (kind.identity is Identity.UNKNOWN)
            self.unpriced += by * (kind.model is not None and not kind.priced)
            self.ranged += by * kind.ranged
