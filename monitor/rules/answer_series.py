"""Answers that count for a rule, oldest first, with a running count of the hits among them."""

from bisect import bisect_left, bisect_right
from datetime import datetime
from operator import attrgetter

from monitor.domain import Sample
from monitor.rules.breach_length import breach_length

_AT = attrgetter("at")


class AnswerSeries:
    """At most `most` fresh answers; what a hit is, whoever adds them decides."""

    __slots__ = ("_counts", "_most", "samples")

    def __init__(self, most: int) -> None:
        self.samples: list[Sample] = []
        self._counts: list[int] = [0]  # hits among the samples so far, one more than samples
        self._most = most

    def __len__(self) -> int:
        return len(self.samples)

    def add(self, sample: Sample, *, hit: bool) -> None:
        self.samples.append(sample)
        self._counts.append(self._counts[-1] + hit)

    def forget(self, start: datetime) -> None:
        """Drop what is older than `start`, and what is more than `most`."""
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
        """When the answers without a hit up to the newest began; None: the newest is a hit."""
        latest = len(self.samples) + 1
        nth = next((nth for nth in range(1, latest) if self.is_hit(nth)), latest)
        return self.samples[1 - nth].at if nth > 1 else None

    def later_than(self, at: datetime | None) -> int:
        """How many of the latest came after an instant; all of them for None."""
        if at is None or not self.samples or at < self.samples[0].at:
            return len(self.samples)
        return len(self.samples) - bisect_right(self.samples, at, key=_AT)

    def since(self, at: datetime) -> int:
        """How many of the latest came at an instant or later."""
        return len(self.samples) - bisect_left(self.samples, at, key=_AT)
