"""How the two simulated models answer: first-token times, texts, chunks, gaps.

Everything is drawn from a random stream given by the caller, so one seed gives one answer. The
figures are those that the service's operators measured.
"""

import asyncio
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib import resources
from random import Random
from typing import Any

from monitor.simulator.http_server import LAST_CHUNK, http_chunk
from monitor.simulator.situations import AnswerCourse, SimulatedModel

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
    """The chunks of one complete answer.

    `candour` is the share, per model, of direct identity questions that are answered with the
    model's own name instead of the persona's.
    """
    about = topic(query)
    if about == "identity" and draw.random() < candour.get(speaker, 0.0):
        about = "candid"
    text = "".join(draw.choice(variants) for variants in _book()[speaker][about]["parts"])
    return chunks(speaker, text, draw)


def chunks(speaker: SimulatedModel, text: str, draw: Random) -> tuple[str, ...]:
    """Split a text as the model's provider would; no text is lost."""
    tokens, cut = _TOKEN.findall(text), []
    while tokens:
        size = draw.choice(_TOKENS_A_CHUNK[speaker])
        cut.append("".join(tokens[:size]))
        del tokens[:size]
    return tuple(cut)


def sources(query: str) -> list[dict[str, Any]]:
    """The search results for a query, best first, at most three; always the same."""
    found = _book()["sources"].get(topic(query), [])
    return [{**entry, "dateLastCrawled": entry.get("dateLastCrawled")} for entry in found]


def topic(query: str) -> str:
    """The part of the answer book from which a query is answered."""
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


# The stream of one answer of the simulated service, block by block.
#
# A script is a sequence of beats: a pause and the block that follows it. Pure: pauses are planned
# here and played elsewhere; numbers and times are filled in when a block is written.
#
# Grammar: pings, [continuity], (keepalive? text)*, then keepalive, [sources], done; or an error.


SILENT_S = 15.0  # a chunk later than this is preceded by a keepalive
SEARCH_S = 0.02  # the search for sources, from its cache
MEMORY_S = 0.05  # loading a known user's memory, before the third ping


class BlockKind(StrEnum):
    PING = "ping"
    CONTINUITY = "continuity"
    KEEPALIVE = "keepalive"
    TEXT = "text"
    SOURCES = "sources"
    DONE = "done"
    ERROR = "error"
    DEATH = "death"  # not a block: the connection ends without the last chunk


class WaitKind(StrEnum):
    """What a pause is spent on: a pace may shorten the first two."""

    CALL = "call"  # model calls, retries, searches before the first text
    CHUNK = "chunk"  # between chunks and after the last one
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class StreamStep:
    says: BlockKind
    after_s: float = 0.0
    wait: WaitKind = WaitKind.CHUNK
    text: str = ""  # answer text, error, stream id or query, by what is said


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRequest:
    """One request for an answer. `query` None: it was missing."""

    query: str | None
    draw: Random
    candour: Mapping[SimulatedModel, float]
    cold_s: float = 0.0  # time lost to empty caches
    known_user: bool = False
    continuity: str | None = None


def script(course: AnswerCourse, requested: AnswerRequest) -> Iterator[StreamStep]:
    """The beats of one answer, from the first ping to done, error or the end of the process."""
    yield from _opening(requested)
    if requested.query is None:
        yield StreamStep(BlockKind.ERROR, text="'NoneType' object has no attribute 'lower'")
        return
    silence = course.silent_s + course.after_s + requested.cold_s
    wait = WaitKind.HANG if course.silent_s else WaitKind.CALL
    reported: dict[SimulatedModel, tuple[str, ...]] = {}
    for turn in course.turns:
        silence, wait = silence + turn.after_s, WaitKind.HANG if course.silent_s else WaitKind.CALL
        if turn.speaker not in reported:
            silence += turn.slowness * first_token_s(turn.speaker, requested.query, requested.draw)
            reported[turn.speaker] = answer(
                turn.speaker, requested.query, draw=requested.draw, candour=requested.candour
            )
        for chunk in reported[turn.speaker][turn.start : turn.stop]:
            if silence > SILENT_S:
                yield StreamStep(BlockKind.KEEPALIVE, silence, wait)
                silence = 0.0
            yield StreamStep(BlockKind.TEXT, silence, wait, chunk)
            silence = turn.slowness * gap_s(turn.speaker, chunk, requested.draw)
            wait = WaitKind.CHUNK
    yield from _ending(course, requested.query, StreamStep(BlockKind.KEEPALIVE, silence, wait))


