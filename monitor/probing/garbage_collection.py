"""Garbage collection beside measurements: paused during rounds, done where nothing is measured.

A full collection stalls the event loop for tens of milliseconds. It runs when the last of
overlapping rounds ends. Where rounds overlap without end, as with a thousand targets, the probes
that begin every ten minutes wait until nobody awaits a first token, and then it runs.
"""

import asyncio
import ctypes
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

CROWD = 200_000  # containers allocated since the last collection
FULL_EVERY_S = 600.0  # between full collections while rounds overlap
HOLD_S = 2.0  # how long a probe may wait for the others' first tokens
LATEST_S = 3600.0  # after which a full collection waits for no first token
LOOK_S = 0.01
TRIM_EVERY_S = 600.0


class AwaitedText(Protocol):
    """An exchange; `spoken`: its first text has arrived."""

    spoken: bool


_lock = threading.Lock()
_users = 0
_frozen = False
_was_enabled = False
_awaited: dict[int, AwaitedText] = {}
_full_s = 0.0  # when all was last collected (monotonic)
_again_s = 0.0  # when a gap is looked for again
_trimmed_s = 0.0


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause collection while the body runs; collect when the last overlapping user leaves.

    Objects alive at first use are frozen for good, which keeps later collections short. If users
    overlap without end, young objects are collected when they become many, and all of them in
    `collection_gap`.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


@contextmanager
def first_text_awaited(exchange: AwaitedText) -> Iterator[None]:
    """No full collection while the body runs and the exchange has no text, but see `LATEST_S`."""
    _awaited[id(exchange)] = exchange
    try:
        yield
    finally:
        del _awaited[id(exchange)]


async def collection_gap() -> None:
    """Wait for a full collection that is due, at most `HOLD_S`; called before a probe begins."""
    global _again_s
    give_up_s = time.monotonic() + HOLD_S
    while _due():
        now = time.monotonic()
        if all(one.spoken for one in _awaited.values()) or now - _full_s > LATEST_S:
            _collect()
            return
        if now >= give_up_s:
            _again_s = now + FULL_EVERY_S
            return
        await asyncio.sleep(LOOK_S)


def _due() -> bool:
    return _users > 0 and time.monotonic() >= max(_full_s + FULL_EVERY_S, _again_s)


def _collect() -> None:
    global _full_s
    gc.collect()
    _full_s = time.monotonic()
    _trim()


def _trim() -> None:
    """Give memory that was freed back to the system, where the C library does not.

    A stream of megabytes leaves holes in its heap, of which glibc only returns the end.
    """
    global _trimmed_s
    now = time.monotonic()
    if now - _trimmed_s >= TRIM_EVERY_S:
        _trimmed_s = now
        with suppress(AttributeError, OSError):  # other C libraries have no such function
            ctypes.CDLL(None).malloc_trim(0)


def _enter() -> None:
    global _users, _frozen, _was_enabled, _full_s
    with _lock:
        _users += 1
        if _users > 1:
            return
        _was_enabled = gc.isenabled()
        gc.disable()
        if not _frozen:
            _frozen = True
            gc.collect()
            gc.freeze()
            _full_s = time.monotonic()


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            if _was_enabled:
                gc.enable()
            _collect()
        elif gc.get_count()[0] > CROWD:
            gc.collect(0)
