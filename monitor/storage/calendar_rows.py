"""The calendar in the database: what ends or changes, and which stages were reported."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Column, Integer, Table, Text, and_, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.rules.calendar import CalendarEntry, CalendarKind
from monitor.storage.tables import INSTANT, metadata

PAST = timedelta(days=7)  # how long an entry stays after its date

calendar_entries = Table(
    "calendar_entries",
    metadata,
    Column(
        "kind",
        Text,
        primary_key=True,
        comment="key, credit, certificate, model (announced end), unlisted or price",
    ),
    Column("scope", Text, primary_key=True, comment="target or provider"),
    Column("model", Text, primary_key=True, server_default="", comment="model; empty: none"),
    Column(
        "term",
        Text,
        primary_key=True,
        comment="tells dates of the same thing apart, such as of two certificates",
    ),
    Column("ends_at", INSTANT, nullable=False, comment="when it ends, or when it was changed"),
    Column("what", Text, nullable=False, comment="what happens then"),
    Column("source", Text, nullable=False, comment="where it was read"),
    Column("first_seen_at", INSTANT, nullable=False, server_default=func.now()),
    Column("seen_at", INSTANT, nullable=False, comment="when it was last read"),
    Column(
        "notified_days",
        Integer,
        comment="latest notice, in days before ends_at; 0: it had happened; NULL: no notice",
    ),
    Column("gone_at", INSTANT, comment="renewed, withdrawn or removed since then; NULL: it stands"),
    comment="dates of keys, credit, certificates, models and prices",
)
_ROW = calendar_entries.c


@dataclass(frozen=True, slots=True)
class CalendarReading:
    """All entries of one kind and scope as just read; none: nothing ends."""

    kind: CalendarKind
    scope: str
    entries: Sequence[CalendarEntry] = ()


async def keep(
    connection: AsyncConnection, readings: Sequence[CalendarReading], *, at: datetime
) -> None:
    """Store what was read; what is no longer stated is gone."""
    for reading in readings:
        now = [(entry.model, entry.term) for entry in reading.entries]
        await connection.execute(
            update(calendar_entries)
            .where(
                _ROW.kind == reading.kind.value, _ROW.scope == reading.scope, _ROW.gone_at.is_(None)
            )
            .where(tuple_(_ROW.model, _ROW.term).not_in(now))
            .values(gone_at=at)
        )
        for entry in reading.entries:
            said = {
                "ends_at": entry.at,
                "what": entry.what,
                "source": entry.source,
                "seen_at": at,
                "gone_at": None,
            }
            row = {
                "kind": entry.kind.value,
                "scope": entry.scope,
                "model": entry.model,
                "term": entry.term,
            }
            await connection.execute(
                insert(calendar_entries)
                .values(row | said)
                .on_conflict_do_update(index_elements=list(row), set_=said)
            )


async def withdraw(
    connection: AsyncConnection,
    configured: Mapping[CalendarKind, Collection[str]],
    *,
    at: datetime,
) -> None:
    """End the entries of targets and providers that are no longer configured."""
    for kind, scopes in configured.items():
        await connection.execute(
            update(calendar_entries)
            .where(and_(_ROW.kind == kind.value, _ROW.gone_at.is_(None)))
            .where(_ROW.scope.not_in(list(scopes)))
            .values(gone_at=at)
        )


async def entries(connection: AsyncConnection) -> Sequence[CalendarEntry]:
    """The entries that stand, the nearest first."""
    rows = await connection.execute(
        select(calendar_entries)
        .where(_ROW.gone_at.is_(None), _ROW.ends_at > func.now() - PAST)
        .order_by(_ROW.ends_at, _ROW.kind, _ROW.scope)
    )
    return [
        CalendarEntry(
            kind=CalendarKind(row.kind),
            scope=row.scope,
            at=row.ends_at,
            what=row.what,
            source=row.source,
            term=row.term,
            model=row.model,
            notified_days=row.notified_days,
        )
        for row in rows
    ]


async def read_at(
    connection: AsyncConnection, kind: CalendarKind
) -> Mapping[tuple[str, str], datetime]:
    """When the entries of a kind were last read, by scope and source."""
    latest = select(_ROW.scope, _ROW.source, func.max(_ROW.seen_at)).where(_ROW.kind == kind.value)
    rows = await connection.execute(latest.group_by(_ROW.scope, _ROW.source))
    return {(scope, source): at for scope, source, at in rows}


async def tell(connection: AsyncConnection, entry: CalendarEntry, *, days: int) -> None:
    """Record the stage of an entry that a notice reports."""
    key = (entry.kind.value, entry.scope, entry.model, entry.term)
    await connection.execute(
        update(calendar_entries)
        .where(tuple_(_ROW.kind, _ROW.scope, _ROW.model, _ROW.term) == key)
        .values(notified_days=days)
    )
