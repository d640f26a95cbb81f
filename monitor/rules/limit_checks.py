"""What a rule's limits may be: each fault names the key, the value and the remedy."""

from decimal import Decimal
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo


def positive(rule: Any, *keys: str) -> None:
    """Every key of the rule is a finite number above zero."""
    for key in keys:
        value: float | Decimal = getattr(rule, key)
        if not (isfinite(value) and value > 0):
            raise ValueError(f"{key} = {value}: write a number above 0")


def at_least(rule: Any, least: int, *keys: str) -> None:
    """Every key of the rule is `least` or more."""
    for key in keys:
        if getattr(rule, key) < least:
            raise ValueError(f"{key} = {getattr(rule, key)}: write a number of at least {least}")


def between(rule: Any, low: float, high: float, *keys: str) -> None:
    """Every key of the rule lies between the two, ends included."""
    for key in keys:
        if not low <= getattr(rule, key) <= high:
            raise ValueError(
                f"{key} = {getattr(rule, key)}: write a number between {low:g} and {high:g}"
            )


def at_most(rule: Any, key: str, *, of: str) -> None:
    """One key of the rule is no larger than another."""
    if getattr(rule, key) > getattr(rule, of):
        raise ValueError(
            f"{key} = {getattr(rule, key)}: write at most {of}, which is {getattr(rule, of)}"
        )


def zone(rule: Any, key: str) -> None:
    """The key names a zone of the tz database."""
    try:
        ZoneInfo(getattr(rule, key))
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f'{key} = {getattr(rule, key)!r}: write a zone such as "UTC" or "Europe/Rome"'
        ) from None
