"""The situations a simulated RAG service can be in, and what each does to an answer.

One row here for each way the real service was seen to answer or to fail. A course is told
from the model calls: who speaks, what the failed calls before it cost, how it ends.
"""

from dataclasses import dataclass
from enum import StrEnum


class Situation(StrEnum):
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


class Speaker(StrEnum):
    """The two models behind the service. Nothing on its stream names them."""

    LLAMA = "llama"
    HAIKU = "haiku"


MODELS = {
    Speaker.LLAMA: "meta-llama/llama-4-scout",
    Speaker.HAIKU: "claude-3-5-haiku-20241022",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """One model speaks chunks `start` to `stop` of its answer.

    `after_s` is lost to failed calls before it. A turn that begins at a later chunk goes
    on with what the same model has begun.
    """

    speaker: Speaker
    after_s: float = 0.0
    start: int = 0
    stop: int | None = None
    slowness: float = 1.0


@dataclass(frozen=True, slots=True)
class Course:
    """What becomes of one answer. `silent_s` is waited out whatever the pace."""

    turns: tuple[Turn, ...] = ()
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
_LLAMA = Turn(Speaker.LLAMA)
_HAIKU = Turn(Speaker.HAIKU)  # the 0.1 s of one rejected call lie within its live figures
_BEGINS = Turn(Speaker.LLAMA, stop=_BEGUN)

COURSES = {
    Situation.HEALTHY: Course((_LLAMA,)),
    Situation.KEY_REJECTED: Course((_HAIKU,)),
    Situation.NO_OPENROUTER_KEY: Course((_HAIKU,)),
    Situation.THROTTLED: Course((Turn(Speaker.HAIKU, after_s=8.2),)),
    Situation.UPSTREAM_5XX: Course((Turn(Speaker.HAIKU, after_s=2.7),)),
    Situation.ONE_5XX: Course((Turn(Speaker.LLAMA, after_s=0.9),)),
    Situation.UPSTREAM_REFUSED: Course((Turn(Speaker.HAIKU, after_s=1.8),)),  # 4.0 s in all
    Situation.SWITCH: Course((_BEGINS, _HAIKU)),
    Situation.EMPTY: Course((Turn(Speaker.LLAMA, stop=0),)),
    Situation.HANG: Course((_HAIKU,), silent_s=1800.0),  # three tries of ten minutes each
    Situation.STALL: Course((_BEGINS, Turn(Speaker.LLAMA, after_s=18.0, start=_BEGUN))),
    Situation.BOTH_REJECTED: Course(after_s=0.2, error=REJECTED),
    Situation.BOTH_OVERLOADED: Course(after_s=1.4, error=OVERLOADED),
    Situation.BOTH_LIMITED: Course(after_s=0.2, error=LIMITED),
    Situation.FALLBACK_BREAKS: Course((Turn(Speaker.HAIKU, stop=_BEGUN),), error=OVERLOADED),
    Situation.SWITCH_BREAKS: Course((_BEGINS,), error=REJECTED),
    Situation.NO_SEARCH: Course((_LLAMA,), search=False),
    Situation.COLD_START: Course((_LLAMA,)),
    Situation.KILLED: Course((_BEGINS,), dies=True),
    Situation.SLOW: Course((Turn(Speaker.LLAMA, slowness=2.5),)),
    Situation.DEPLOY: Course((_LLAMA,)),  # what was let in before
}
