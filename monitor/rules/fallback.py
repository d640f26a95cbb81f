"""`fallback`: too many answers come from a model that was not asked for."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import ClassVar, Literal

from monitor.domain import Incident, Sample, State, Verdict
from monitor.rules.evidence import credible_low, divergence
from monitor.rules.limits import at_least, between, positive
from monitor.rules.windows import Window

_STRETCHES = (3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 50, 64, 80, 100, 128, 160, 200, 256,
              320, 400, 512, 640)  # fmt: skip
_TO_RESOLVE: Sequence[int] = (*range(3, 48, 3), *range(48, 96, 6), 96, 112, 128, 160, 200)
_SURELY_OVER = 1.5  # times the limit: no breach is taken to have been smaller
_NEARLY_ALL = 0.95
_SHORT = 24  # answers: in longer stretches chance has no say
_ROWS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Breach when k of n known answers fell back and chance does not explain k/n > `limit`.

    Some stretch of the latest answers must hold `hits` fallbacks, speak with `evidence` nats
    against a rate of `limit`, and with `evidence_half` nats against half of it. A short one
    must speak with `evidence_usual` nats against the rate before it, too: where strays are
    usual, four in a row may be chance. It resolves when a later stretch, at half the limit
    or less, speaks with `evidence_to_resolve` nats against the lowest rate the breach
    credibly had. Answers whose model nobody can tell are on neither side. `mode` "share"
    asks for more than `limit` of the latest `of` answers instead, "immediate" for one.

    Source: docs/alerts.md#fallback
    """

    name: ClassVar[str] = "fallback"
    limit: float = 0.10
    mode: Literal["evidence", "share", "immediate"] = "evidence"
    hits: int = 3
    evidence: float = 3.5
    evidence_half: float = 10.0
    evidence_usual: float = 17.0
    answers_to_resolve: int = 15
    evidence_to_resolve: float = 6.5
    of: int = 20

    def __post_init__(self) -> None:
        between(self, 0.001, 0.9, "limit")
        positive(self, "evidence", "evidence_half", "evidence_to_resolve")
        at_least(self, 0, "evidence_usual")
        at_least(self, 1, "hits", "of")
        between(self, 1, _TO_RESOLVE[-1], "answers_to_resolve")

    def judge(self, window: Window, standing: Incident | None, now: datetime) -> Verdict:
        """Judge the last day of one target."""
        fresh = 0 if window.silent(now) else window.stretch(standing)
        open_ = standing is not None and standing.open
        if self.mode == "immediate" and fresh:
            n = 1 if open_ else _unjudged(window, standing, fresh)
            return self._verdict(window, State.BREACH if _hits(window, n) else State.OK, n)
        if standing is not None and open_:
            n = self._over(window, standing, fresh)
            if n:
                return self._verdict(window, State.OK, n)
            n = min(self.of, len(window.known))
            state = State.BREACH if _hits(window, n) > self.limit * n else State.HOLD
            return self._verdict(window, state if fresh else State.NO_DATA, n)
        n = self._breach(window, fresh)
        if n:
            return self._verdict(window, State.BREACH, n, opening=True)
        return self._verdict(window, State.OK if fresh else State.NO_DATA, min(self.of, fresh))

    def _breach(self, window: Window, fresh: int) -> int:
        """The shortest stretch of latest answers that proves a breach; 0 if none does."""
        hits = _hits(window, fresh)
        if hits < self.hits:
            return 0
        if self.mode == "share":
            n = min(self.of, fresh)
            enough = _hits(window, n) >= self.hits and _hits(window, n) > self.limit * self.of
            return n if enough else 0
        fell = window.fell
        for n, needed in self._proofs():
            if n > fresh or needed > hits:
                break
            if fell[-1] - fell[-1 - n] >= needed and not self._usual(window, fresh, n):
                return n
        return 0

    def _usual(self, window: Window, fresh: int, n: int) -> bool:
        """Whether the latest n answers may be chance, seeing how the fresh ones before them were.

        Half a fallback in a hundred answers is taken for granted.
        """
        share = _hits(window, n) / n
        rate = (_hits(window, fresh) - _hits(window, n) + 0.5) / (fresh - n + 100)
        return n <= _SHORT and n * divergence(share, rate) < self.evidence_usual

    def _over(self, window: Window, standing: Incident, fresh: int) -> int:
        """The shortest stretch of latest answers that proves the breach over; 0 if none does."""
        if self.mode == "share":
            settled = fresh >= self.of and _hits(window, self.of) <= self.limit * self.of
            return self.of if settled else 0
        fell, most = window.fell, self.limit / 2
        for n in _TO_RESOLVE:
            if n > fresh:
                break
            hits = fell[-1] - fell[-1 - n]
            if n >= self.answers_to_resolve and hits <= most * n:
                before = fell[-1 - n] - fell[-1 - fresh]
                rate = self._breach_rate(standing, hits=before, of=fresh - n)
                if n * divergence(hits / n, rate) >= self.evidence_to_resolve:
                    return n
        return 0

    def _breach_rate(self, standing: Incident, *, hits: int, of: int) -> float:
        """The lowest rate the breach credibly had: its opening, and the answers since."""
        share = float(standing.opening_value or 0) + 1e-9
        opening = next((n for n, fewest in self._proofs() if share * n >= fewest), 0)
        all_hits, all_of = share * opening + hits, opening + of
        rate = credible_low(min(all_hits, all_of), all_of) if all_of else 0.0
        return min(max(rate, _SURELY_OVER * self.limit), _NEARLY_ALL)

    def _proofs(self) -> Sequence[tuple[int, int]]:
        return _proofs(self.limit, self.hits, self.evidence, self.evidence_half)

    def _verdict(self, window: Window, state: State, n: int, *, opening: bool = False) -> Verdict:
        hits, literal = _hits(window, n), self.mode == "immediate"
        if not hits:
            return _none_fell(window.scope, state, n, limit=self.limit, literal=literal)
        fell, known = window.fell, window.known
        fallen = [known[i] for i in range(-1, -n - 1, -1) if fell[i] > fell[i - 1]]
        by = fallen[0].model or "another model"
        return Verdict(
            rule=self.name,
            scope=window.scope,
            state=state,
            value=hits / n,
            limit=self.limit,
            because=f"{hits} of the last {n} answers ({hits / n:.0%}) came from {by}; "
            f"limit {self.limit:.0%}.",
            rows=tuple(sample.id for sample in fallen[:_ROWS]),
            facts=_compared(fallen, window.known, a_day=window.a_day) if opening else {},
            literal=literal,
            since=fallen[-1].at if state is State.BREACH else None,
        )


