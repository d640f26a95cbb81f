"""Derived columns: model and cost, as they follow from an observation's raw columns.

Raw columns never change. Derived columns may be computed again: when a receipt arrived, or when
rules, names or prices changed.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import RowMapping, Select, bindparam, func, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import (
    Claim,
    Cost,
    CostRange,
    CostSource,
    Evidence,
    Identity,
    IdentityJudgement,
    Outcome,
    Unpriced,
)
from monitor.storage.account_readings import ReceiptRecord, receipts_by_observation
from monitor.storage.tables import observations

_CLAIMS: TypeAdapter[tuple[Claim, ...]] = TypeAdapter(tuple[Claim, ...])
_EVIDENCE: TypeAdapter[tuple[Evidence, ...]] = TypeAdapter(tuple[Evidence, ...])

Key = tuple[datetime, UUID]  # slot and id: find a row in one partition


@dataclass(frozen=True, slots=True)
class DerivedJudgement:
    """The derived values: which model answered, and what it cost."""

    who: IdentityJudgement
    cost: Cost | CostRange | Unpriced


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObservation:
    """The raw columns on which a judgement rests, its receipts, and the current judgement."""

    id: UUID
    slot: datetime
    query: str
    origin: str
    started_at: datetime
    outcome: Outcome
    pieces: int
    answer_excerpt: str | None
    prompt_tokens: int | None
    answer_tokens: int | None
    reasoning_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    claims: tuple[Claim, ...]
    stands: DerivedJudgement
    receipts: tuple[ReceiptRecord, ...] = ()

    @property
    def key(self) -> Key:
        return self.slot, self.id


_RAW = tuple(f.name for f in fields(StoredObservation) if f.name not in ("stands", "receipts"))
_MONEY = ("cost_usd", "cost_source", "cost_reason", "rates", "cost_low_usd", "cost_high_usd")
_DERIVED = ("identity", "model_detected", "confidence", "identity_reason", "evidence", *_MONEY)
_COLUMNS = [observations.c[name] for name in (*_RAW, *_DERIVED)]


async def some(
    connection: AsyncConnection, target: str, keys: Collection[Key]
) -> Sequence[StoredObservation]:
    """These observations of a target, oldest first; locked until the transaction ends."""
    wanted = select(*_COLUMNS).where(observations.c.target == target, _key().in_(list(keys)))
    return await _read(connection, wanted)


async def following(
    connection: AsyncConnection, target: str, *, since: datetime, after: Key | None, most: int
) -> Sequence[StoredObservation]:
    """A target's next observations after a key, oldest first; locked until the transaction ends."""
    found = select(*_COLUMNS).where(observations.c.target == target, observations.c.slot >= since)
    if after is not None:
        found = found.where(observations.c.slot >= after[0], _key() > after)
    return await _read(connection, found.limit(most))


async def _read(connection: AsyncConnection, wanted: Select[Any]) -> Sequence[StoredObservation]:
    ordered = wanted.order_by(observations.c.slot, observations.c.id).with_for_update()
    rows = (await connection.execute(ordered)).mappings().all()
    if not rows:
        return ()
    records = await receipts_by_observation(
        connection, [r["id"] for r in rows], since=rows[0]["slot"]
    )
    return [_stored(row, records.get(row["id"], ())) for row in rows]


def _key() -> Any:
    return tuple_(observations.c.slot, observations.c.id)


def _stored(row: RowMapping, records: tuple[ReceiptRecord, ...]) -> StoredObservation:
    raw = {name: row[name] for name in _RAW}
    raw |= {"outcome": Outcome(raw["outcome"]), "claims": _CLAIMS.validate_python(raw["claims"])}
    who = IdentityJudgement(
        Identity(row["identity"]),
        row["model_detected"],
        row["confidence"],
        _EVIDENCE.validate_python(row["evidence"]),
        row["identity_reason"],
    )
    cost: Cost | CostRange | Unpriced = Unpriced(row["cost_reason"] or "")
    if row["cost_usd"] is not None:
        cost = Cost(row["cost_usd"], CostSource(row["cost_source"]), row["rates"])
    elif row["cost_low_usd"] is not None:
        ends = row["cost_low_usd"], row["cost_high_usd"]
        cost = CostRange(*ends, row["cost_reason"] or "", row["rates"])
    return StoredObservation(**raw, stands=DerivedJudgement(who, cost), receipts=records)


async def said_before(
    connection: AsyncConnection, target: str, queries: Collection[str], *, at: datetime, most: int
) -> Sequence[tuple[Evidence, ...]]:
    """The evidence of answers, before an instant, to direct identity queries; newest first."""
    table = observations.c
    earlier = (
        select(table.evidence)
        .where(table.target == target, table.query.in_(queries), table.origin != "manual")
        .where(table.outcome == Outcome.ANSWERED.value, table.started_at < at)
        .order_by(table.started_at.desc())
        .limit(most)
    )
    return [_EVIDENCE.validate_python(items) for items in await connection.scalars(earlier)]


async def rewrite(
    connection: AsyncConnection, target: str, new: Iterable[tuple[Key, DerivedJudgement]]
) -> None:
    """Replace derived columns of a target's rows, and have those hours rolled up again."""
    rows = [
        {"of_target": target, "at_slot": slot, "of_id": id_, **_row(made)}
        for (slot, id_), made in new
    ]
    if not rows:
        return
    await connection.execute(_REWRITE, rows)
    await connection.execute(_ROLL_UP_AGAIN, {"slots": [row["at_slot"] for row in rows]})


def _row(made: DerivedJudgement) -> dict[str, Any]:
    who = made.who
    return {
        "identity": who.identity,
        "model_detected": who.model,
        "confidence": who.confidence,
        "identity_reason": who.reason,
        "evidence": [asdict(item) for item in who.evidence],
        **_charge(made.cost),
    }


def _charge(cost: Cost | CostRange | Unpriced) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_MONEY)
    match cost:
        case Cost(usd, source, rates):
            return row | {"cost_usd": usd, "cost_source": source, "rates": dict(rates)}
        case CostRange(low, high, reason, rates):
            ends = {"cost_low_usd": low, "cost_high_usd": high}
            return row | ends | {"cost_reason": reason, "rates": dict(rates)}
        case Unpriced(reason):
            return row | {"cost_reason": reason, "rates": {}}


_REWRITE = (
    update(observations)
    .where(
        observations.c.target == bindparam("of_target"),
        observations.c.slot == bindparam("at_slot"),
        observations.c.id == bindparam("of_id"),
    )
    .values({name: bindparam(name) for name in _DERIVED} | {"derived_at": func.now()})
)
# The share lock waits for an hour that is being rolled up just now: it did not see these rows.
_ROLL_UP_AGAIN = text("""
    WITH state AS MATERIALIZED (SELECT * FROM report_state FOR SHARE)
    INSERT INTO rollups_due (hour)
    SELECT DISTINCT report.hour_of(given.slot, state.zone)
    FROM unnest(CAST(:slots AS timestamptz[])) AS given(slot), state
    WHERE given.slot < state.hours_until AND given.slot >= state.raw_since
    ON CONFLICT DO NOTHING
""")
