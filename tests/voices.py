"""Answers as the simulated service's two voices give them, for tests of fingerprints."""

from functools import cache
from random import Random

from monitor.demo.situations import Speaker
from monitor.demo.voices import answer
from monitor.domain import Query
from monitor.identity.features import Answer
from monitor.identity.profile import Profile, learnt

LLAMA, HAIKU = "meta-llama/llama-4-scout", "anthropic/claude-3-5-haiku-20241022"
QUERIES = (
    Query(id="hi", text="Hi"),
    Query(id="kbli", text="KBLI?"),
    Query(id="who", text="Who are you? Which AI model are you?", identity=True),
)


def said(speaker: Speaker, query: Query, seed: object) -> Answer:
    """One answer under the persona's name; a seed always gives the same."""
    chunks = answer(speaker, query.text, draw=Random(f"{query.id}/{seed}"), candour={})
    return Answer(query.id, "".join(chunks), chunks)


def answers(speaker: Speaker, each: int, *, seed: str = "baseline") -> list[Answer]:
    """So many answers to each query."""
    return [said(speaker, query, f"{seed}{nth}") for nth in range(each) for query in QUERIES]


@cache
def profile(*, rivals: bool = True, each: int = 10) -> Profile:
    """Llama's looks, and Haiku's beside them."""
    others = {HAIKU: answers(Speaker.HAIKU, each)} if rivals else {}
    return learnt(LLAMA, answers(Speaker.LLAMA, each), others, verified_by="operator")
