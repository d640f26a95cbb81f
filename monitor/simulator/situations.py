"""The situations of a simulated RAG service, and what each does to an answer.

One row for each way in which the real service was seen to answer or to fail. A course is described
by its model calls: which model answers, what failed calls cost before it, how it ends.
"""

from dataclasses import dataclass
from enum import StrEnum


class ServiceSituation(StrEnum):
    HEALTHY = "healthy"  # the expected model answers
    KEY_REJECTED = "key_rejected"  # OpenRouter says 401: the fallback answers, silently
    NO_OPENROUTER_KEY = "no_openrouter_key"  # the fallback answers, for good
    THROTTLED = "throttled"  # OpenRouter says 429 three times, then the fallback answers
    UPSTREAM_5XX = "upstream_5xx"  # OpenRouter says 503 three times, then the fallback answers
    ONE_5XX = "one_5xx"  # a retry helps: slow, and no fallback
    UPSTREAM_REFUSED = "upstream_refused"  # OpenRouter refuses connections
    SWITCH = "switch"  # fails mid-answer; the fallback's whole answer is appended
    EMPTY = "empty"  # no text, no fallback, no error
    HANG = "hang"  # pings, then nothing
    STALL = "stall"  # eighteen silent seconds inside an answer
    BOTH_REJECTED = "both_rejected"  # both models fail: only the fallback's error is told
    BOTH_OVERLOADED = "both_overloaded"
    BOTH_LIMITED = "both_limited"
    FALLBACK_BREAKS = "fallback_breaks"  # the fallback fails mid-answer
    SWITCH_BREAKS = "switch_breaks"  # fails mid-answer, and the fallback is down
    NO_SEARCH = "no_search"  # embeddings fail: an answer without sources
    UNAVAILABLE = "unavailable"  # 503: no Anthropic key, or warming up
    BLOCKED = "blocked"  # accepts connections and says nothing on any path
    COLD_START = "cold_start"  # the first answers after a restart are slow
    KILLED = "killed"  # the process dies mid-answer
    DEPLOY = "deploy"  # refuses connections; running answers finish
    DOWN = "down"  # refuses connections; running answers are cut
    SLOW = "slow"  # the expected model, two and a half times as slow
    INTERMITTENT = "intermittent"  # a share of the answers comes from the fallback


class SimulatedModel(StrEnum):
    """The two models behind the service. Nothing in its stream names them."""

    LLAMA = "llama"
    HAIKU = "haiku"


MODELS = {
    SimulatedModel.LLAMA: "meta-llama/llama-4-scout",
    SimulatedModel.HAIKU: "claude-3-5-haiku-20241022",
}


@dataclass(frozen=True, slots=True)
class ModelTurn:
    """One model sends chunks `start` to `stop` of its answer.

    `after_s` is lost to failed calls before it. A turn that begins at a later chunk continues what
    the same model has begun.
    """

    speaker: SimulatedModel
    after_s: float = 0.0
    start: int = 0
    stop: int | None = None
    slowness: float = 1.0


@dataclass(frozen=True, slots=True)
class AnswerCourse:
    """How one answer goes. `silent_s` is waited in real time, whatever the pace."""

    turns: tuple[ModelTurn, ...] = ()
    after_s: float = 0.0
    error: str | None = None
    dies: bool = False
    search: bool = True
    silent_s: float = 0.0


REJECTED = (
    "Error code: 401 - {'type': 'error', 'error': "
    "{'type': 'authentication_error', 'message': 'invalid x-api-key'}}"
)
OVERLOADED = (
    "Error code: 529 - {'type': 'error', 'error': "
    "{'type': 'overloaded_error', 'message': 'Overloaded'}}"
)
LIMITED = (
    "Error code: 400 - {'type': 'error', 'error': {'type': 'invalid_request_error', "
    "'message': 'You have reached your specified API usage limits.'}}"
)

_BEGUN = 5  # chunks of an answer that breaks off: "Hey there! 👋 Welcome"
_LLAMA = ModelTurn(SimulatedModel.LLAMA)
_HAIKU = ModelTurn(
    SimulatedModel.HAIKU
)  # the 0.1 s of one rejected call lie within its live figures
_BEGINS = ModelTurn(SimulatedModel.LLAMA, stop=_BEGUN)

COURSES = {
    ServiceSituation.HEALTHY: AnswerCourse((_LLAMA,)),
    ServiceSituation.KEY_REJECTED: AnswerCourse((_HAIKU,)),
    ServiceSituation.NO_OPENROUTER_KEY: AnswerCourse((_HAIKU,)),
    ServiceSituation.THROTTLED: AnswerCourse((ModelTurn(SimulatedModel.HAIKU, after_s=8.2),)),
    ServiceSituation.UPSTREAM_5XX: AnswerCourse((ModelTurn(SimulatedModel.HAIKU, after_s=2.7),)),
    ServiceSituation.ONE_5XX: AnswerCourse((ModelTurn(SimulatedModel.LLAMA, after_s=0.9),)),
    ServiceSituation.UPSTREAM_REFUSED: AnswerCourse(
        (ModelTurn(SimulatedModel.HAIKU, after_s=1.8),)
    ),  # 4.0 s in all
    ServiceSituation.SWITCH: AnswerCourse((_BEGINS, _HAIKU)),
    ServiceSituation.EMPTY: AnswerCourse((ModelTurn(SimulatedModel.LLAMA, stop=0),)),
    ServiceSituation.HANG: AnswerCourse(
        (_HAIKU,), silent_s=1800.0
    ),  # three tries of ten minutes each
    ServiceSituation.STALL: AnswerCourse(
        (_BEGINS, ModelTurn(SimulatedModel.LLAMA, after_s=18.0, start=_BEGUN))
    ),
    ServiceSituation.BOTH_REJECTED: AnswerCourse(after_s=0.2, error=REJECTED),
    ServiceSituation.BOTH_OVERLOADED: AnswerCourse(after_s=1.4, error=OVERLOADED),
    ServiceSituation.BOTH_LIMITED: AnswerCourse(after_s=0.2, error=LIMITED),
    ServiceSituation.FALLBACK_BREAKS: AnswerCourse(
        (ModelTurn(SimulatedModel.HAIKU, stop=_BEGUN),), error=OVERLOADED
    ),
    ServiceSituation.SWITCH_BREAKS: AnswerCourse((_BEGINS,), error=REJECTED),
    ServiceSituation.NO_SEARCH: AnswerCourse((_LLAMA,), search=False),
    ServiceSituation.COLD_START: AnswerCourse((_LLAMA,)),
    ServiceSituation.KILLED: AnswerCourse((_BEGINS,), dies=True),
    ServiceSituation.SLOW: AnswerCourse((ModelTurn(SimulatedModel.LLAMA, slowness=2.5),)),
    ServiceSituation.DEPLOY: AnswerCourse((_LLAMA,)),  # what was let in before
}
