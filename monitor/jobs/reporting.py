"""The report: what the database found, put together into the page that reports show."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from monitor import __version__
from monitor.reports import data
from monitor.reports.spread import bins
from monitor.rules import DailySpend, Fallback, Ttft
from monitor.settings import Settings
from monitor.store import Database, reports
from monitor.store.reports import Found, Span

_OF_TARGETS = ("steps", "judged", "models", "figures", "spread", "costs", "rounds", "phases",
               "ended", "health")  # fmt: skip
_MONEY = frozenset({"spend", "probe_budget"})  # rules whose values are exact


async def page(
    database: Database, settings: Settings, *, length: timedelta | None, now: datetime
) -> data.Page:
    """Everything of the span that ends now, one transaction long. Raises Away.

    Without a length: since the first round there is.
    """
    ttft, fallback = settings.rules.get("ttft"), settings.rules.get("fallback")
    spend = settings.rules.get("spend")
    limit_ms = ttft.limit_ms if isinstance(ttft, Ttft) else None
    every = min(target.every for target in settings.targets.values())
    async with database.begin() as connection:
        zone = await reports.zone(connection)
        if length is None:
            length = now - (await reports.first(connection) or now) + every
        apart = await reports.cadence(connection, since=now - length, until=now)
        every = max(every, apart or every)
        span = reports.span(now, length, every=every, zone=zone)
        found = await reports.found(connection, span, targets=settings.targets, limit_ms=limit_ms)
    each = _by_target(found)
    names = dict.fromkeys((*settings.targets, *sorted({item.target for item in found.figures})))
    return data.Page(
        version=__version__,
        made_at=now,
        since=span.since,
        until=span.until,
        zone=zone,
        targets=tuple(_watched(each(name), span, name, limit_ms) for name in names),
        spend=tuple(data.DaySpend(**item._asdict()) for item in found.spend),
        spend_limit_usd=spend.limit_usd if isinstance(spend, DailySpend) else None,
        fallback_limit=fallback.limit if isinstance(fallback, Fallback) else None,
        incidents=tuple(_told(item) for item in found.incidents),
    )


def _by_target(found: Found) -> Callable[[str], Found]:
    """What was found, one target at a time; every row is looked at once."""
    split: dict[str, dict[str, list[Any]]] = {}
    for part in _OF_TARGETS:
        split[part] = defaultdict(list)
        for item in getattr(found, part):
            split[part][item.target].append(item)
    return lambda name: replace(found, **{part: rows[name] for part, rows in split.items()})


def _watched(found: Found, span: Span, name: str, limit_ms: float | None) -> data.Watched:
    whole = next((item for item in found.figures if item.query is None), None)
    outcomes = Counter[str]()
    for item in found.ended:
        outcomes[item.outcome] += item.probes
    return data.Watched(
        name=name,
        limit_ms=limit_ms,
        step=span.step,
        probes=whole.probes if whole else 0,
        answered=whole.good if whole else 0,
        failed=whole.bad if whole else 0,
        p50_ms=whole.p50_ms if whole else None,
        p90_ms=whole.p90_ms if whole else None,
        over_limit=whole.over_limit if whole else None,
        known=sum(item.expected + item.fallback for item in found.judged),
        fell=sum(item.fallback for item in found.judged),
        ttft=tuple(_points(found)),
        judged=tuple(data.Judged(**_without_target(item)) for item in found.judged),
        tried=tuple(_tried(found)),
        served=tuple(data.Served(**_without_target(item)) for item in found.models),
        bins=bins([(item.ms, item.identity, item.samples)
                   for item in found.spread], limit_ms),
        queries=tuple(_queries(found)),
        costs=tuple(data.QueryCost(**_without_target(item)) for item in found.costs),
        outcomes=tuple(outcomes.most_common()),
        quality=_quality(found),
        health=_health(found),
    )  # fmt: skip


def _without_target(item: reports.Judged | reports.Model | reports.Cost) -> dict[str, Any]:
    return {key: value for key, value in item._asdict().items() if key != "target"}


def _points(found: Found) -> Iterator[data.TtftPoint]:
    """Where several regions ask, each has a line of its own: their latencies differ."""
    several = len({item.region for item in found.steps}) > 1
    for item in found.steps:
        if item.p50_ms is None or item.p90_ms is None or item.worst_ms is None:
            continue
        yield data.TtftPoint(
            query=f"{item.query} · {item.region}" if several else item.query,
            at=item.at, p50_ms=item.p50_ms, p90_ms=item.p90_ms, worst_ms=item.worst_ms,
            samples=item.samples,
        )  # fmt: skip


def _tried(found: Found) -> Iterator[data.Tried]:
    good, bad = Counter[datetime](), Counter[datetime]()
    for item in found.steps:
        good[item.at] += item.good
        bad[item.at] += item.bad
    yield from (data.Tried(at=at, good=good[at], bad=bad[at]) for at in sorted(good))


def _queries(found: Found) -> Iterator[data.QueryFigures]:
    phases = {item.query: item for item in found.phases}
    for item in found.figures:
        if item.query is not None:
            spent = phases.get(item.query)
            yield data.QueryFigures(
                query=item.query, probes=item.probes, answered=item.good, p50_ms=item.p50_ms,
                p90_ms=item.p90_ms, p99_ms=item.p99_ms, worst_ms=item.worst_ms,
                over_limit=item.over_limit,
                dns_ms=spent.dns_ms if spent else None, tcp_ms=spent.tcp_ms if spent else None,
                tls_ms=spent.tls_ms if spent else None, head_ms=spent.head_ms if spent else None,
                text_ms=spent.text_ms if spent else None,
            )  # fmt: skip


def _quality(found: Found) -> data.Quality:
    rounds = next(iter(found.rounds), None)
    lags = [item.worst_lag_ms for item in found.ended if item.worst_lag_ms is not None]

    def timed_by(stamp: str) -> int:
        return sum(item.probes for item in found.ended if item.stamp == stamp)

    return data.Quality(
        kernel=timed_by("kernel"),
        user=timed_by("user"),
        degraded=timed_by("degraded"),
        worst_lag_ms=max(lags, default=None),
        rounds_expected=rounds.expected if rounds else None,
        rounds_missed=rounds.missed if rounds else None,
    )


def _health(found: Found) -> data.Statement | None:
    said = next(iter(found.health), None)
    if said is None:
        return None
    parts = ["no answer" if said.status is None else f"HTTP {said.status}"]
    parts += [f"{key} is {_word(value)}" for key, value in said.facts.items()]
    parts += [f"not met: {text}" for text in said.unmet]
    return data.Statement(
        healthy=said.healthy, since=said.since, checked_at=said.checked_at,
        says=" · ".join(parts), contradiction=_sentence(said.contradiction),
    )  # fmt: skip


def _sentence(words: str | None) -> str | None:
    return words and f"{words[:1].upper()}{words[1:]}."


def _word(value: object) -> str:
    if value is None:
        return "absent"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _told(item: reports.Told) -> data.Told:
    def value(given: Decimal | None) -> float | Decimal | None:
        return given if given is None or item.rule in _MONEY else float(given)

    return data.Told(**item._asdict() | {"peak": value(item.peak), "limit": value(item.limit)})
