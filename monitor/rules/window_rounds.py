"""The rounds of a window, each with its samples and their mean TTFT."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean

from monitor.domain import Outcome, Sample
from monitor.rules.packed_samples import SampleLog, instant
from monitor.rules.packed_sequence import PackedSequence

_LEAST_MS = 0.1  # lower bound of a latency: zero has no logarithm


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

    __slots__ = ("_log", "_numbers")

    def __init__(self, log: SampleLog, numbers: Sequence[int]) -> None:
        self._log = log
        self._numbers = numbers

    @property
    def slot(self) -> datetime:
        return instant(self._log.slot_us(self._numbers[-1]))

    @property
    def samples(self) -> Sequence[Sample]:
        return PackedSequence(self._numbers, self._log.sample)

    @property
    def asked(self) -> set[str]:
        return {self._log.kind(number).query for number in self._numbers}

    @property
    def last_at(self) -> datetime:
        return self._log.at(self._numbers[-1])

    def mean(self, cap_ms: float) -> RoundMean | None:
        """None without a TTFT. A missed first token counts as the cap."""
        latencies, missed = [], 0
        for number in self._numbers:
            if (ms := self._log.ttft_ms(number)) is not None:
                latencies.append(ms)
            elif self._log.kind(number).outcome is Outcome.TIMEOUT_FIRST_TOKEN:
                latencies.append(cap_ms)
                missed += 1
        if not latencies:
            return None
        capped = [min(max(ms, _LEAST_MS), cap_ms) for ms in latencies]
        return RoundMean(len(latencies), missed, fmean(latencies), fmean(capped))


class RoundLog:
    """At most `most` rounds of a log in order of their slots; the newest last."""

    __slots__ = ("_ends", "_firsts", "_log", "_loose", "_most", "_slots")

    def __init__(self, log: SampleLog, most: int) -> None:
        self._log = log
        self._most = most
        self._slots = array("q")
        self._firsts = array("I")
        self._ends = array("I")
        self._loose: dict[int, tuple[int, ...]] = {}  # by slot: samples that do not adjoin

    def __len__(self) -> int:
        return len(self._slots)

    def __getitem__(self, index: int) -> RoundSamples:
        return RoundSamples(self._log, self._numbers(range(len(self._slots))[index]))

    def add(self, number: int) -> bool:
        """Add a sample to its round; True if it is the first one of the round."""
        slot = self._log.slot_us(number)
        place = bisect_right(self._slots, slot)
        if place == 0 or self._slots[place - 1] != slot:
            self._slots.insert(place, slot)
            self._firsts.insert(place, number)
            self._ends.insert(place, number + 1)
            if len(self._slots) > self._most:
                self._drop(0, 1)
            return True
        if slot not in self._loose and self._ends[place - 1] == number:
            self._ends[place - 1] = number + 1
        else:
            self._loose[slot] = (*self._numbers(place - 1), number)
        return False

    def forget(self, numbers: Iterable[int]) -> None:
        """Drop these samples."""
        for number in numbers:
            slot = self._log.slot_us(number)
            place = bisect_left(self._slots, slot)
            if place == len(self._slots) or self._slots[place] != slot:
                continue  # its round was dropped
            left = [other for other in self._numbers(place) if other != number]
            if not left:
                self._drop(place, place + 1)
            elif slot in self._loose:
                self._loose[slot] = tuple(left)
            else:
                self._firsts[place] = left[0]

    def _drop(self, begin: int, end: int) -> None:
        for slot in self._slots[begin:end]:
            self._loose.pop(slot, None)
        del self._slots[begin:end], self._firsts[begin:end], self._ends[begin:end]

    def _numbers(self, place: int) -> Sequence[int]:
        loose = self._loose.get(self._slots[place])
        return loose or range(self._firsts[place], self._ends[place])
