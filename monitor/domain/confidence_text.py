"""Evidence as people read it: a confidence in per cent, never log-odds."""

from math import exp, log

_MOST = 1 - 1e-9  # certainty has no odds


def confidence_text(log_odds: float) -> str:
    """The probability that log-odds (natural logarithm) stand for, at even prior odds."""
    percent = 100 / (1 + exp(-log_odds))
    if percent > 99.9:
        return "> 99.9 %"
    return f"{percent:.1f} %" if percent >= 99 else f"{percent:.0f} %"


def log_odds(confidence: float) -> float:
    """The log-odds of a confidence of 0 to 1, never below zero: no evidence is even odds."""
    sure = min(max(confidence, 0.5), _MOST)
    return log(sure / (1 - sure))
