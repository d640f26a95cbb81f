"""Rows of a backtest: JSON Lines, parsed, validated, and converted to what rules judge."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from monitor.domain import Identity, Outcome, Sample

NAMELESS = "backtest"  # the target of rows that name none
DISORDER = timedelta(minutes=5)  # rows may be out of order by this much

_DECODER = json.JSONDecoder()
_MOST = 10**9  # dollars or milliseconds of one row
_SLOTS = 64  # rounds in progress at once, over all targets
_ERRORS = {
    "timeout": Outcome.TIMEOUT_FIRST_TOKEN,
    "http_429": Outcome.RATE_LIMITED,
    "http_503": Outcome.UNAVAILABLE,
} | {outcome.value: outcome for outcome in Outcome}


class BadBacktestRow(ValueError):
    """A row that cannot be replayed: its line, what is wrong, and the remedy."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")


class BacktestRow(NamedTuple):
    """One row of a replay: money spent at an instant and, if it was a probe, its sample."""

    at: datetime
    target: str
    cost_usd: Decimal | None
    sample: Sample | None
    margin_usd: Decimal = Decimal(0)  # the additional maximum if its model is unknown


def rows(lines: Iterable[str], identity: Callable[[str], Identity]) -> Iterator[BacktestRow]:
    """Read rows in order of `ts`; `identity` judges a model's name. Raises BadBacktestRow."""
    judged = lru_cache(maxsize=256)(identity)
    slots: dict[tuple[str, str | int], datetime] = {}
    newest = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _row(_record(line), number, slots=slots, identity=judged)
        except ValueError as wrong:
            raise BadBacktestRow(number, str(wrong)) from None
        if newest is not None and row.at < newest:
            if newest - row.at > DISORDER:
                raise BadBacktestRow(
                    number, f"ts: {row.at} comes after {newest}; sort the rows by ts"
                )
            row = row._replace(at=newest)
        newest = row.at
        yield row


def _record(line: str) -> Mapping[str, Any]:
    text = line.strip()
    try:
        record, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        record, end = None, 0
    if type(record) is not dict or end != len(text):
        raise ValueError(f"not a JSON object: {text[:60]!r}; write one object per line")
    return record


def _row(
    record: Mapping[str, Any],
    number: int,
    *,
    slots: dict[tuple[str, str | int], datetime],
    identity: Callable[[str], Identity],
) -> BacktestRow:
    at = _instant(record.get("ts"))
    target = _text(record, "target") or NAMELESS
    cost = _usd(record.get("cost_usd"))
    kind = record.get("kind")
    if kind == "usage":
        return BacktestRow(at, target, cost, None)
    if kind != "probe":
        raise ValueError(f'kind: {kind!r}; write "probe" or "usage"')
    query, model = _text(record, "query"), _text(record, "model")
    if query is None:
        raise ValueError("query: missing; a probe names its canned query")
    sample = Sample(
        id=UUID(int=number),
        at=at,
        round=_slot(target, record.get("sweep"), at=at, slots=slots),
        query=query,
        outcome=_outcome(record),
        ttft_ms=_ms(record.get("ttft_ms")),
        identity=_identity(record, model, identity),
        model=model,
        cost_usd=cost,
    )
    return BacktestRow(at, target, cost, sample)


def _instant(value: object) -> datetime:
    try:
        at = datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        at = None
    if at is None or at.tzinfo is None or not 2000 <= at.year < 2200:
        raise ValueError(f"ts: {value!r}; write an instant such as 2026-03-02T12:00:00.000Z")
    return at if at.tzinfo is UTC else at.astimezone(UTC)


def _text(record: Mapping[str, Any], key: str) -> str | None:
    value = record.get(key)
    if value is None or type(value) is str:
        return value or None
    raise ValueError(f"{key}: {value!r}; write a text or null")


def _usd(value: object) -> Decimal | None:
    if value is None:
        return None
    try:
        usd = Decimal(value if type(value) is str else str(value))
    except InvalidOperation:
        usd = Decimal(-1)
    if type(value) is bool or not (usd.is_finite() and 0 <= usd < _MOST):
        raise ValueError(f'cost_usd: {value!r}; write dollars such as "0.000950", or null')
    return usd


def _ms(value: object) -> float | None:
    if value is None:
        return None
    if type(value) in (int, float) and 0 < value < _MOST:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise ValueError(f"ttft_ms: {value!r}; write milliseconds above 0, or null")


def _identity(
    record: Mapping[str, Any], model: str | None, judged: Callable[[str], Identity]
) -> Identity:
    """As the row says, else by the model's name."""
    reported = _text(record, "identity")
    if reported is None:
        return Identity.UNKNOWN if model is None else judged(model)
    try:
        return Identity(reported)
    except ValueError:
        known = ", ".join(f'"{identity}"' for identity in Identity)
        raise ValueError(f"identity: {reported!r}; write one of {known}, or null") from None


def _slot(
    target: str, sweep: object, *, at: datetime, slots: dict[tuple[str, str | int], datetime]
) -> datetime:
    """When the round began, which all its samples share."""
    if type(sweep) not in (int, str):
        raise ValueError(f"sweep: {sweep!r}; write a value that all probes of a round share")
    key = (target, sweep)
    if key not in slots:
        slots[key] = at  # type: ignore[index]
        if len(slots) > _SLOTS:
            del slots[next(iter(slots))]
    return slots[key]  # type: ignore[index]


def _outcome(record: Mapping[str, Any]) -> Outcome:
    ok, error = record.get("ok"), _text(record, "error")
    if ok is True:
        return Outcome.ANSWERED
    if ok is not False:
        raise ValueError(f"ok: {ok!r}; write true or false")
    if error is not None and error.startswith("http_") and error not in _ERRORS:
        return Outcome.HTTP_STATUS
    return _ERRORS.get(error or "", Outcome.ERROR_EVENT)
