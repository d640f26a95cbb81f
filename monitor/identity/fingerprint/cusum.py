"""Has a known fallback taken over? Evidence summed over probes, never below nothing.

Three sums run side by side: for a fallback that gives all answers, some, or few. The limit
bounds false alarms: while the expected model answers, each sum reaches it less often than
once in so many probes, as long as a likelihood ratio averages one or less.
"""

import math

SHARES = (1.0, 0.4, 0.15)
PROBES_A_FALSE_ALARM = 20_160  # ten weeks of one probe in five minutes
LIMIT = math.log(PROBES_A_FALSE_ALARM * len(SHARES))
_OVER = 5.0  # what a sum can have in hand: it must come down when the model returns

Sums = tuple[float, ...]  # one a share, in nats
NOTHING: Sums = (0.0,) * len(SHARES)


def summed(sums: Sums, log_odds: float) -> Sums:
    """The sums after one answer of these nats, fallback over expected."""
    ratio = math.exp(log_odds)
    return tuple(
        max(0.0, min(LIMIT + _OVER, before + math.log(1 - share + share * ratio)))
        for share, before in zip(SHARES, sums, strict=True)
    )
