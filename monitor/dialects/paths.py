"""Places in foreign JSON: `usage.prompt_tokens`, `choices.0.usage`, `details.ttl=1h.tokens`."""

from typing import Any

Path = tuple[str, ...]


def path(text: str) -> Path:
    """The names of a dotted path."""
    return tuple(text.split(".")) if text else ()


def at(held: object, place: Path) -> Any:
    """What stands at the end of a path; None where nothing does.

    In a list, a number is a place, and `name=value` means the first object that says so.
    """
    for name in place:
        if isinstance(held, dict):
            held = held.get(name)
        elif isinstance(held, list):
            held = _element(held, name)
        else:
            return None
    return held


def _element(held: list[Any], name: str) -> Any:
    if name.isdecimal():
        return held[int(name)] if int(name) < len(held) else None
    key, _, wanted = name.partition("=")
    return next((one for one in held if isinstance(one, dict) and one.get(key) == wanted), None)
