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

from monitor.demo.situations import Course, Speaker
from monitor.demo.voices import answer, first_token_s, gap_s, sources

SILENT_S = 15.0  # a chunk that comes later than this is preceded by a keepalive
SEARCH_S = 0.02  # the search for sources, from its cache
MEMORY_S = 0.05  # loading a known user's memory, before the third ping


class Says(StrEnum):
    PING = "ping"
    CONTINUITY = "continuity"
    KEEPALIVE = "keepalive"
    TEXT = "text"
    SOURCES = "sources"
    DONE = "done"
    ERROR = "error"
    DEATH = "death"  # not a block: the connection ends without the last chunk


class Wait(StrEnum):
    """What a silence is spent on: a pace may shorten the first two."""

    CALL = "call"  # model calls, retries, searches before the first text
    CHUNK = "chunk"  # between chunks and after the last one
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class Beat:
    says: Says
    after_s: float = 0.0
    wait: Wait = Wait.CHUNK
    text: str = ""  # answer text, error, stream id or query, by what is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request for an answer. `query` None: it was left out."""

    query: str | None
    draw: Random
    candour: Mapping[Speaker, float]
    cold_s: float = 0.0  # lost to caches that are still empty
    known_user: bool = False
    continuity: str | None = None


def script(course: Course, asked: Asked) -> Iterator[Beat]:
    """The beats of one answer, from the first ping to done, error or death."""
    yield from _opening(asked)
    if asked.query is None:
        yield Beat(Says.ERROR, text="'NoneType' object has no attribute 'lower'")
        return
    silence = course.silent_s + course.after_s + asked.cold_s
    wait = Wait.HANG if course.silent_s else Wait.CALL
    said: dict[Speaker, tuple[str, ...]] = {}
    for turn in course.turns:
        silence, wait = silence + turn.after_s, Wait.HANG if course.silent_s else Wait.CALL
        if turn.speaker not in said:
            silence += turn.slowness * first_token_s(turn.speaker, asked.query, asked.draw)
            said[turn.speaker] = answer(
                turn.speaker, asked.query, draw=asked.draw, candour=asked.candour
            )
        for chunk in said[turn.speaker][turn.start : turn.stop]:
            if silence > SILENT_S:
                yield Beat(Says.KEEPALIVE, silence, wait)
                silence = 0.0
            yield Beat(Says.TEXT, silence, wait, chunk)
            silence = turn.slowness * gap_s(turn.speaker, chunk, asked.draw)
            wait = Wait.CHUNK
    yield from _ending(course, asked.query, Beat(Says.KEEPALIVE, silence, wait))


def _opening(asked: Asked) -> Iterator[Beat]:
    yield Beat(Says.PING)
    yield Beat(Says.PING)
    yield Beat(Says.PING, MEMORY_S if asked.known_user else 0.0, Wait.CALL)
    if asked.continuity is not None:
        yield Beat(Says.CONTINUITY, text=asked.continuity)


def _ending(course: Course, query: str, last: Beat) -> Iterator[Beat]:
    if course.dies:
        yield replace(last, says=Says.DEATH)
    elif course.error is not None:
        yield replace(last, says=Says.ERROR, text=course.error)
    else:
        yield last
        if course.search and sources(query):
            yield Beat(Says.SOURCES, SEARCH_S, text=query)
        yield Beat(Says.DONE)


def block(beat: Beat, number: int, *, now_s: float, began_s: float) -> bytes:
    """One block as it goes out. `number` counts the texts so far, this one included."""
    numbered = {"sequenceNumber": number, "timestamp": now_s}
    match beat.says:
        case Says.PING:
            return b": ping\n\n"
        case Says.KEEPALIVE:
            return b":keepalive\n\n"
        case Says.CONTINUITY:
            return _data({"type": "continuity_check", "streamId": beat.text, **numbered})
        case Says.TEXT:
            return _data({"text": beat.text, **numbered})
        case Says.SOURCES:
            return _data({"sources": sources(beat.text)})
        case Says.ERROR:
            return _data({"error": f"Streaming failed: {beat.text}", "done": True, **numbered})
        case Says.DONE:
            return _data({"done": True, **numbered, "streamDuration": now_s - began_s})
        case Says.DEATH:
            return b""


def _data(said: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(said, separators=(",", ":")).encode("ascii") + b"\n\n"
