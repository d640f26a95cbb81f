"""A burst: a few more probes while a change of model or vanished sources are suspected."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple

from monitor.domain import Observation, Query, Target
from monitor.identity.fingerprint.tracker import BURST
from monitor.rules import RetrievalRule, Rule, rule_of
from monitor.rules.source_losses import query_to_confirm
from monitor.storage import Database, DatabaseUnavailable, fingerprints, incident_rows
from monitor.storage.stored_rows import latest_retrieved

PAUSE = timedelta(minutes=1)  # between the probes of a burst


class ExtraProbe(NamedTuple):
    """A query to ask again. `confirms`: that it has no sources; else a change of model."""

    query: Query
    confirms: bool


async def burst(
    database: Database,
    target: Target,
    ask: Callable[[ExtraProbe], Awaitable[bool]],
    *,
    rules: Mapping[str, Rule] = MappingProxyType({}),
    seen: Sequence[Observation] = (),
    pause: timedelta = PAUSE,
) -> int:
    """Up to four probes, a minute apart, while something is suspected; returns how many.

    `seen`: the answers of the round. If `rules` judge their sources, and one query unusually has
    none, it is asked; else all in turn. `ask` sends one probe of origin "burst", stores it, and
    returns False if no further one may be sent: the budget is used up, the service asks to wait, or
    the worker stops. Targets probed every minute or more often need none.
    """
    if target.every <= pause:
        return 0
    rule = rule_of(rules, RetrievalRule)
    without = [one.query for one in seen if one.outcome.good and not one.source_count]
    requested = 0
    while requested < BURST and await _wanted(database, target, rule, without, requested):
        await asyncio.sleep(pause.total_seconds())
        # Another worker may have reported it meanwhile.
        extra = await _wanted(database, target, rule, without, requested)
        if extra is None or not await ask(extra):
            break
        requested += 1
    return requested


async def _wanted(
    database: Database,
    target: Target,
    rule: RetrievalRule | None,
    without: Sequence[str],
    requested: int,
) -> ExtraProbe | None:
    """The next extra probe; None if nothing is suspected, or the database is away."""
    try:
        async with database.begin() as connection:
            if rule is not None and without:
                # The extra probes end a minute before the next round begins.
                most = min(rule.confirmations, target.every // PAUSE - 1)
                confirmed = query_to_confirm(
                    await latest_retrieved(connection, target.name, without),
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
