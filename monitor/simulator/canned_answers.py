"""How the two simulated models speak: when they begin, what they say, in which pieces.

Everything is drawn from a random stream given by the caller, so that one seed gives one
answer. Figures are those the service's operators measured.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from random import Random
from typing import Any

from monitor.simulator.situations import SimulatedModel

GREETINGS = frozenset({"hi", "hello", "hey", "ciao"})
FIRST_TOKEN_S = {"hi": 0.519, "kbli": 1.301, "hello there": 1.182}
_USUAL_FIRST_TOKEN_S = 1.0
_TIMES = {
    SimulatedModel.LLAMA: 1.0,
    SimulatedModel.HAIKU: 2.195,
}  # mean of the three: 1001 and 2197 ms
_SCATTER = 0.1
_PER_CHARACTER_S = {SimulatedModel.LLAMA: 0.00277, SimulatedModel.HAIKU: 0.00452}
_TOKEN = re.compile(r"'[a-z]+| ?[^\W\d_]{1,14}|\d{1,3}| ?[^\w\s']{1,4}\n*|\n+|_|'|\s")
_TOKENS_A_CHUNK = {SimulatedModel.LLAMA: (1,), SimulatedModel.HAIKU: (1, 2, 2)}


def first_token_s(speaker: SimulatedModel, query: str, draw: Random) -> float:
    """Seconds from the request until the model's first chunk, lognormal around the mean."""
    usual = FIRST_TOKEN_S.get(_bare(query), _USUAL_FIRST_TOKEN_S)
    return usual * _TIMES[speaker] * draw.lognormvariate(0.0, _SCATTER)


def gap_s(speaker: SimulatedModel, chunk: str, draw: Random) -> float:
    """Seconds a model takes for one chunk after its first."""
    return len(chunk) * _PER_CHARACTER_S[speaker] * draw.lognormvariate(0.0, 3 * _SCATTER)


def answer(
    speaker: SimulatedModel, query: str, *, draw: Random, candour: Mapping[SimulatedModel, float]
) -> tuple[str, ...]:
    """The chunks of one whole answer.

    `candour` is the share, per model, of direct questions of identity that are answered
    with the model's own name instead of the persona's.
    """
    about = topic(query)
    if about == "identity" and draw.random() < candour.get(speaker, 0.0):
        about = "candid"
    text = "".join(draw.choice(variants) for variants in _book()[speaker][about]["parts"])
    return chunks(speaker, text, draw)


def chunks(speaker: SimulatedModel, text: str, draw: Random) -> tuple[str, ...]:
    """Cut a text as the model's provider would: nothing is lost between the chunks."""
    tokens, cut = _TOKEN.findall(text), []
    while tokens:
        size = draw.choice(_TOKENS_A_CHUNK[speaker])
        cut.append("".join(tokens[:size]))
        del tokens[:size]
    return tuple(cut)


def sources(query: str) -> list[dict[str, Any]]:
    """What the search finds for a query, best first, at most three; it is always the same."""
    found = _book()["sources"].get(topic(query), [])
    return [{**entry, "dateLastCrawled": entry.get("dateLastCrawled")} for entry in found]


def topic(query: str) -> str:
    """The part of the answer book a query is answered from."""
    bare = _bare(query)
    if bare in GREETINGS:
        return "greeting"
    if bare == "hello there":
        return "hello"
    if "kbli" in bare:
        return "kbli"
    return "identity" if any(text in bare for text in _IDENTITY) else "other"


_IDENTITY = ("who are you", "your name", "which ai model", "what ai model", "about yourself")


def _bare(query: str) -> str:
    return query.strip().strip("?!.,").lower()


@cache
def _book() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("answers.toml").read_text("utf-8"))
