"""Garbage collection kept out of rounds: a full collection stalls the loop for tens of ms."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CROWD = 200_000  # containers born and alive since the last collection

_lock = threading.Lock()
_users = 0
_frozen = False
_was_enabled = False


@contextmanager
def gc_paused() -> Iterator[None]:
    """Collect nothing while the body runs; collect once the last of overlapping users leaves.

    What is alive at first use is frozen for good, so later collections stay short. Should
    users overlap without end, the young are collected when they become a crowd.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _users, _frozen, _was_enabled
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


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            if _was_enabled:
                gc.enable()
            gc.collect()
        elif gc.get_count()[0] > CROWD:
            gc.collect(0)
