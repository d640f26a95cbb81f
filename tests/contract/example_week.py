"""A week across a change of the clock, a month end and a change of prices, and what they say.

The answers are computed here from the rows themselves, in Python: no view, no SQL, no code of
`monitor.pricing`. All days are days of Europe/Rome, where the clock went back on 26 October 2025.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5
from zoneinfo import ZoneInfo

from monitor.domain import CostSource, Identity, Observation, StampSource
from tests.contract.past_day import RAG, failed, fell_at, row_at
from tests.example_data import HAIKU, LLAMA

ROME = ZoneInfo("Europe/Rome")
HOUR, EVERY, SLICE = timedelta(hours=1), timedelta(hours=4), timedelta(minutes=5)
FIRST = datetime(2025, 10, 25, 16, tzinfo=UTC)
CHANGED_AT = datetime(2025, 10, 28, 12, tzinfo=UTC)  # prices, in the middle of a day
NOW = datetime(2025, 11, 1, 11, 30, tzinfo=UTC)  # a Saturday
GAP = (datetime(2025, 10, 30, 4, tzinfo=UTC), datetime(2025, 10, 30, 8, tzinfo=UTC))
KEPT_SINCE = datetime(2025, 10, 28, 23, tzinfo=UTC)  # raw rows before this go: a midnight
REGIONS = {"fra": "w1", "sin": "w2"}
EXPECTED_USD, FALLBACK_USD = Decimal("0.0002"), Decimal("0.0021")  # where a day shows none
MISSED = {  # (round, region): why
    (GAP[0], "fra"): "the probe budget is spent",
    (GAP[0], "sin"): None,  # the worker died
    (GAP[1], "sin"): "the service asked for patience",
}
DEAD = "the worker stopped before the round was finished"
OLD = {"input": "0.20", "output": "0.20"}
NEW = {"input": "0.25", "output": "0.35"}
DEAR = {"input": "1.00", "output": "5.00"}
PLACES = Decimal("0.000000000001")

Row = tuple[Any, ...]


def rounds() -> Iterator[tuple[int, datetime]]:
    number, slot = 0, FIRST
    while slot < NOW:
        if slot not in GAP:
            yield number, slot
        number, slot = number + 1, slot + EVERY


def rows() -> list[Observation]:
    """What was stored, in time or late."""
    return [
        _one(number + place, slot, query, region=region, worker=worker)
        for number, slot in rounds()
        for place, (region, worker) in enumerate(REGIONS.items())
        for query in ("hi", "kbli")
    ]


def late() -> list[Observation]:
    """Rows that arrive after their hours were rolled up: beside midnights, and far back."""
    where = {"region": "fra", "worker": "w1", "origin": "burst"}
    midnight = datetime(2025, 10, 25, 22, tzinfo=UTC)
    return [
        _one(5, midnight, "hi", **where), _one(6, midnight + HOUR, "kbli", **where),
        _one(7, datetime(2025, 10, 31, 22, 59, 59, 999999, tzinfo=UTC), "hi", **where),
        _one(8, datetime(2025, 10, 31, 23, tzinfo=UTC), "hi", **where),
    ]  # fmt: skip


def _one(number: int, slot: datetime, query: str, **where: Any) -> Observation:
    """By its number: the fallback, a failure, an unknown model, a probe by hand, no tokens."""
    rates = NEW if slot >= CHANGED_AT else OLD
    prompt, answer = 700 + 13 * number, 90 + 7 * number + 31 * len(query)
    ordinary: dict[str, Any] = {
        "prompt_tokens": prompt, "answer_tokens": answer, "rates": rates,
        "ttft_ms": 480.0 + (number * 53 % 700) + 0.125 * len(query),
        "cost_usd": _usd(prompt, answer, rates), **where,
        "id": uuid5(NAMESPACE_OID, f"{slot} {query} {where}"),
    }  # fmt: skip
    match number % 17:
        case 4:
            dear = {
                "ttft_ms": 1900.5 + number,
                "rates": DEAR,
                "cost_usd": _usd(prompt, answer, DEAR),
            }
            return fell_at(slot, query, **ordinary | dear)
        case 6:
            return failed(slot, query, **where, id=ordinary["id"])
        case 9:
            unknown = {
                "identity": Identity.UNKNOWN, "model_detected": None, "cost_usd": None,
                "cost_source": None, "cost_reason": "the model is unknown", "rates": {},
                "cost_low_usd": _usd(prompt, answer, rates),
                "cost_high_usd": _usd(prompt, answer, DEAR),
            }  # fmt: skip
            return row_at(slot, query, **ordinary | unknown)
        case 11:
            by_hand = {"origin": "manual", "cost_usd": Decimal("0.000777777777"),
                       "cost_source": CostSource.PROVIDER}  # fmt: skip
            return row_at(slot, query, **ordinary | by_hand)
        case 13:
            return row_at(slot, query, **ordinary | {"answer_tokens": None})
        case 15:
            nothing = {
                "cost_usd": None,
                "cost_source": None,
                "cost_reason": "no price",
                "rates": {},
            }
            return row_at(slot, query, **ordinary | nothing)
        case 2:
            return row_at(slot, query, **ordinary | {"stamp": StampSource.DEGRADED})
    return row_at(slot, query, **ordinary)


def _usd(prompt: int, answer: int, rates: dict[str, str]) -> Decimal:
    return (prompt * Decimal(rates["input"]) + answer * Decimal(rates["output"])) / 1_000_000


def places(value: Decimal | None) -> Decimal | None:
    """As NUMERIC(20,12) keeps it."""
    return None if value is None else value.quantize(PLACES, ROUND_HALF_UP)


def ratio(above: Decimal | int, below: Decimal | int) -> Decimal | None:
    return Decimal(above) / Decimal(below) if below else None


def day_of(at: datetime) -> date:
    return at.astimezone(ROME).date()


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), ROME).astimezone(UTC)


def grouped(rows: Iterable[Observation], key: Callable[[Observation], Any]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return dict(sorted(found.items(), key=lambda item: tuple((v is None, v) for v in item[0])))


def total(values: Iterable[Decimal | None]) -> Decimal:
    return sum((value for value in values if value is not None), Decimal(0))


def percentile(values: Iterable[float], share: float) -> float | None:
    """`percentile_cont`: between two neighbours in proportion."""
    ranked = sorted(values)
    if not ranked:
        return None
    place = share * (len(ranked) - 1)
    low = int(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (place - low) * (ranked[high] - ranked[low])


def heard(row: Observation) -> bool:
    return row.origin != "manual" and (row.pieces > 0 or row.identity != "unknown")


def judged(row: Observation) -> bool:
    return row.ttft_ms is not None and row.stamp != "degraded"


def unpriced(row: Observation) -> bool:
    return row.pieces > 0 and row.cost_usd is None and row.cost_high_usd is None


def per_token(row: Observation) -> bool:
    return None not in (row.cost_usd, row.prompt_tokens, row.answer_tokens)


def tokens(row: Observation) -> int:
    return (row.prompt_tokens or 0) + (row.answer_tokens or 0)


def listed(row: Observation) -> Decimal | None:
    if "input" not in row.rates or "output" not in row.rates:
        return None
    return _usd(row.prompt_tokens or 0, row.answer_tokens or 0, dict(row.rates))


def recent(rows: Sequence[Observation], days: int) -> list[Observation]:
    return [row for row in rows if row.slot >= NOW - timedelta(days=days)]


# --- the fifteen answers ------------------------------------------------------------------------


def cost_by_model(rows: Sequence[Observation]) -> list[Row]:
    return [
        (*key, total(r.cost_usd for r in of), any(map(unpriced, of)))
        for key, of in grouped(rows, lambda r: (day_of(r.slot), r.target, r.model_detected)).items()
    ]


def fallback_share(rows: Sequence[Observation]) -> list[Row]:
    """Gaps included: an hour without probes has NULL."""
    found = []
    hour = min(r.slot for r in rows if r.origin != "manual")
    while hour < NOW:
        if hour >= NOW - timedelta(days=7):
            of = [r for r in rows if hour <= r.slot < hour + HOUR]
            known = sum(heard(r) and r.identity in ("expected", "fallback") for r in of)
            fell = sum(heard(r) and r.identity == "fallback" for r in of)
            share = fell / known if known else None
            found.append((hour, "rag", known, fell, share) if of else (hour, "rag", *[None] * 3))
        hour += HOUR
    return found


def daily_percentiles(rows: Sequence[Observation]) -> list[Row]:
    of = [r for r in recent(rows, 7) if judged(r) and r.origin != "manual"]
    return [
        (*key, len(seen), *(percentile([r.ttft_ms for r in seen], p) for p in (0.5, 0.95)))
        for key, seen in grouped(of, lambda r: (day_of(r.slot), r.target, r.query)).items()
    ]


def cost_per_1k(rows: Sequence[Observation]) -> list[Row]:
    found = []
    for key, of in grouped(filter(per_token, rows), lambda r: (r.target, r.model_detected)).items():
        known = [r for r in of if listed(r) is not None]
        found.append((
            *key, len(of),
            places(ratio(total(r.cost_usd for r in of) * 1000, sum(map(tokens, of)))),
            places(ratio(total(map(listed, known)) * 1000, sum(map(tokens, known)))),
        ))  # fmt: skip
    return found


def saved_this_month(rows: Sequence[Observation]) -> list[Row]:
    spent = saved = extra = Decimal(0)
    of = [r for r in rows if r.outcome == "answered" and r.cost_usd is not None]
    for (day,), priced in grouped(of, lambda r: (day_of(r.slot),)).items():
        if (day.year, day.month) != (NOW.year, NOW.month):
            continue
        cost = total(r.cost_usd for r in priced)
        expected, fallback = (
            ratio(total(r.cost_usd for r in like), len(like)) or projected
            for like, projected in (
                ([r for r in priced if r.identity == "expected"], EXPECTED_USD),
                ([r for r in priced if r.identity == "fallback"], FALLBACK_USD),
            )
        )
        spent += cost
        saved += places(fallback * len(priced) - cost)
        extra += places(cost - expected * len(priced))
    return [("rag", spent, saved, extra)]


def hours_without_data(rows: Sequence[Observation]) -> list[Row]:
    """Of hours in which a round was due; what a person probed by hand is no round."""
    asked_at = {(r.slot, r.region) for r in rows if r.origin != "manual"}
    due = [FIRST + n * EVERY for n in range((NOW - FIRST) // EVERY + 1)]
    return [
        (slot, "rag", region, 1, MISSED.get((slot, region), "no worker took a round") or DEAD)
        for slot in due
        for region in REGIONS
        if slot >= NOW - timedelta(days=7) and (slot, region) not in asked_at
    ]


def by_worker(rows: Sequence[Observation]) -> list[Row]:
    return [
        (*key, len(of), sum(r.outcome != "answered" for r in of),
         percentile([r.ttft_ms for r in of if judged(r)], 0.5), total(r.cost_usd for r in of))
        for key, of in grouped(recent(rows, 7), lambda r: (r.region, r.worker)).items()
    ]  # fmt: skip


def latest_answers(rows: Sequence[Observation]) -> list[Row]:
    def order(row: Observation) -> tuple[timedelta, str, UUID]:
        return NOW - row.started_at, row.query, row.id

    return [
        (r.started_at, r.query, r.model_detected, r.prompt_tokens, r.answer_tokens, r.cost_usd,
         *(places(ratio(usd * 1000, tokens(r))) if (usd := amount) is not None else None
           for amount in (r.cost_usd, listed(r))),
         places(ratio(r.cost_usd or 0, tokens(r))))
        for r in sorted(filter(per_token, rows), key=order)[:10]
    ]  # fmt: skip


def spent_days(rows: Sequence[Observation]) -> dict[date, tuple[Decimal, Decimal, Decimal, bool]]:
    """By day: probes and traffic at the low end, both at the high end, and whether it is all."""
    return {
        day: _spent(day, of) for (day,), of in grouped(rows, lambda r: (day_of(r.slot),)).items()
    }


def _spent(day: date, rows: Sequence[Observation]) -> tuple[Decimal, Decimal, Decimal, bool]:
    begins, ends = midnight(day), midnight(day + timedelta(days=1))
    probes = total(r.cost_usd if r.cost_usd is not None else r.cost_low_usd for r in rows)
    high = total(r.cost_usd if r.cost_usd is not None else r.cost_high_usd for r in rows)
    at_least = any(map(unpriced, rows))
    served = [_serving(r for r in rows if begins <= r.slot < begins + SLICE)]
    at, slices = begins, {}
    while at < min(NOW, ends):
        slices[at] = _serving(r for r in rows if at <= r.slot < at + SLICE)
        at += SLICE
    last = next((shares for shares in slices.values() if shares), served[0])
    traffic = Decimal(0)
    for shares in slices.values():
        last = shares or last
        answers = sum(count for count, *_ in last)
        queries = (
            Decimal(RAG.daily_queries)
            * (SLICE // HOUR.resolution)
            / ((ends - begins) // HOUR.resolution)
        )
        for count, low_usd, high_usd, floor in last:
            low, top = (_share(usd, queries, count, answers) for usd in (low_usd, high_usd))
            traffic, high = traffic + low, high + top
            at_least |= floor
    return probes, traffic, high + 0, at_least


def _share(mean: Decimal, queries: Decimal, count: int, answers: int) -> Decimal:
    return (mean * queries * count / answers).quantize(PLACES, ROUND_HALF_EVEN)


def _serving(rows: Iterable[Observation]) -> list[tuple[int, Decimal, Decimal, bool]]:
    """Of each model that answered: answers, mean cost at both ends, and whether a price lacks."""
    found = []
    for of in grouped(rows, lambda r: (r.model_detected, r.cost_high_usd is not None)).values():
        whole = [r for r in of if r.outcome == "answered"]
        if not whole:
            continue
        low = [r.cost_usd if r.cost_usd is not None else r.cost_low_usd for r in whole]
        high = [r.cost_usd if r.cost_usd is not None else r.cost_high_usd for r in whole]
        known = sum(usd is not None for usd in low)
        found.append((
            len(whole), ratio(total(low), known) or Decimal(0),
            ratio(total(high), known) or Decimal(0),
            any(map(unpriced, of)) or not known,
        ))  # fmt: skip
    return found


def this_week_and_last(rows: Sequence[Observation]) -> list[Row]:
    weeks: dict[date, list[Any]] = {}
    this = day_of(NOW) - timedelta(days=day_of(NOW).weekday())
    for day, (probes, traffic, _, at_least) in spent_days(rows).items():
        week = day - timedelta(days=day.weekday())
        if week >= this - timedelta(days=7):
            kept = weeks.setdefault(week, [0, Decimal(0), False])
            kept[:] = [kept[0] + 1, kept[1] + probes + traffic, kept[2] or at_least]
    return [(week, *kept) for week, kept in sorted(weeks.items())]


def cost_per_day(rows: Sequence[Observation]) -> list[Row]:
    return [
        (day, "rag", probes, traffic, probes + traffic, high, at_least)
        for day, (probes, traffic, high, at_least) in spent_days(rows).items()
    ]


def price_changes(rows: Sequence[Observation]) -> list[Row]:
    def key(row: Observation) -> tuple[Any, ...]:
        rates = (Decimal(row.rates[end]) / 1000 if end in row.rates else None
                 for end in ("input", "output"))  # fmt: skip
        return day_of(row.slot), row.model_detected, *rates

    found = [
        (*rates, min(r.slot for r in of), max(r.slot for r in of), len(of),
         total(r.cost_usd for r in of))
        for rates, of in grouped((r for r in rows if r.cost_usd is not None), key).items()
    ]  # fmt: skip
    return sorted(found, key=lambda row: (row[0], row[1] or "~", row[4]))


def forecast(rows: Sequence[Observation]) -> list[Row]:
    probes, traffic, _, at_least = spent_days(rows)[day_of(NOW)]
    begins = midnight(day_of(NOW))
    so_far, whole = probes + traffic, midnight(day_of(NOW) + timedelta(days=1)) - begins
    with localcontext(prec=50):
        by_end = so_far * (whole // HOUR.resolution) / ((NOW - begins) // HOUR.resolution)
    return [(so_far, NOW, places(by_end), at_least)]


assert (RAG.expected_models[0], RAG.fallback_models[0]) == (LLAMA, HAIKU)
