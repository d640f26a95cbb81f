"""Evidence of counts and medians as log-odds; 7 means odds of about 1000 to 1."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import compress, pairwise
from math import log, sqrt
from statistics import median
from typing import ClassVar, Literal

from monitor.domain import Incident, Verdict
from monitor.rules.answer_series import AnswerSeries
from monitor.rules.limit_checks import at_least, between, positive, unseen
from monitor.rules.window import Window

MEDIAN_PRICE = 1.57  # a median needs this many times the values that a mean needs: π/2
NORMAL_MAD = 1.4826  # standard deviations of a normal distribution per median absolute deviation


def divergence(share: float, expected: float) -> float:
    """Log-odds per answer that the rate is `share` and not `expected`; both are 0 to 1."""
    hits = share * log(share / expected) if share > 0 else 0.0
    misses = (1 - share) * log((1 - share) / (1 - expected)) if share < 1 else 0.0
    return hits + misses


def rarity(
    hits: Sequence[bool],
    worth: Sequence[float],
    *,
    before: Sequence[bool],
    worth_before: Sequence[float],
    prior: float = 1.0,
) -> float:
    """Log-odds that the latest answers are hits more often than the answers before them.

    0 unless three quarters of them are hits. `worth`: how many independent answers each is worth.
    `prior`: how many answers without a hit are assumed before anything is known.
    """
    count, of = sum(hits), len(hits)
    if 4 * count < 3 * of:
        return 0.0
    usual = sum(compress(worth_before, before))
    share, expected = count / of, (usual + 0.5) / (sum(worth_before) + prior)
    independent = sum(compress(worth, hits)) / count
    return independent * of * divergence(share, expected) if share > expected else 0.0


def credible_low(hits: float, of: float) -> float:
    """The lower bound of the rate, two standard errors below `hits` in `of` (Wilson); `of` > 0."""
    share, spread = hits / of, 4 / of
    middle = share + spread / 2
    return (middle - sqrt(share * (1 - share) * spread + spread * spread / 4)) / (1 + spread)


def distance_evidence(distance: float, *, values: int, scatter: float) -> float:
    """Log-odds that the distance of a median of so many values is more than chance."""
    return values * distance * distance / (2 * MEDIAN_PRICE * scatter * scatter)


def scatter(values: Sequence[float], *, prior: float, floor: float, learnt: int) -> float:
    """Standard deviation of successive values, which slow drift does not inflate.

    The prior weighs as much as one step, so its influence fades with more steps. Below `learnt`
    steps all count; above, their median counts, so that single spikes have no effect.
    """
    steps = [abs(after - before) for before, after in pairwise(values)]
    if len(steps) < learnt:
        squares = sum(step * step for step in steps) / 2
    else:
        squares = len(steps) * (NORMAL_MAD * median(steps)) ** 2 / 2
    return max(floor, sqrt((prior * prior + squares) / (1 + len(steps))))


# Evidence that a share of the answers exceeds a limit, and that it no longer does.


_STRETCHES = (
    3,
    4,
    5,
    6,
    8,
    10,
    12,
    16,
    20,
    24,
    32,
    40,
    50,
    64,
    80,
    100,
    128,
    160,
    200,
    256,
    320,
    400,
    512,
    640,
)
_TO_RESOLVE: Sequence[int] = (*range(3, 48, 3), *range(48, 96, 6), 96, 112, 128, 160, 200)
_SURELY_OVER = 1.5  # times the limit: the smallest rate that a breach is assumed to have had
_NEARLY_ALL = 0.95
_SHORT = 24  # answers: chance has no influence on longer stretches


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLimits:
    """Limits of a rule that judges a share of the answers.

    Some stretch of the latest answers must hold `hits` hits and give log-odds of `evidence` against
    a rate of `limit`, and of `evidence_half` against half of it. A short stretch must also give
    `evidence_usual` against the earlier rate: if single hits are usual, four in a row may be
    chance. It is over when a later stretch, at half the limit or less, gives `evidence_to_resolve`
    against the lowest plausible rate of the breach. With `mode` "share", more than `limit` of the
    latest `of` answers are a breach; with "immediate", one hit is.
    """

    # It may open before a share is proven: the share of the opening then is that of few answers.
    opens_before_proof: ClassVar[bool] = False

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

    def proven(self, answers: AnswerSeries, fresh: int) -> int:
        """The shortest stretch of the latest answers that proves a breach; 0 if none does.

        `fresh`: how many of the latest answers may be judged.
        """
        hits = answers.hits(fresh)
        if hits < self.hits:
            return 0
        if self.mode == "share":
            n = min(self.of, fresh)
            enough = answers.hits(n) >= self.hits and answers.hits(n) > self.limit * self.of
            return n if enough else 0
        for n, needed in self._proofs():
            if n > fresh or needed > hits:
                break
            if answers.hits(n) >= needed and not self._usual(answers, fresh, n):
                return n
        return 0

    def over(self, answers: AnswerSeries, fresh: int, latest_incident: Incident) -> int:
        """The shortest stretch of the latest answers that proves the end of a breach; else 0."""
        if self.mode == "share":
            settled = fresh >= self.of and answers.hits(self.of) <= self.limit * self.of
            return self.of if settled else 0
        most = self.limit / 2
        for n in _TO_RESOLVE:
            if n > fresh:
                break
            hits = answers.hits(n)
            if n >= self.answers_to_resolve and hits <= most * n:
                before = answers.hits(fresh) - hits
                rate = self._breach_rate(latest_incident, hits=before, of=fresh - n)
                if self.opens_before_proof:
                    rate = max(rate, _own_rate(answers, latest_incident, n))
                if n * divergence(hits / n, rate) >= self.evidence_to_resolve:
                    return n
        return 0

    def own(self, answers: AnswerSeries, latest_incident: Incident, *, since: datetime) -> int:
        """How many of the latest answers count for an open incident that is in breach.

        None before `since`, its first hit. If it was recovering, none before the hits that ended
        the recovery.
        """
        recovered = latest_incident.recovering_since
        if recovered is None:
            return answers.since(since)
        fresh = answers.later_than(recovered)
        return answers.breach(min(self.of, fresh), fresh)

    def _usual(self, answers: AnswerSeries, fresh: int, n: int) -> bool:
        """Whether the latest n answers may be chance, given the rate of the fresh ones before."""
        share = answers.hits(n) / n
        rate = (answers.hits(fresh) - answers.hits(n) + 0.5) / (fresh - n + 100)
        return n <= _SHORT and n * divergence(share, rate) < self.evidence_usual

    def _breach_rate(self, latest_incident: Incident, *, hits: int, of: int) -> float:
        """The lowest plausible rate of the breach: its opening, and the answers since.

        The opening counts as the shortest stretch in which its share is a proof.
        """
        share = float(latest_incident.opening_value or 0) + 1e-9
        opening = next((n for n, fewest in self._proofs() if share * n >= fewest), 0)
        all_hits, all_of = share * opening + hits, opening + of
        rate = credible_low(min(all_hits, all_of), all_of) if all_of else 0.0
        return min(max(rate, _SURELY_OVER * self.limit), _NEARLY_ALL)

    def _proofs(self) -> Sequence[tuple[int, int]]:
        return _proofs(self.limit, self.hits, self.evidence, self.evidence_half)


def _own_rate(answers: AnswerSeries, latest_incident: Incident, n: int) -> float:
    """The lowest plausible rate of the answers from the breach's start to before the latest n."""
    own = answers.since(latest_incident.breach_since)
    if own <= n:
        return 0.0
    return min(credible_low(answers.hits(own) - answers.hits(n), own - n), _NEARLY_ALL)


