"""A burst: a few more probes while a change of model or vanished sources are suspected."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple

from monitor.dialects import dialect_of
from monitor.domain import Observation, Query, Target
from monitor.identity.fingerprint.tracker import BURST
from monitor.rules import RetrievalRule, Rule, rule_of
from monitor.rules.source_losses import query_to_confirm
from monitor.storage import Database, DatabaseUnavailable, fingerprints, incident_rows
from monitor.storage.stored_rows import latest_retrieved

PAUSE = timedelta(minutes=1)  # between the probes of a burst
REMEMBERED = timedelta(hours=1)  # that a query never has sources


class ExtraProbe(NamedTuple):
    """A query to ask again. `confirms`: that it has no sources; else a change of model."""

    query: Query
    confirms: bool


@dataclass(slots=True)
class SourcelessQueries:
    """The queries of targets whose answers of the last day had no sources: not asked for again.

    For an hour, because another worker or region may get sources; at once if this worker does.
    """

    until_s: dict[tuple[str, str], float] = field(default_factory=dict)  # monotonic

    def suspects(self, target: str, seen: Sequence[Observation]) -> list[str]:
        """The queries whose good answer in this round has no sources, although some may have."""
        for one in seen:
            if one.source_count:
                self.until_s.pop((target, one.query), None)
        now_s = time.monotonic()
        return [
            one.query
            for one in seen
            if one.outcome.good
            and not one.source_count
            and self.until_s.get((target, one.query), 0.0) <= now_s
        ]

    def note(self, target: str, queries: Collection[str]) -> None:
        """These had no sources for a day."""
        until_s = time.monotonic() + REMEMBERED.total_seconds()
        self.until_s.update(((target, query), until_s) for query in queries)


async def burst(
    database: Database,
    target: Target,
    ask: Callable[[ExtraProbe], Awaitable[bool]],
    *,
    rules: Mapping[str, Rule] = MappingProxyType({}),
    seen: Sequence[Observation] = (),
    memory: SourcelessQueries | None = None,
    pause: timedelta = PAUSE,
) -> int:
    """Up to four probes, a minute apart, while something is suspected; returns how many.

    `seen`: the answers of the round. `memory`: the queries that never have sources. If `rules`
    judge their sources, and one query unusually has none, it is asked; else all in turn. `ask`
    sends one probe of origin "burst", stores it, and returns False if no further one may be sent:
    the budget is used up, the service asks to wait, or the worker stops. Targets probed every
    minute or more often need none.
    """
    if target.every <= pause:
        return 0
    rule = rule_of(rules, RetrievalRule)
    memory = SourcelessQueries() if memory is None else memory
    may_lose = rule is not None and not dialect_of(target).never_lists_sources
    without = memory.suspects(target.name, seen) if may_lose else []
    requested = 0
    while requested < BURST and await _wanted(database, target, rule, without, memory, requested):
        await asyncio.sleep(pause.total_seconds())
        # Another worker may have reported it meanwhile.
        extra = await _wanted(database, target, rule, without, memory, requested)
        if extra is None or not await ask(extra):
            break
        requested += 1
    return requested


async def _wanted(
    database: Database,
    target: Target,
    rule: RetrievalRule | None,
    without: Sequence[str],
    memory: SourcelessQueries,
    requested: int,
) -> ExtraProbe | None:
    """The next extra probe; None if nothing is suspected, or the database is away."""
    try:
        async with database.begin() as connection:
            if rule is not None and without:
                # The extra probes end a minute before the next round begins.
                most = min(rule.confirmations, target.every // PAUSE - 1)
                latest = await latest_retrieved(
                    connection, target.name, without, of=len(target.queries)
                )
                memory.note(target.name, set(without) - latest.keys())
                confirmed = query_to_confirm(
                    latest,
                    answers=rule.answers,
                    rounds=rule.rounds,
                    most=most,
                )
                if confirmed is not None:
                    open_ = await incident_rows.open_scopes(connection, (rule.name,))
                    if target.name not in open_:
                        query = next(one for one in target.queries if one.id == confirmed)
                        return ExtraProbe(query, confirms=True)
            state = await fingerprints.state(connection, target.name)
    except DatabaseUnavailable:
        return None
    if state is None or state.track is None or not state.track.wants_more:
        return None
    return ExtraProbe(target.queries[requested % len(target.queries)], confirms=False)
