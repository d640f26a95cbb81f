"""Values as people write them, in the spelling that the schema asks for.

The types of the schema are followed, so every key gets the same treatment, also one that is
added later: blanks and line ends around a value are dropped, booleans are understood in every
usual spelling, and words of a fixed list in any case. What still does not fit is left as it is,
for pydantic to refuse.
"""

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

VERBATIM = "verbatim"  # mark of a text whose blanks count

_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1", "y", "t"), True),
    **dict.fromkeys(("false", "no", "off", "0", "n", "f"), False),
}


def bare(text: str) -> str:
    """The value of a variable without blanks and without the quotes that an env file may keep."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def normalized(value: Any, kind: Any) -> Any:
    """The value as a field of this type takes it; a value that does not fit comes back as is."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *marks = get_args(kind)
        return value if VERBATIM in marks else normalized(value, inner)
    if origin in (Union, UnionType):
        for choice in get_args(kind):
            value = normalized(value, choice)
        return value
    if origin is Literal:
        return _chosen(value, get_args(kind))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return fields_normalized(value, kind)
    if origin is dict and isinstance(value, dict):
        of_keys, of_values = get_args(kind)
        return {normalized(k, of_keys): normalized(v, of_values) for k, v in value.items()}
    if origin in (list, tuple) and isinstance(value, list):
        return [normalized(item, get_args(kind)[0]) for item in value]
    return _plain(value, kind)


def fields_normalized(table: Any, shape: type) -> Any:
    """The values of a table, each as the field of that name, or alias, takes it."""
    if not isinstance(table, dict):
        return table
    kinds = _kinds(shape)
    return {k: normalized(v, kinds[k]) if k in kinds else v for k, v in table.items()}


@cache
def _kinds(shape: type) -> Mapping[str, Any]:
    hints = get_type_hints(shape, include_extras=True)
    if issubclass(shape, BaseModel):
        return {f.alias or name: hints[name] for name, f in shape.model_fields.items()}
    return hints


def _plain(value: Any, kind: Any) -> Any:
    if kind is Any:
        return value
    if kind is bool:
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        known = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else None
        return value if known is None else known
    if isinstance(value, bool) and kind in (int, float, Decimal, str):
        return str(value).lower()  # `true` is no number, whatever Python says
    return value.strip() if isinstance(value, str) else value


def _chosen(value: Any, choices: tuple[Any, ...]) -> Any:
    if not isinstance(value, str):
        return value
    same = (c for c in choices if isinstance(c, str) and c.lower() == value.strip().lower())
    return next(same, value)