def _opening(requested: AnswerRequest) -> Iterator[StreamStep]:
    yield StreamStep(BlockKind.PING)
    yield StreamStep(BlockKind.PING)
    yield StreamStep(BlockKind.PING, MEMORY_S if requested.known_user else 0.0, WaitKind.CALL)
    if requested.continuity is not None:
        yield StreamStep(BlockKind.CONTINUITY, text=requested.continuity)


def _ending(course: AnswerCourse, query: str, last: StreamStep) -> Iterator[StreamStep]:
    if course.dies:
        yield replace(last, says=BlockKind.DEATH)
    elif course.error is not None:
        yield replace(last, says=BlockKind.ERROR, text=course.error)
    else:
        yield last
        if course.search and sources(query):
            yield StreamStep(BlockKind.SOURCES, SEARCH_S, text=query)
        yield StreamStep(BlockKind.DONE)


def block(step: StreamStep, number: int, *, now_s: float, began_s: float) -> bytes:
    """One block as it is sent. `number` counts the texts so far, including this one."""
    numbered = {"sequenceNumber": number, "timestamp": now_s}
    match step.says:
        case BlockKind.PING:
            return b": ping\n\n"
        case BlockKind.KEEPALIVE:
            return b":keepalive\n\n"
        case BlockKind.CONTINUITY:
            return _data({"type": "continuity_check", "streamId": step.text, **numbered})
        case BlockKind.TEXT:
            return _data({"text": step.text, **numbered})
        case BlockKind.SOURCES:
            return _data({"sources": sources(step.text)})
        case BlockKind.ERROR:
            return _data({"error": f"Streaming failed: {step.text}", "done": True, **numbered})
        case BlockKind.DONE:
            return _data({"done": True, **numbered, "streamDuration": now_s - began_s})
        case BlockKind.DEATH:
            return b""


def _data(reported: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(reported, separators=(",", ":")).encode("ascii") + b"\n\n"


# Plays one answer on a connection: waits for the pauses, splits blocks into segments.


_JOINED, _SPLIT = 0.2, 0.1  # shares of text blocks that share a segment, or take two
_SPLIT_S = 0.001


@dataclass(frozen=True, slots=True)
class PlaybackPace:
    """Factors on the waits for models and on the gaps between chunks; 0 is at once.

    A model that hangs does so in real time.
    """

    calls: float = 1.0
    chunks: float = 1.0

    def of(self, step: StreamStep) -> float:
        """Seconds to wait before a beat."""
        factors = {WaitKind.CALL: self.calls, WaitKind.CHUNK: self.chunks, WaitKind.HANG: 1.0}
        return step.after_s * factors[step.wait]


REAL_TIME = PlaybackPace()


async def play_stream(
    writer: asyncio.StreamWriter,
    course: AnswerCourse,
    *,
    requested: AnswerRequest,
    pace: PlaybackPace,
    clock: Callable[[], float],
) -> int:
    """Write the body of one answer; returns the number of characters of answer text written.

    The body ends properly unless the process is to die. Beats keep to the times planned from the
    start, so small delays do not add up.
    """
    loop = asyncio.get_running_loop()
    began_s, due, number, characters, held = clock(), loop.time(), 0, 0, b""
    for step in script(course, requested):
        due += pace.of(step)
        await asyncio.sleep(max(0.0, due - loop.time()))
        if step.says is BlockKind.DEATH:
            writer.write(held)
            break
        if step.says is BlockKind.TEXT:
            number, characters = number + 1, characters + len(step.text)
        framed = held + http_chunk(block(step, number, now_s=clock(), began_s=began_s))
        held = b""
        fate = requested.draw.random() if step.says is BlockKind.TEXT and number > 1 else 1.0
        if fate < _JOINED:
            held = framed
            continue
        if fate < _JOINED + _SPLIT:
            cut = requested.draw.randrange(1, len(framed))
            writer.write(framed[:cut])
            await asyncio.sleep(_SPLIT_S * pace.chunks)
            framed = framed[cut:]
        writer.write(framed)
        await writer.drain()
    else:
        writer.write(LAST_CHUNK)
    await writer.drain()
    return characters
