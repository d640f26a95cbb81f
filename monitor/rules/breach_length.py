"""How far back a breach reaches: further than the stretch that proves it."""

from collections.abc import Iterable

WITHIN_LIMIT = "Within the limit again"  # what is true of a share or a latency that recovers


def breach_length(hits: Iterable[bool], proven: int) -> int:
    """How many of the latest belong to a breach, back to its first hit; 0 without a hit.

    `hits`: newest first. `proven`: how many of the latest prove the breach; misses among them
    belong to it. Further back it goes on over hits in a row and ends before the first miss.
    """
    length = 0
    for nth, hit in enumerate(hits, 1):
        if hit:
            length = nth
        elif nth >= proven:
            break
    return length
