"""Evidence as people read it: a confidence in per cent, never log-odds."""

from math import exp


def confidence_text(log_odds: float) -> str:
    """The probability that log-odds (natural logarithm) stand for, at even prior odds."""
    percent = 100 / (1 + exp(-log_odds))
    if percent > 99.9:
        return "> 99.9 %"
    return f"{percent:.1f} %" if percent >= 99 else f"{percent:.0f} %"