@lru_cache(maxsize=256)  # most verdicts are this one
def _none_fell(scope: str, state: State, n: int, *, limit: float, literal: bool) -> Verdict:
    return Verdict(
        rule=Fallback.name,
        scope=scope,
        state=state,
        value=0.0 if n else None,
        limit=limit,
        because=f"None of the last {n} answers fell back; limit {limit:.0%}."
        if n
        else "No fresh answer tells which model gave it.",
        literal=literal,
    )


def _hits(window: Window, n: int) -> int:
    """Fallbacks among the latest n known answers."""
    return window.fell[-1] - window.fell[-1 - n]


def _unjudged(window: Window, standing: Incident | None, fresh: int) -> int:
    """The stretch back to the latest fallback that nobody has judged; 1 if there is none."""
    since = window.unjudged(standing)
    for n in range(1, fresh + 1):
        if window.known[-n].at <= since:
            break
        if _hits(window, n):
            return n
    return 1


def _compared(
    fallen: Sequence[Sample], known: Iterable[Sample], *, a_day: int | None
) -> Mapping[str, str]:
    """Who answers instead of whom, how that is known, and what it costs now and before."""
    asked_for = [sample for sample in known if sample.identity.fallback is False]
    told = {"Answers": _names(fallen), "Instead of": _names(asked_for), "Evidence": fallen[0].why}
    now, before = _mean_usd(fallen), _mean_usd(asked_for)
    if now is not None:
        told["Cost a query"] = f"${now:.6f}" + (f", before ${before:.6f}" if before else "")
        if a_day:
            earlier = f", before ${before * a_day:.2f}" if before else ""
            told["Cost a day"] = f"${now * a_day:.2f}{earlier}, for {a_day:,} queries"
    return {label: said for label, said in told.items() if said}


def _names(samples: Iterable[Sample]) -> str:
    names = Counter(sample.model for sample in samples if sample.model)
    return ", ".join(name for name, _ in names.most_common(3))


def _mean_usd(samples: Iterable[Sample]) -> Decimal | None:
    costs = [sample.cost_usd for sample in samples if sample.cost_usd is not None]
    return sum(costs, Decimal(0)) / len(costs) if costs else None


@lru_cache(maxsize=8)
def _proofs(
    limit: float, hits: int, evidence: float, evidence_half: float
) -> Sequence[tuple[int, int]]:
    """Stretches, and the fewest fallbacks in each that prove a breach."""
    fewest = {}
    for n in _STRETCHES:
        for k in range(max(hits, int(limit * n) + 1), n + 1):
            nats, nats_half = (n * divergence(k / n, rate) for rate in (limit, limit / 2))
            if nats >= evidence and nats_half >= evidence_half:
                fewest[n] = k
                break
    return tuple(fewest.items())
