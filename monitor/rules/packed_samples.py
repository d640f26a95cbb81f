"""The samples of a window, packed: 41 to 50 bytes each instead of 700 as objects.

A worker keeps the last day of every target in memory, up to 2,000 samples each. Numbers are in
arrays, as narrow as their values allow, and what few samples have (an error, the reason of a
judgement) is kept beside them. A `Sample` is made when a rule looks at it.
"""

import zlib
from array import array
from bisect import bisect_left
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import isnan, nan
from typing import Any, NamedTuple
from uuid import UUID

from monitor.domain import Identity, Outcome, Sample

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_USD = Decimal("1e-12")  # the unit of stored amounts
_COSTS_A_USD = 10**12
_NOTHING = -1  # no amount
_COARSE = 100  # units of a stored amount in one of a narrow column: amounts up to 0.21 USD
_NO_TTFT = 2**32 - 1
LOW_BITS = 0xFFFF  # numbers of a window differ by less, so that 16 bits of each tell them apart
_UNKNOWN = -(2**31)  # when it was stored
_SHARED = 16  # different texts of a window that are kept as they are
_SHORT = 80  # characters; shorter texts are not compressed
_UNREAD = (Identity.EXPECTED, Identity.UNKNOWN)  # no rule asks how sure these are, and why

Text = str | bytes  # bytes: compressed


class SampleKind(NamedTuple):
    """What many samples have in common. `priced`: its cost is known; `ranged`: within a range."""

    query: str
    outcome: Outcome
    identity: Identity
    model: str | None
    degraded: bool
    compared: bool
    check_passed: bool | None
    priced: bool
    ranged: bool
    extra: bool


class SampleDetails(NamedTuple):
    """What few samples have."""

    why: Text
    error: Text | None
    confidence: float | None
    change_detected: bool
    change_since: datetime | None
    check_failed: Text | None


_NO_DETAILS = SampleDetails("", None, None, False, None, None)


def microseconds(at: datetime) -> int:
    """An instant as a number."""
    return (at - _EPOCH) // _MICROSECOND


def instant(number: int) -> datetime:
    """The instant of a number."""
    return _EPOCH + timedelta(microseconds=number)


