"""Typed access to fields of foreign JSON: a field of the wrong type counts as absent."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, NoReturn

from monitor.domain import Claim, ClaimKind

SIBLINGS = ("model_used", "ai_used")  # fields beside the answer that name the model
_CLAIMS = (
    ("model", ClaimKind.FIELD),
    *((name, ClaimKind.SIBLING) for name in SIBLINGS),
    ("id", ClaimKind.HEADER),
)
_SHORT = 200  # characters: longer names are not cached

_NO_ERRORS = frozenset({"null", "none", "false", "ok", "0", "success", "no error", "undefined"})
_SAYS_ALL = frozenset({"code", "message", "type", "param"})  # the fields of an error object
_LEAST_CODE = 100

_JSON_SPACE = " \t\n\r"
_FAR = 10**15  # a larger value is equally wrong, and this one fits a float
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,30})?(?:[eE]-?[0-9]{1,2})?")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _bounded(digits: str) -> Decimal | int | None:
    """A number of any length; None if Python cannot convert it, although it is valid JSON."""
    try:
        return int(digits) if digits.lstrip("-").isdecimal() else Decimal(digits)
    except (ValueError, InvalidOperation):
        return None


_JSON = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_number)
_WITH_GIANTS = json.JSONDecoder(
    parse_int=_bounded, parse_float=_bounded, parse_constant=_no_number
)  # the slower fallback for what the first decoder refuses


def parsed(data: str) -> Any:
    """One JSON value with exact decimals. Raises ValueError on anything else, including NaN.

    A number of thousands of digits is read as null, so that the text beside it is kept.
    """
    text = data.strip(_JSON_SPACE)
    try:
        try:
            value, end = _JSON.raw_decode(text)
        except json.JSONDecodeError:
            raise
        except (ValueError, InvalidOperation):
            value, end = _WITH_GIANTS.raw_decode(text)
    except RecursionError as error:
        raise ValueError(f"unreadable JSON: {type(error).__name__}") from error
    if end != len(text):
        raise ValueError("more than one JSON value")
    return value


def document(data: str) -> dict[str, Any]:
    """One JSON object. Raises ValueError on anything else."""
    value = parsed(data)
    if isinstance(value, dict):
        return value
    raise ValueError("not a JSON object")


def object_at(value: object, *names: str) -> Mapping[str, Any]:
    """The object at the end of a path of names; empty if there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def first(value: object) -> Mapping[str, Any]:
    """The first object of a list; empty if there is none."""
    return object_at(value[0]) if isinstance(value, list) and value else {}


def text_of(value: object) -> str:
    """A text, or the joined texts of a list and of its parts' `text`; otherwise ""."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    reported = (object_at(part).get("text") if isinstance(part, dict) else part for part in value)
    return "".join(text for text in reported if isinstance(text, str))


def count(value: object) -> int | None:
    """A whole number, also given as text (headers) or as `12.0`. Plausibility is not checked."""
    if type(value) is int:
        return value
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 15:
        return int(value) if value == value.to_integral_value() else None
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    return None


def money(value: object) -> Decimal | None:
    """An exact amount, also given as text (headers). Plausibility is not checked."""
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else None


def instant(value: object) -> float | None:
    """Seconds since the epoch on the server's clock."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return float(max(-_FAR, min(value, _FAR)))
    return None


def _no_error(value: object) -> bool:
    if isinstance(value, str):
        return len(value) < _SHORT and value.strip().lower() in _NO_ERRORS
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return value < _LEAST_CODE
    if not isinstance(value, dict) or "message" not in value or not value.keys() <= _SAYS_ALL:
        return False
    code, reported = value.get("code"), value["message"]
    return code in (None, 0, "", "0") and (
        not reported or (isinstance(reported, str) and _no_error(reported))
    )


def error_text_of(value: object) -> str | None:
    """An error as text: a text as it is, an object as its message and code; None if it is no error.

    `null`, `false`, empty values and words such as `none` are not errors, nor is an object whose
    code and message say so: services send them with good answers. A number counts as an error code
    from 100 on.
    """
    if not value or _no_error(value):
        return None
    if isinstance(value, dict):
        reported = text_of(value.get("message")) or text_of(value.get("detail"))
        code = value.get("code") or value.get("type")
        if reported:
            return f"{code}: {reported}" if isinstance(code, str | int) else reported
    try:
        return value if isinstance(value, str) else json.dumps(value, default=str)
    except RecursionError:
        return "an error nested too deeply to show"


def claims(document: Mapping[str, Any]) -> tuple[Claim, ...]:
    """Who a JSON object says answered: `model`, its siblings, and the shape of its `id`."""
    model, answer = document.get("model"), document.get("id")
    if document.keys().isdisjoint(SIBLINGS) and _is_short(model) and _is_short(answer):
        return _model_and_id(model, answer)
    found = ((kind, name, document.get(name)) for name, kind in _CLAIMS)
    return tuple(
        Claim(kind, name, value) for kind, name, value in found if value and isinstance(value, str)
    )


def _is_short(value: object) -> bool:
    return value is None or (type(value) is str and len(value) < _SHORT)


@lru_cache(maxsize=1024)
def _model_and_id(model: str | None, answer: str | None) -> tuple[Claim, ...]:
    """The claims of these two names: every event of a stream tends to repeat them."""
    named = ((ClaimKind.FIELD, "model", model), (ClaimKind.HEADER, "id", answer))
    return tuple(Claim(kind, source, value) for kind, source, value in named if value)
