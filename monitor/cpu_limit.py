"""A limit on the CPU time of one piece of work, enforced by the kernel's timer.

What a service sends is interpreted on the event loop. If a function takes far longer than it ever
should, an interval timer of the process interrupts it. The regular-expression engine checks for
signals every few thousand steps, so a pattern with exponential time is interrupted as well. The
timer counts the CPU time of all threads, so it only triggers a check of this thread's time.

Source: docs/adr/0010-limit-on-interpretation.md
"""

import gc
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import ParamSpec, TypeVar

LIMIT_S = 0.08  # CPU time of one step; the largest legitimate transcript takes half of it
_AGAIN_S = 0.02  # in case a finalizer swallows the first interruption
_SHORTEST_S = 0.001  # between two checks of the thread's CPU time

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class CpuLimitExceeded(BaseException):
    """The work took too long. Not an `Exception`, so that nothing inside the work catches it."""


_limited = False  # whether limited work is running
_limit_at = 0.0  # CPU time of the main thread at which it is interrupted


def limited(
    work: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """The result of `work` for these arguments; `work` must not wait and must not keep state.

    Raises CpuLimitExceeded once it has used `LIMIT_S` seconds of CPU time, not counting other
    threads. Limits do not nest: the outer one counts. Outside the main thread, where no signal
    arrives, work is not limited. Garbage is collected afterwards: it belongs to the whole process,
    and a finalizer would swallow the interruption.
    """
    global _limited, _limit_at
    if _limited or threading.current_thread() is not threading.main_thread():
        return work(*args, **kwargs)
    # and it stays: the default action kills the process
    if signal.getsignal(signal.SIGPROF) is not _interrupt:
        signal.signal(signal.SIGPROF, _interrupt)
        signal.siginterrupt(signal.SIGPROF, False)
    collects = gc.isenabled()
    gc.disable()
    try:
        _limited, _limit_at = True, time.thread_time() + LIMIT_S
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S, _AGAIN_S)
        return work(*args, **kwargs)
    finally:
        _limited = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        if collects:
            gc.enable()


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _limited:  # a signal may arrive late
        return
    left_s = _limit_at - time.thread_time()
    if left_s <= 0:
        raise CpuLimitExceeded
    signal.setitimer(signal.ITIMER_PROF, max(left_s, _SHORTEST_S), _AGAIN_S)
