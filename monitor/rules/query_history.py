"""Figures of the answers to one canned query over the last day, in arrays: 2 or 4 bytes each.

A figure that no answer has takes no memory.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from math import isnan, nan
from statistics import fmean
from typing import Any

from monitor.domain import CostSource, Identity, Sample
from monitor.rules.packed_samples import LOW_BITS, SampleLog

UsageKey = tuple[str, str | None, CostSource | None]  # query, model, and how its figures are known

_NONE = 0xFFFF  # no value, in a column of small whole numbers
_GOLDEN = (5**0.5 - 1) / 2
_KEYS = 200  # histories of each kind: a service may invent names of models


@cache
def _shares(count: int) -> tuple[float, ...]:
    """So many numbers from 0 to 1, evenly spread but without a period that answers may have."""
    return tuple(nth * _GOLDEN % 1 for nth in range(count))


class QueryHistory:
    """Answers of a log in order of time, each with a value for every column; NaN: not known.

    `costs`: the column that is not stored here, because the log has the costs.
    """

    __slots__ = ("_columns", "_costs", "_due", "_key", "_log", "_numbers", "_reference")

    def __init__(self, log: SampleLog, columns: int, *, costs: int | None = None) -> None:
        # None: without any value. "H": whole numbers, until a value is none.
        self._columns: list[array[Any] | None] = [None] * columns
        self._costs = costs
        self._log = log
        self._numbers = array("H")  # of the samples in the log: the lower 16 bits
        self._due = 0
        self._key: object = None
        self._reference: Any = None

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, number: int, values: Sequence[float | None]) -> None:
        """Add an answer by its number in the log."""
        nth = self._nth(number)
        for index, value in enumerate(values):
            self._insert(index, nth, value)
        self._numbers.insert(nth, number & LOW_BITS)
        self._due -= 1

    def _insert(self, index: int, nth: int, value: float | None) -> None:
        column = self._columns[index]
        if column is None:
            if value is None or index == self._costs:
                return
            empty: array[Any] = array("H", [_NONE]) * len(self._numbers)
            column = self._columns[index] = empty
        if column.typecode == "H":
            if value is None or (isinstance(value, int) and 0 <= value < _NONE):
                column.insert(nth, _NONE if value is None else value)
                return
            column = self._columns[index] = self.column(index)
        column.insert(nth, nan if value is None else float(value))

    def remove(self, number: int) -> bool:
        """Remove an answer; False if it is not here."""
        nth = self._nth(number)
        if nth == len(self._numbers) or self._log.number(self._numbers[nth]) != number:
            return False
        self._drop(nth, nth + 1)
        return True

    def forget(self, first: int) -> None:
        """Remove the answers before this number, which the log still has."""
        if self._numbers and self._log.number(self._numbers[0]) < first:
            self._drop(0, self._nth(first))

    def _nth(self, number: int) -> int:
        """The position of the first answer that is not before a number."""
        if not self._numbers or self._log.number(self._numbers[-1]) < number:
            return len(self._numbers)
        return bisect_left(self._numbers, number, key=self._log.number)

    def _drop(self, begin: int, end: int) -> None:
        del self._numbers[begin:end]
        for column in self._columns:
            if column is not None:
                del column[begin:end]

    def column(self, index: int) -> "array[float]":
        """The values of a column, to read only; NaN: not known."""
        return self._values(index, len(self._numbers))

    def latest(self, index: int, most: int) -> "array[float]":
        """The latest values of a column, the newest last; NaN: not known."""
        return self._values(index, most)

    def _values(self, index: int, most: int) -> "array[float]":
        column = self._columns[index]
        if index == self._costs:
            usd = map(self._log.usd, map(self._log.number, self._numbers[-most:]))
            return array("f", [nan if cost is None else cost for cost in usd])
        if column is None:
            return array("f", [nan]) * min(most, len(self._numbers))
        if column.typecode == "H":
            return array("f", [nan if value == _NONE else value for value in column[-most:]])
        return column if most >= len(column) else column[-most:]

    def at(self, position: int) -> int:
        """When the probe of an answer began, µs since 1970."""
        return self._at_us(self._numbers[position])

    def slot(self, position: int) -> int:
        """The round of an answer, µs since 1970."""
        return self._log.slot_us(self._log.number(self._numbers[position]))

    def known(
        self, column: int, *, since: int | None = None, until: int | None = None
    ) -> list[int]:
        """Positions with a value whose start lies after `since` and before `until`."""
        values = self.column(column)
        begin = 0 if since is None else self._position(since + 1)
        end = len(values) if until is None else self._position(until)
        return [nth for nth in range(begin, end) if not isnan(values[nth])]

    def of(self, column: int, positions: Iterable[int]) -> list[float]:
        """The values of a column at positions."""
        values = self.column(column)
        return [values[nth] for nth in positions]

    def earlier(
        self, column: int, *, since: int | None, latest: int, most: int | None
    ) -> list[float]:
        """Known values after `since` without the `latest`, or without the later half if fewer.

        Of many answers a sample of `most`, always from the same shares of the time, so that it
        costs the same however long the history is. None: all of them.
        """
        if self._columns[column] is None and column != self._costs:
            return []
        begin = 0 if since is None else self._position(since + 1)
        count = len(self._numbers) - begin
        count -= min(latest, count // 2)
        if most is not None and count > most:
            positions = [begin + int(share * count) for share in _shares(most)]
            values = [self._value(column, nth) for nth in positions]
            known = [value for value in values if not isnan(value)]
            if 2 * len(known) > most:
                return known
        positions = self.known(column, since=since)
        return self.of(column, positions[: len(positions) - min(latest, len(positions) // 2)])

    def _value(self, index: int, position: int) -> float:
        if index == self._costs:
            cost = self._log.usd(self._log.number(self._numbers[position]))
            return nan if cost is None else cost
        column = self._columns[index]
        if column is None:
            return nan
        value = column[position]
        return nan if column.typecode == "H" and value == _NONE else value

    def rows(self, columns: Iterable[int]) -> Sequence[tuple[int, ...]]:
        """The bits of these figures of each answer: unlike values, NaN equals NaN."""
        return list(zip(*(array("i", self.column(nth).tobytes()) for nth in columns), strict=True))

    def repeats(self, column: int, positions: Sequence[int]) -> float:
        """The share of answers whose figure is exactly that of the answer before; 0 without any."""
        values = self.of(column, positions)
        pairs = [before == value for before, value in pairwise(values)]
        return fmean(pairs) if pairs else 0.0

    def worth(
        self,
        positions: Sequence[int],
        columns: Iterable[int],
        *,
        repeated: float,
        kept_us: int | None = None,
    ) -> list[float]:
        """How many independent answers each is worth: 1, or `repeated` if it repeats another.

        An answer with exactly the figures of the one before may come from one result in a cache.
        `kept_us`: it does, for so long; then a repetition is worth nothing until this time is over.
        """
        rows = self.rows(columns)
        found: list[float] = []
        counted_us, before = 0, None
        for position in positions:
            reading = rows[position]
            at_us = self.at(position)
            alike = reading == before
            if alike and (kept_us is None or at_us - counted_us < kept_us):
                found.append(repeated if kept_us is None else 0.0)
            else:
                found.append(1.0)
                counted_us = at_us
            before = reading
        return found

    def reference(self, computed: Callable[[], Any], *, every: int, key: object = None) -> Any:
        """What was `computed` from the answers so far, again after `every` further answers.

        It only decides whether a closer look is worth its time, so it may be a little old. `key`:
        what else it depends on.
        """
        if self._due <= 0 or key != self._key:
            self._reference, self._due, self._key = computed(), every, key
        return self._reference

    def _position(self, at: int) -> int:
        return bisect_left(self._numbers, at, key=self._at_us)

    def _at_us(self, low: int) -> int:
        return self._log.at_us(self._log.number(low))


class QueryHistories:
    """Histories of a target's good answers: what was retrieved, and what was used.

    `sources`: number of sources, best score and newest date (seconds since 1970) by query, from the
    first answer on that lists sources. An answer that lists none then has none: protocols may leave
    out an empty list. `usage`: cost, prompt tokens, answer tokens and cached share of the prompt by
    query, model and source of the figures, so that only like is compared with like. Answers that
    are known not to come from the expected model, without a name, are left out.
    """

    __slots__ = ("_log", "sources", "usage")

    def __init__(self, log: SampleLog) -> None:
        self._log = log
        self.sources: dict[str, QueryHistory] = {}
        self.usage: dict[UsageKey, QueryHistory] = {}

    def add(self, number: int, sample: Sample) -> None:
        """Add a good answer by its number in the log."""
        sources = self.sources.get(sample.query)
        if sources is None and sample.source_count is not None and len(self.sources) < _KEYS:
            sources = self.sources[sample.query] = QueryHistory(self._log, 3)
        if sources is not None:
            newest = sample.source_newest_at
            found = (
                sample.source_count or 0,
                sample.source_best_score,
                newest.timestamp() if newest else None,
            )
            sources.add(number, found)
        self._use(number, sample)

    def reprice(self, number: int, sample: Sample) -> None:
        """Take in the new cost of an answer, and where it comes from."""
        known = [history for key, history in self.usage.items() if key[0] == sample.query]
        if sample.outcome.good and any(history.remove(number) for history in known):
            self._drop_empty()
            self._use(number, sample)

    def forget(self, first: int) -> None:
        """Remove the answers before this number."""
        for histories in (self.sources, self.usage):
            for history in histories.values():
                history.forget(first)
        self._drop_empty()

    def _drop_empty(self) -> None:
        self.sources = {key: history for key, history in self.sources.items() if len(history)}
        self.usage = {key: history for key, history in self.usage.items() if len(history)}

    def _use(self, number: int, sample: Sample) -> None:
        unmeasured = sample.prompt_tokens is None and sample.answer_tokens is None
        if unmeasured or sample.identity in (Identity.CHANGED, Identity.DISPUTED):
            return
        key = (sample.query, sample.model, sample.cost_source)
        usage = self.usage.get(key)
        if usage is None:
            if len(self.usage) >= _KEYS:
                return
            usage = self.usage[key] = QueryHistory(self._log, 4, costs=0)
        prompt, cached = sample.prompt_tokens, sample.cached_tokens
        used = (
            None,  # the cost is in the log
            prompt,
            sample.answer_tokens,
            cached / prompt if prompt and cached is not None else None,
        )
        usage.add(number, used)
