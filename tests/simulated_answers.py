"""Answers of the simulated service's two models, for tests of fingerprints."""

from functools import cache
from random import Random

from monitor.domain import Query
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.profile import StyleProfile, learn_profile
from monitor.simulator.answer_plan import answer
from monitor.simulator.situations import SimulatedModel

LLAMA, HAIKU = "meta-llama/llama-4-scout", "anthropic/claude-3-5-haiku-20241022"
QUERIES = (
    Query(id="hi", text="Hi"),
    Query(id="kbli", text="KBLI?"),
    Query(id="who", text="Who are you? Which AI model are you?", identity=True),
)


def simulated_answer(speaker: SimulatedModel, query: Query, seed: object) -> AnswerText:
    """One answer under the persona's name; a seed always gives the same."""
    chunks = answer(speaker, query.text, draw=Random(f"{query.id}/{seed}"), candour={})
    return AnswerText(query.id, "".join(chunks))


def simulated_answers(
    speaker: SimulatedModel, each: int, *, seed: str = "baseline"
) -> list[AnswerText]:
    """So many answers to each query."""
    return [
        simulated_answer(speaker, query, f"{seed}{nth}") for nth in range(each) for query in QUERIES
    ]


@cache
def simulated_profile(*, candidates: bool = True, each: int = 10) -> StyleProfile:
    """Llama's looks, and Haiku's beside them."""
    others = {HAIKU: simulated_answers(SimulatedModel.HAIKU, each)} if candidates else {}
    return learn_profile(
        LLAMA, simulated_answers(SimulatedModel.LLAMA, each), others, verified_by="operator"
    )
