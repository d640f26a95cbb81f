"""Pairs of answers, and the measurements that are compared in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from monitor.domain import Finish, Observation, Outcome, StampSource
from monitor.identity.fingerprint.classifier import ModelClassifier
from monitor.identity.fingerprint.features import AnswerText, answer_features


@dataclass(frozen=True, slots=True)
class ComparedAnswer:
    """One side of a pair. `text`: the answer without our secrets, "" if there is none."""

    observation: Observation
    text: str

    @property
    def answered(self) -> bool:
        return self.observation.outcome is Outcome.ANSWERED

    @property
    def complete(self) -> bool:
        """Answered, and not cut by the token limit."""
        return self.answered and self.observation.finish is not Finish.LENGTH

    @property
    def passed(self) -> bool | None:
        """Whether it met its query's expectations; None: not checked."""
        return self.observation.check_passed


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """The answers of both sides to one canned query, requested one right after the other."""

    query: str
    question: str
    a: ComparedAnswer
    b: ComparedAnswer

    @property
    def answered(self) -> bool:
        return self.a.answered and self.b.answered

    @property
    def timed(self) -> bool:
        """Whether the times of both sides are exact."""
        stamps = (self.a.observation.stamp, self.b.observation.stamp)
        return StampSource.DEGRADED not in stamps


class Better(Enum):
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Metric:
    """A measurement of an answer. `mean`: its mean counts, as with money; else its median."""

    name: str
    unit: str  # ms, USD or characters
    value: Callable[[ComparedAnswer], float | None]
    better: Better = Better.LOWER
    mean: bool = False


def _timed(answer: ComparedAnswer, value: float | None) -> float | None:
    """A time, unless the machine was too busy to measure it or there is no answer."""
    exact = answer.observation.stamp is not StampSource.DEGRADED
    return value if answer.answered and exact else None


def _cost(answer: ComparedAnswer) -> float | None:
    usd = answer.observation.cost_usd
    return float(usd) if usd is not None and answer.answered else None


TTFT = Metric("time to first token", "ms", lambda one: _timed(one, one.observation.ttft_ms))
TOTAL = Metric("time to the end", "ms", lambda one: _timed(one, one.observation.total_ms))
COST = Metric("cost per query", "USD", _cost, mean=True)
METRICS = (
    TTFT,
    Metric("time per token", "ms", lambda one: _timed(one, one.observation.tpot_ms)),
    TOTAL,
    COST,
    Metric(
        "answer length",
        "characters",
        lambda one: float(one.observation.answer_chars) if one.answered else None,
        Better.NEITHER,
    ),
)


def separability(pairs: Sequence[AnswerPair]) -> float | None:
    """How well the two sides can be distinguished by their writing alone.

    0.5: not at all, 1: always, measured on held-out answers. None: too few answers.
    """
    sides = [
        [
            answer_features(AnswerText(pair.query, answer.text))
            for pair in pairs
            if (answer := getattr(pair, side)).text
        ]
        for side in ("a", "b")
    ]
    try:
        return ModelClassifier(*sides).separability
    except ValueError:
        return None