class SampleLog:
    """Samples in order of `at`. Each has a number, one more than the one before it.

    The oldest are dropped in front; `first` is the number of the oldest one left, `end` the next
    number. What no rule reads is not kept: `why` and `confidence` of answers by the expected or an
    unknown model, and the time per token.
    What was retrieved and used is kept by query: `QueryHistories`.
    """

    __slots__ = ("_ats", "_costs", "_details", "_highs", "_ids", "_kind_of", "_kinds", "_known",
                 "_late", "_odd", "_recorded", "_rounds", "_texts", "_ttfts", "first")  # fmt: skip

    def __init__(self) -> None:
        self.first = 0
        self._ats = array("q")  # µs since 1970
        self._rounds = array("i")  # µs before `at`
        self._recorded = array("i")  # µs after `at`
        # In ns, `_NO_TTFT`: none. In ms as "d", NaN: none, once a value is no such number of ns.
        self._ttfts: array[Any] = array("I")
        # The certain cost in 1e-10 USD, -1: none. In 1e-12 USD as "q" once one does not fit.
        self._costs = array("i")
        self._highs: array[int] | None = None  # the most it may cost, once a sample has a range
        self._ids = array("Q")  # two for each
        self._kind_of = array("B")  # which of `_known`; "H" once there are many
        self._known: list[SampleKind] = []
        self._kinds: dict[SampleKind, int] = {}
        self._details: dict[int, SampleDetails] = {}  # by number
        self._late: dict[int, int] = {}  # by number: µs after `at`, of samples stored much later
        self._odd: dict[int, Sample] = {}  # by number: what does not fit into the arrays
        self._texts: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._ats)

    @property
    def end(self) -> int:
        return self.first + len(self._ats)

    def append(self, sample: Sample) -> int:
        """Add a sample that is not before the latest one; returns its number."""
        number, at = self.end, microseconds(sample.at)
        before = at - microseconds(sample.round)
        stored = _UNKNOWN
        if sample.recorded_at is not None:
            stored = microseconds(sample.recorded_at) - at
        low, high = sample.cost_ends or (None, None)
        cost, most = _amount(low), _amount(high)
        if not (_fits(before) and _priced_once(sample)) or cost is None or most is None:
            self._odd[number] = sample
            before, cost, most = 0, _NOTHING, _NOTHING
        if stored != _UNKNOWN and not _fits(stored):
            self._late[number] = stored
            stored = _UNKNOWN
        self._ats.append(at)
        self._rounds.append(before)
        self._recorded.append(stored)
        self._append_ttft(sample.ttft_ms)
        narrow, kind = self._narrow(cost), self._kind(sample)  # either may replace its column
        self._costs.append(narrow)
        self._ids.extend(divmod(sample.id.int, 2**64))
        self._kind_of.append(kind)
        ranged = sample.cost_usd is None and low is not None
        if ranged and self._highs is None:
            self._highs = array("q", [_NOTHING]) * (len(self._ats) - 1)
        if self._highs is not None:
            self._highs.append(most if ranged else _NOTHING)
        read = sample.identity not in _UNREAD
        details = SampleDetails(
            self._text(sample.why) or "" if read else "",
            self._text(sample.error),
            sample.confidence if read else None,
            sample.change_detected,
            sample.change_since,
            self._text(sample.check_failed),
        )
        if details != _NO_DETAILS:
            self._details[number] = details
        return number

    def drop(self, first: int) -> None:
        """Forget the samples before this number."""
        count = first - self.first
        for column in (self._ats, self._rounds, self._recorded, self._ttfts, self._costs):
            del column[:count]
        if self._highs is not None:
            del self._highs[:count]
        del self._kind_of[:count]
        del self._ids[: 2 * count]
        if self._details or self._late or self._odd:
            for number in range(self.first, first):
                self._details.pop(number, None)
                self._late.pop(number, None)
                self._odd.pop(number, None)
        self.first = first
        if len(self._known) > 2 * len(self._ats) + _SHARED:
            self._renumber_kinds()

    def find(self, sample: Sample) -> int | None:
        """The number of a sample by its time and id; None if it is not here."""
        for number in range(self.before(sample.at), self.end):
            if self.at_us(number) != microseconds(sample.at):
                return None
            if self._id(number) == sample.id:
                return number
        return None

    def reprice(self, number: int, sample: Sample) -> bool:
        """Replace the cost of a sample; False if it differs by more than that."""
        read = sample.identity not in _UNREAD
        as_kept = replace(
            sample,
            why=sample.why if read else "",
            confidence=sample.confidence if read else None,
            tpot_ms=None,
            source_count=None,  # this and the rest: `QueryHistories`
            source_best_score=None,
            source_newest_at=None,
            prompt_tokens=None,
            answer_tokens=None,
            cached_tokens=None,
            cost_source=None,
        )
        repriced = replace(
            self.sample(number),
            cost_usd=sample.cost_usd,
            cost_low_usd=sample.cost_low_usd,
            cost_high_usd=sample.cost_high_usd,
        )
        low, high = sample.cost_ends or (None, None)
        cost, most = _amount(low), _amount(high)
        ranged = sample.cost_usd is None and low is not None
        if repriced != as_kept or number in self._odd or cost is None or most is None:
            return False
        if ranged and self._highs is None:
            return False
        index = number - self.first
        self._costs[index] = self._narrow(cost)
        self._kind_of[index] = self._kind(sample)
        if self._highs is not None:
            self._highs[index] = most if ranged else _NOTHING
        return True

    def before(self, at: datetime) -> int:
        """The number of the first sample that is not before an instant."""
        return self.first + bisect_left(self._ats, microseconds(at))

    def at_us(self, number: int) -> int:
        return self._ats[number - self.first]

    def at(self, number: int) -> datetime:
        return instant(self._ats[number - self.first])

    def slot_us(self, number: int) -> int:
        if number in self._odd:
            return microseconds(self._odd[number].round)
        return self._ats[number - self.first] - self._rounds[number - self.first]

    def ttft_ms(self, number: int) -> float | None:
        stored = self._ttfts[number - self.first]
        if self._ttfts.typecode == "I":
            return None if stored == _NO_TTFT else stored / 1e6
        return None if isnan(stored) else stored

    def number(self, low: int) -> int:
        """The number of a sample that is here, from the lower 16 bits of it."""
        return self.first + ((low - self.first) & LOW_BITS)

    def usd(self, number: int) -> float | None:
        """The cost of a sample, if it is known exactly."""
        if number in self._odd:
            usd = self._odd[number].cost_usd
            return None if usd is None else float(usd)
        cost = self._costs[number - self.first]
        if cost == _NOTHING or self.kind(number).ranged:
            return None
        return cost / (_COSTS_A_USD if self._costs.typecode == "q" else _COSTS_A_USD // _COARSE)

    def kind(self, number: int) -> SampleKind:
        return self._known[self._kind_of[number - self.first]]

    def sample(self, number: int) -> Sample:
        if number in self._odd:
            return self._odd[number]
        index, kind = number - self.first, self.kind(number)
        at, stored, cost = self._ats[index], self._recorded[index], self._costs[index]
        if self._costs.typecode == "i" and cost != _NOTHING:
            cost *= _COARSE
        details = self._details.get(number, _NO_DETAILS)
        usd = None if cost == _NOTHING else cost * _USD
        return Sample(
            id=self._id(number),
            at=instant(at),
            round=instant(at - self._rounds[index]),
            query=kind.query,
            outcome=kind.outcome,
            ttft_ms=self.ttft_ms(number),
            identity=kind.identity,
            model=kind.model,
            cost_usd=None if kind.ranged else usd,
            why=self._whole(details.why) or "",
            change_detected=details.change_detected,
            change_since=details.change_since,
            error=self._whole(details.error),
            cost_low_usd=usd if kind.ranged else None,
            cost_high_usd=self._highs[index] * _USD if kind.ranged and self._highs else None,
            recorded_at=self._recorded_at(number, at, stored),
            confidence=details.confidence,
            degraded=kind.degraded,
            compared=kind.compared,
            check_passed=kind.check_passed,
            check_failed=None
            if details.check_failed is None
            else self._whole(details.check_failed),
            extra=kind.extra,
        )

    def _id(self, number: int) -> UUID:
        index = 2 * (number - self.first)
        return UUID(int=(self._ids[index] << 64) | self._ids[index + 1])

    def _recorded_at(self, number: int, at: int, stored: int) -> datetime | None:
        if stored == _UNKNOWN:
            stored = self._late.get(number, _UNKNOWN)
        return None if stored == _UNKNOWN else instant(at + stored)

    def _append_ttft(self, ms: float | None) -> None:
        if self._ttfts.typecode == "I":
            ns = _NO_TTFT if ms is None or not 0 <= ms < _NO_TTFT / 1e6 else round(ms * 1e6)
            if (ms is None) is (ns == _NO_TTFT) and (ms is None or ns / 1e6 == ms):
                self._ttfts.append(ns)
                return
            numbers = range(self.first, self.first + len(self._ttfts))
            known = map(self.ttft_ms, numbers)
            self._ttfts = array("d", [nan if one is None else one for one in known])
        self._ttfts.append(nan if ms is None else ms)

    def _narrow(self, cost: int) -> int:
        """An amount in the unit of the column, which becomes wide if the amount requires it."""
        if self._costs.typecode == "q" or cost == _NOTHING:
            return cost
        coarse, rest = divmod(cost, _COARSE)
        if rest == 0 and coarse < 2**31:
            return coarse
        self._costs = array("q", [x if x == _NOTHING else x * _COARSE for x in self._costs])
        return cost

    def _kind(self, sample: Sample) -> int:
        kind = SampleKind(
            sample.query,
            sample.outcome,
            sample.identity,
            sample.model,
            sample.degraded,
            sample.compared,
            sample.check_passed,
            sample.cost_ends is not None,
            sample.cost_usd is None and sample.cost_high_usd is not None,
            sample.extra,
        )
        index = self._kinds.get(kind)
        if index is None:
            index = self._kinds[kind] = len(self._known)
            self._known.append(kind)
            if index > 255 and self._kind_of.typecode == "B":
                self._kind_of = array("H", self._kind_of)
        return index

    def _renumber_kinds(self) -> None:
        """Forget the kinds of which no sample is left: a service may invent model names."""
        kinds = [self._known[index] for index in self._kind_of]
        self._known = list(dict.fromkeys(kinds))
        self._kinds = {kind: index for index, kind in enumerate(self._known)}
        width = "B" if len(self._known) <= 256 else "H"
        self._kind_of = array(width, [self._kinds[kind] for kind in kinds])

    def _text(self, text: str | None) -> Text | None:
        """A text as it is kept: shared if it is one of the first of this window, or compressed."""
        if text is None:
            return None
        if text in self._texts:
            return self._texts[text]
        if len(self._texts) < _SHARED:
            self._texts[text] = text
            return text
        if len(text) < _SHORT:
            return text
        packer = zlib.compressobj(1, zdict=self._dictionary)
        return packer.compress(text.encode("utf-8", "surrogatepass")) + packer.flush()

    def _whole(self, text: Text | None) -> str | None:
        if text is None or isinstance(text, str):
            return text
        unpacker = zlib.decompressobj(zdict=self._dictionary)
        return unpacker.decompress(text).decode("utf-8", "surrogatepass")

    @property
    def _dictionary(self) -> bytes:
        return "".join(list(self._texts)[:8]).encode("utf-8", "surrogatepass")


def _fits(number: int) -> bool:
    return -(2**31) < number < 2**31


def _priced_once(sample: Sample) -> bool:
    """Whether it has a cost, a range of it, or none, as every stored row."""
    low, high = sample.cost_low_usd is not None, sample.cost_high_usd is not None
    return low is high and not (low and sample.cost_usd is not None)


def _amount(usd: Decimal | None) -> int | None:
    """An amount in the unit of stored ones; -1 for none; None if it is not known exactly."""
    if usd is None:
        return _NOTHING
    amount = usd.scaleb(12)
    exact = int(amount) if amount.is_finite() else _NOTHING
    return exact if 0 <= exact < 2**63 and exact == amount else None
