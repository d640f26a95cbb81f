"""Answers that count for a rule, oldest first, with a running count of the hits among them."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime

from monitor.domain import Sample
from monitor.rules.packed_samples import LOW_BITS, SampleLog, instant, microseconds
from monitor.rules.packed_sequence import PackedSequence


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


class AnswerSeries:
    """At most `most` fresh answers of a log; the caller decides what a hit is.

    Of numbers and counts, the lower 16 bits are kept: neither spans more.
    """

    __slots__ = ("_counts", "_log", "_most", "_numbers")

    def __init__(self, log: SampleLog, most: int) -> None:
        self._log = log
        self._most = most
        self.clear()

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def samples(self) -> Sequence[Sample]:
        return PackedSequence(self._numbers, lambda low: self._log.sample(self._log.number(low)))

    def add(self, number: int, *, hit: bool) -> None:
        self._numbers.append(number & LOW_BITS)
        self._counts.append((self._counts[-1] + hit) & LOW_BITS)
        if len(self._numbers) > self._most:
            del self._numbers[0], self._counts[0]

    def forget(self, first: int) -> None:
        """Drop the samples before this number, which the log still has."""
        if self._numbers and self._log.number(self._numbers[0]) < first:
            count = bisect_left(self._numbers, first, key=self._log.number)
            del self._numbers[:count], self._counts[:count]

    def clear(self) -> None:
        self._numbers = array("H")
        # hits among the first i samples; one entry more than samples
        self._counts = array("H", [0])

    def hits(self, n: int) -> int:
        """Hits among the latest n; n is at most the number of answers."""
        return (self._counts[-1] - self._counts[-1 - n]) & LOW_BITS

    def is_hit(self, nth: int) -> bool:
        """Whether the nth latest answer is a hit; 1 is the newest."""
        return self._counts[-nth] != self._counts[-1 - nth]

    def breach(self, proven: int, fresh: int) -> int:
        """How many of the latest are one breach: `breach_length` within the latest `fresh`."""
        return breach_length(map(self.is_hit, range(1, fresh + 1)), proven)

    def hit_samples(self, n: int) -> list[Sample]:
        """The hits among the latest n, newest first."""
        return [self.samples[-nth] for nth in range(1, n + 1) if self.is_hit(nth)]

    def misses_since(self) -> datetime | None:
        """Start of the latest answers in a row without a hit; None if all are hits."""
        misses = (nth for nth in range(1, len(self._numbers) + 1) if not self.is_hit(nth))
        if (nth := next(misses, None)) is None:
            return None
        for earlier in misses:
            if earlier != nth + 1:
                break
            nth = earlier
        return instant(self._at_us(self._numbers[-nth]))

    def later_than(self, at: datetime | None) -> int:
        """How many of the latest are later than an instant; all of them for None."""
        if at is None:
            return len(self._numbers)
        return len(self._numbers) - bisect_right(self._numbers, microseconds(at), key=self._at_us)

    def since(self, at: datetime) -> int:
        """How many of the latest are at or after an instant."""
        return len(self._numbers) - bisect_left(self._numbers, microseconds(at), key=self._at_us)

    def _at_us(self, low: int) -> int:
        return self._log.at_us(self._log.number(low))
