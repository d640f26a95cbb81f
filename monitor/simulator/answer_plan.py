"""What one answer of the simulated service puts on its stream, block by block.

A script is a run of beats: a silence and the block that ends it. Pure: the silences are
planned here and waited out elsewhere, numbers and times are filled in when a block is cut.

Grammar: pings, [continuity], (keepalive? text)*, then keepalive, [sources], done; or an error.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Any

from monitor.simulator.canned_answers import answer, first_token_s, gap_s, sources
from monitor.simulator.situations import AnswerCourse, SimulatedModel

SILENT_S = 15.0  # a chunk that comes later than this is preceded by a keepalive
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
    """What a silence is spent on: a pace may shorten the first two."""

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
    """One request for an answer. `query` None: it was left out."""

    query: str | None
    draw: Random
    candour: Mapping[SimulatedModel, float]
    cold_s: float = 0.0  # lost to caches that are still empty
    known_user: bool = False
    continuity: str | None = None


def script(course: AnswerCourse, requested: AnswerRequest) -> Iterator[StreamStep]:
    """The beats of one answer, from the first ping to done, error or death."""
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
    """One block as it goes out. `number` counts the texts so far, this one included."""
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
