"""Dates of models for the calendar: announced ends, models that left the list, changed prices.

Source: table `model_listings`, which the job `model_polling` keeps.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby

from monitor import identity
from monitor.pricing.cost import TokenUse
from monitor.pricing.price_change import DailyUse, changed_rates, price_change
from monitor.rules.calendar import CalendarEntry, CalendarKind
from monitor.storage import Connection, calendar_rows, provider_models
from monitor.storage.calendar_rows import CalendarReading
from monitor.storage.provider_models import AnsweredTokens, StoredListing
from monitor.worker import model_polling
from monitor.worker.context import WorkerContext

KINDS = (CalendarKind.MODEL, CalendarKind.UNLISTED, CalendarKind.PRICE)
_DAY = timedelta(days=1)
_SOURCE = f"model list of {model_polling.PROVIDER}"


async def read(
    connection: Connection, context: WorkerContext, now: datetime
) -> list[CalendarReading]:
    """What the stored list says about the declared models; empty if no list is read."""
    if not model_polling.enabled(context.settings):
        return []
    models = model_polling.declared(context.settings)
    stored = await provider_models.stored_listings(connection, model_polling.PROVIDER)
    known = {
        (entry.kind, entry.model, entry.term): entry
        for entry in await calendar_rows.entries(connection)
    }
    found: dict[CalendarKind, list[CalendarEntry]] = {kind: [] for kind in KINDS}
    for entry, change in dates(one for one in stored if one.model in models):
        if entry.at <= now - calendar_rows.PAST:
            continue
        before = known.get((entry.kind, entry.model, entry.term))
        if change is not None and before is not None:  # as it was reported
            found[entry.kind].append(before)
        elif change is not None:
            uses = await _uses(connection, context, entry.model, now)
            found[entry.kind].append(_with_cost(entry, *change, uses))
        else:
            found[entry.kind].append(entry)
    return [
        CalendarReading(kind, model_polling.PROVIDER, entries) for kind, entries in found.items()
    ]


Rates = Mapping[str, str]


def dates(
    stored: Iterable[StoredListing],
) -> Iterator[tuple[CalendarEntry, tuple[Rates, Rates] | None]]:
    """The dates of each model, and of a changed price the rates before and after.

    `stored`: by model, each oldest first. A model that is missing from one reading alone is not
    reported: a list may be incomplete.
    """
    for model, group in groupby(stored, key=lambda one: one.model):
        rates: Rates | None = None
        rows = list(group)
        for row in rows:
            if row.listed_as is None:
                continue
            if rates and row.rates and changed_rates(rates, row.rates):
                yield _entry(CalendarKind.PRICE, model, row.at, term=row.at), (rates, row.rates)
            rates = row.rates or rates
        last = rows[-1]
        if last.listed_as is not None and last.expires_on is not None:
            end = datetime.combine(last.expires_on, time(0), UTC)
            what = "the provider stops offering the model"
            yield _entry(CalendarKind.MODEL, model, end, what, term=end), None
        if last.listed_as is None and last.checked_at > last.at and len(rows) > 1:
            what = "the provider no longer lists the model"
            yield _entry(CalendarKind.UNLISTED, model, last.at, what, term=last.at), None


def _entry(
    kind: CalendarKind, model: str, at: datetime, what: str = "", *, term: datetime
) -> CalendarEntry:
    return CalendarEntry(
        kind=kind,
        scope=model_polling.PROVIDER,
        model=model,
        at=at,
        what=what,
        source=_SOURCE,
        term=term.astimezone(UTC).isoformat(),
    )


def _with_cost(
    entry: CalendarEntry, before: Rates, after: Rates, uses: Sequence[DailyUse]
) -> CalendarEntry:
    return replace(entry, what=f"the list price changed: {price_change(before, after, uses)}")


# What a day of a model consists of: probes as in the last 24 hours, and the service's own traffic.


async def _uses(
    connection: Connection, context: WorkerContext, model: str, now: datetime
) -> list[DailyUse]:
    targets = {
        target.name: target
        for target in context.settings.targets.values()
        if model in model_polling.declared_by(target)
    }
    answered = await provider_models.answered_tokens(connection, list(targets), since=now - _DAY)
    every = {
        name: sum(one.answers for one in group)
        for name, group in groupby(answered, key=lambda one: one.target)
    }
    return [
        _use(one, of=every[one.target], daily_queries=targets[one.target].daily_queries)
        for one in answered
        if one.model is not None and identity.same(one.model, model)
    ]


def _use(answered: AnsweredTokens, *, of: int, daily_queries: int) -> DailyUse:
    """The service's own queries count in proportion to the probes that the model answered."""
    traffic = Decimal(daily_queries) * answered.answers / of
    each = TokenUse(
        prompt=answered.prompt,
        answer=answered.answer,
        cached=min(answered.cached, answered.prompt),
        written=min(answered.written, answered.prompt - min(answered.cached, answered.prompt)),
        reasoning=min(answered.reasoning, answered.answer),
    )
    return DailyUse(answered.answers + traffic, each)