def recovering(
    verdict: Verdict, answers: AnswerSeries, latest_incident: Incident, *, recovered: str
) -> Verdict:
    """A verdict on an open incident that is not in breach: what recovered, and since when.

    The first recovery counts: while the end is not yet certain, single hits may follow.
    """
    since = latest_incident.recovering_since or answers.misses_since()
    return replace(verdict, recovered=recovered, since=since)


def unjudged(
    answers: AnswerSeries, window: Window, latest_incident: Incident | None, fresh: int
) -> int:
    """How many answers back to the latest unjudged hit; 1 if there is none."""
    for n in range(1, fresh + 1):
        sample = answers.samples[-n]
        if sample.at <= window.lately:
            break
        if answers.is_hit(n) and unseen(sample, latest_incident):
            return n
    return 1


@lru_cache(maxsize=16)
def _proofs(
    limit: float, hits: int, evidence: float, evidence_half: float
) -> Sequence[tuple[int, int]]:
    """Lengths of stretches, and the fewest hits in each that prove a breach."""
    fewest = {}
    for n in _STRETCHES:
        for k in range(max(hits, int(limit * n) + 1), n + 1):
            log_odds, nats_half = (n * divergence(k / n, rate) for rate in (limit, limit / 2))
            if log_odds >= evidence and nats_half >= evidence_half:
                fewest[n] = k
                break
    return tuple(fewest.items())
