"""Converts values as people write them to the form that the schema expects.

The types of the schema are followed, so every key gets the same treatment, including new ones:
blanks and line ends around a value are removed, booleans are accepted in every common spelling, and
fixed words in any case. Other values stay as they are, so that pydantic rejects them.
"""

import re
from collections.abc import Mapping
from datetime import time, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

VERBATIM = "verbatim"  # marks a text in which blanks are significant

_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1", "y", "t"), True),
    **dict.fromkeys(("false", "no", "off", "0", "n", "f"), False),
}


def bare(text: str) -> str:
    """The value of a variable without blanks and without the quotes that env files may keep."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def normalized(value: Any, kind: Any) -> Any:
    """The value as a field of this type expects it; an unsuitable value is returned unchanged."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *marks = get_args(kind)
        return value if VERBATIM in marks else normalized(value, inner)
    if origin in (Union, UnionType):
        for choice in get_args(kind):
            if choice is not NoneType:
                value = normalized(value, choice)
        return value
    if origin is Literal:
        return _chosen(value, get_args(kind))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _chosen(value, tuple(word.value for word in kind))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return fields_normalized(value, kind)
    if origin is dict and isinstance(value, dict):
        of_keys, of_values = get_args(kind)
        return {normalized(k, of_keys): normalized(v, of_values) for k, v in value.items()}
    if origin in (list, tuple) and isinstance(value, list):
        return [normalized(item, get_args(kind)[0]) for item in value]
    if origin is list:  # a single entry without brackets
        return normalized(value, get_args(kind)[0])
    return _plain(value, kind)


def fields_normalized(table: Any, shape: type) -> Any:
    """The values of a table, each as the field with that name or alias expects it."""
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
        return str(value).lower()  # `true` is no number, although bool is a subclass of int
    return value.strip() if isinstance(value, str) else value


def _chosen(value: Any, choices: tuple[Any, ...]) -> Any:
    if not isinstance(value, str):
        return value
    same = (c for c in choices if isinstance(c, str) and c.lower() == value.strip().lower())
    return next(same, value)


# Kinds of values in `monitor.toml`: durations, money, names, URLs.


MONEY_REMEDY = 'write dollars as "0.50": digits and a point, without a sign or a unit'
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NAME = re.compile(r"[a-z0-9_.-]{1,64}")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_LONGEST = timedelta(days=36_500)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def duration(value: object) -> timedelta:
    """`30s`, `5m`, `1h30m`; a bare number is rejected because its unit is unknown."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        written = "".join(value.split()).lower()
        parts = _DURATION.findall(written)
        if parts and "".join(n + u for n, u in parts) == written:
            seconds = sum(float(n) * _SECONDS[u] for n, u in parts)
            if seconds > _LONGEST.total_seconds():
                raise ValueError(f"a duration is at most {_LONGEST.days}d")
            return timedelta(seconds=seconds)
    raise ValueError('write a duration such as "30s", "5m" or "1h30m"')


def positive(value: timedelta) -> timedelta:
    """The duration. Raises ValueError for one of zero length."""
    if value <= timedelta(0):
        raise ValueError("must be greater than zero")
    return value


def _at_least_a_second(value: timedelta) -> timedelta:
    if value < timedelta(seconds=1):
        raise ValueError("must be at least 1s")
    return value


def _money(value: object) -> object:
    if isinstance(value, str):
        try:
            Decimal(value)
        except InvalidOperation:
            raise ValueError(MONEY_REMEDY) from None
    return value


def _no_reference(value: str) -> str:
    """The value; rejects `${NAME}`, which is replaced in headers and channels only."""
    if "${" in value:
        raise ValueError(
            "${NAME} is replaced in headers and channels only: write the value itself, or set it "
            "by its variable, MONITOR_<SECTION>__<KEY>"
        )
    return value


def not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _listening_host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError('write an address or a host name without port, such as "127.0.0.1"')
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("use 1 to 64 of a-z, 0-9, _ . -")
    return value


def host_and_port(value: str) -> SplitResult:
    """The parts of a complete http(s) address. Raises ValueError without the value."""
    remedy = "write a whole address, such as https://rag.example.com"
    _no_reference(value)
    try:
        parts = urlsplit(value)
        port = parts.port  # raises for a port that is no number
    except ValueError:
        raise ValueError(f"the address cannot be read; {remedy}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(remedy)
    if port == 0:
        raise ValueError("there is no port 0")
    if _BLANK.search(value):
        raise ValueError(
            "an address must not contain spaces or control characters: write a space as %20"
        )
    return parts


def _proxy_url(value: str) -> str:
    form = "write a proxy as http://proxy:3128 or http://user:password@proxy:3128"
    scheme, found, _ = value.partition("://")
    if not found or scheme.lower() != "http":
        raise ValueError(f"only proxies at http:// addresses are supported: {form}")
    parts = host_and_port(value)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"a proxy address must end after the port: {form}")
    return value.rstrip("/")


def http_url(value: str) -> str:
    parts = host_and_port(value)
    if parts.username or parts.password:
        raise ValueError("an address must not contain credentials: put them into headers")
    if (parts.hostname or "").startswith("169.254.") or parts.hostname == (
        "metadata.google.internal"
    ):
        raise ValueError("a cloud metadata address cannot be a target")
    return value.rstrip("/")


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        same = (zone for zone in available_timezones() if zone.lower() == value.lower())
        found = next(same, None)
        if found is None:
            raise ValueError('write a zone of the tz database, such as "Europe/Rome"') from None
        return found
    return value


def _clock(value: object) -> object:
    if isinstance(value, time):
        return value
    if isinstance(value, str) and (match := _CLOCK.fullmatch(value.strip())):
        return time(int(match[1]), int(match[2]))
    raise ValueError('write a time of day such as "09:00"')


Duration = Annotated[timedelta, BeforeValidator(duration), AfterValidator(positive)]
Interval = Annotated[Duration, AfterValidator(_at_least_a_second)]
Money = Annotated[
    Decimal, BeforeValidator(_money), Field(gt=0, le=1_000_000_000, allow_inf_nan=False)
]
Plain = Annotated[str, AfterValidator(not_blank), AfterValidator(_no_reference)]
ListeningHost = Annotated[str, AfterValidator(_listening_host)]
SlugName = Annotated[str, AfterValidator(_name)]
ProxyUrl = Annotated[str, AfterValidator(_proxy_url)]
HttpUrl = Annotated[str, AfterValidator(http_url)]
Zone = Annotated[str, AfterValidator(_zone)]
ClockTime = Annotated[time, BeforeValidator(_clock)]
