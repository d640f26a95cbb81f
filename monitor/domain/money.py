"""An amount that may lie between two ends, in words."""

from collections.abc import Callable
from decimal import Decimal


def amount_text(
    low: Decimal, high: Decimal, text: Callable[[Decimal], str], *, at_least: bool = False
) -> str:
    """`$0.40`, `at least $0.40`, `between $0.40 and $2.10`, `between $0.40 and at least $2.10`.

    `text` writes one end. `at_least`: something in the amount has no price at all. Ends that
    read the same are written once.
    """
    floor, ceiling, least = text(low), text(high), "at least " if at_least else ""
    if floor == ceiling:
        return f"{least}{floor}"
    return f"between {floor} and {least}{ceiling}"
