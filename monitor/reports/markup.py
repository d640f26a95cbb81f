"""Markup that cannot be broken out of: every text and attribute is escaped where it is written."""

from functools import lru_cache
from html import escape

from monitor.redaction import plain

LONGEST = 500
_LONGEST_PATH = 1_000_000  # characters of an attribute: paths are long


class Markup(str):
    """Text that is markup already. Only this room makes it."""

    __slots__ = ()


def safe_text(value: object, limit: int = LONGEST) -> Markup:
    """Any value as harmless text of one line."""
    return value if isinstance(value, Markup) else Markup(_harmless(str(value), limit))


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """One element. A trailing `_` of an attribute is dropped, others become `-`.

    Attributes that are None are left out; numbers are written with two decimals at most.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if not children and name in _EMPTY:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(*children)}</{name}>")


def joined(*children: object) -> Markup:
    """Children one after another, None left out."""
    return Markup("".join(safe_text(child) for child in children if child is not None))


def number(value: float) -> str:
    """A coordinate: two decimals at most, no useless zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


_EMPTY = frozenset({"meta", "br", "hr"})


def _value(value: object) -> str:
    if isinstance(value, float | int):
        return number(value)
    return _harmless(str(value), _LONGEST_PATH)


@lru_cache(2048)  # class names, units and days come again and again
def _harmless(text: str, limit: int) -> str:
    return escape(plain(text, limit))
