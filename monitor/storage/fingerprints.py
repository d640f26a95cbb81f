"""Fingerprints in the database: epochs, tracker state, findings."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.identity.fingerprint.features import VERSION
from monitor.identity.fingerprint.match import StyleMatch
from monitor.identity.fingerprint.profile import ENOUGH_ANSWERS, StyleProfile
from monitor.identity.fingerprint.tracker import TrackerState
from monitor.storage.identity_tables import (
    identity_epochs,
    identity_evidence,
    identity_profiles,
    identity_states,
)

_OPERATOR = "operator"
_CAPTURE = timedelta(hours=1)  # the answers of one capture are within it


@dataclass(frozen=True, slots=True)
class BaselineEpoch:
    """A baseline: its model, and who confirmed it."""

    target: str
    number: int
    model: str
    verified_by: str
    note: str
    began_at: datetime
    reverted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BaselineState:
    """The stored state of a target; `track` None: no answer was compared in this epoch yet."""

    epoch: BaselineEpoch
    learnt_until: datetime | None
    track: TrackerState | None


async def epochs(connection: AsyncConnection, target: str) -> Sequence[BaselineEpoch]:
    """The target's baselines that are not reverted, the current one first."""
    return [epoch for epoch in await all_epochs(connection, target) if epoch.reverted_at is None]


async def all_epochs(
    connection: AsyncConnection, target: str, *, lock: bool = False
) -> Sequence[BaselineEpoch]:
    """The target's baselines, including reverted ones, the latest first.

    With `lock` no other session reverts one until the transaction ends.
    """
    table = identity_epochs.c
    rows = select(identity_epochs).where(table.target == target).order_by(table.epoch.desc())
    rows = rows.with_for_update() if lock else rows
    return [_epoch(row) for row in (await connection.execute(rows)).mappings()]


async def put_in_force(connection: AsyncConnection, epoch: BaselineEpoch) -> None:
    """Make an earlier or a reverted epoch the current one; later ones are reverted.

    No captured answer is moved or deleted.
    """
    table = identity_epochs.c
    above = (table.target == epoch.target, table.epoch > epoch.number, table.reverted_at.is_(None))
    await connection.execute(
        update(identity_epochs).where(*above).values(reverted_at=func.clock_timestamp())
    )
    itself = (table.target == epoch.target, table.epoch == epoch.number)
    await connection.execute(update(identity_epochs).where(*itself).values(reverted_at=None))


async def begin(
    connection: AsyncConnection, target: str, model: str, *, verified_by: str, note: str = ""
) -> BaselineEpoch:
    """Begin the next epoch. The key prevents two sessions from getting the same one."""
    latest = select(func.coalesce(func.max(identity_epochs.c.epoch), 0) + 1).where(
        identity_epochs.c.target == target
    )
    new = insert(identity_epochs).values(
        target=target,
        epoch=latest.scalar_subquery(),
        model=model,
        verified_by=verified_by,
        note=note,
    )
    row = (await connection.execute(new.returning(identity_epochs))).mappings().one()
    return _epoch(row)


def _epoch(row: Mapping[Any, Any]) -> BaselineEpoch:
    return BaselineEpoch(
        row["target"],
        row["epoch"],
        row["model"],
        row["verified_by"],
        row["note"],
        row["began_at"],
        row["reverted_at"],
    )


async def confirmed_at(
    connection: AsyncConnection, targets: Collection[str]
) -> dict[str, datetime | None]:
    """When a person last confirmed the expected model's answers of each target; None: never.

    By beginning or accepting the current epoch, by reverting a later one, or by capturing
    `ENOUGH_ANSWERS` answers of its model at once: a single answer proves nothing.
    """
    table = identity_epochs.c
    rows = select(identity_epochs).where(table.target.in_(targets)).order_by(table.epoch.desc())
    found: dict[str, list[BaselineEpoch]] = {target: [] for target in targets}
    for row in (await connection.execute(rows)).mappings():
        found[row["target"]].append(_epoch(row))
    current = [
        epoch
        for epochs in found.values()
        if (epoch := next((one for one in epochs if one.reverted_at is None), None))
    ]
    values = {
        "targets": [epoch.target for epoch in current],
        "epochs": [epoch.number for epoch in current],
        "models": [epoch.model for epoch in current],
        "operator": _OPERATOR,
        "most": ENOUGH_ANSWERS,
    }
    captured: dict[str, list[datetime]] = {target: [] for target in targets}
    if current:
        for target, at in await connection.execute(_CAPTURED, values):
            captured[target].append(at)
    confirmed: dict[str, datetime | None] = dict.fromkeys(targets)
    for epoch in current:
        at = sorted(captured[epoch.target], reverse=True)
        enough = len(at) == ENOUGH_ANSWERS and at[0] - at[-1] <= _CAPTURE
        instants = [
            at[0] if enough else None,
            epoch.began_at if epoch.verified_by == _OPERATOR else None,
            *(each.reverted_at for each in found[epoch.target]),
        ]
        confirmed[epoch.target] = max((at for at in instants if at is not None), default=None)
    return confirmed


_CAPTURED = text("""
    SELECT of.target, latest.captured_at
    FROM unnest(CAST(:targets AS text[]), CAST(:epochs AS int[]), CAST(:models AS text[]))
        AS of (target, epoch, model)
    CROSS JOIN LATERAL (
        SELECT captured_at FROM identity_answers AS a
        WHERE a.target = of.target AND a.epoch = of.epoch AND a.model = of.model
            AND a.verified_by = :operator
        ORDER BY captured_at DESC LIMIT :most
    ) AS latest
""")


async def state(
    connection: AsyncConnection, target: str, *, lock: bool = False
) -> BaselineState | None:
    """The tracker state in the current epoch; None without any baseline. `lock`: see `states`."""
    return (await states(connection, [target], lock=lock)).get(target)


async def states(
    connection: AsyncConnection, targets: Collection[str], *, lock: bool = False
) -> dict[str, BaselineState]:
    """The tracker state of each target that has a baseline, in its current epoch.

    With `lock` no other session changes them until the transaction ends.
    """
    epoch, kept = identity_epochs.c, identity_states.c
    in_force = (
        select(identity_epochs)
        .ext(distinct_on(epoch.target))
        .where(epoch.target.in_(targets), epoch.reverted_at.is_(None))
        .order_by(epoch.target, epoch.epoch.desc())
    )
    epochs = [_epoch(row) for row in (await connection.execute(in_force)).mappings()]
    if not epochs:
        return {}
    # The order of the key: two workers never wait for each other in a circle.
    rows = select(kept.target, kept.epoch, kept.learnt_until, kept.state).where(
        kept.target.in_([one.target for one in epochs])
    )
    rows = rows.order_by(kept.target)
    stored = {
        (row.target, row.epoch): row
        for row in await connection.execute(rows.with_for_update() if lock else rows)
    }
    return {one.target: _state(one, stored.get((one.target, one.number))) for one in epochs}


def _state(epoch: BaselineEpoch, row: Any | None) -> BaselineState:
    if row is None:
        return BaselineState(epoch, None, None)
    current = row.state["version"] == VERSION
    return BaselineState(
        epoch, row.learnt_until, TrackerState.from_json(row.state) if current else None
    )


class KeptState(NamedTuple):
    """The tracker state of a target, as it is to be stored."""

    target: str
    track: TrackerState
    learnt_until: datetime


async def keep(connection: AsyncConnection, new: Iterable[KeptState]) -> None:
    """Store tracker states, at most one of each target."""
    rows = [
        {
            "target": one.target,
            "epoch": one.track.epoch,
            "learnt_until": one.learnt_until,
            "state": one.track.to_json(),
        }
        for one in sorted(new, key=attrgetter("target"))
    ]
    if rows:
        await connection.execute(_KEEP, rows)


_NEW_STATE = insert(identity_states)
_KEEP = _NEW_STATE.on_conflict_do_update(
    index_elements=["target"],
    set_={name: _NEW_STATE.excluded[name] for name in ("epoch", "learnt_until", "state")}
    | {"updated_at": func.now()},
)


async def restart(connection: AsyncConnection, epoch: BaselineEpoch) -> None:
    """Restart tracking with fingerprints learned from all captured answers."""
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    await keep(connection, [KeptState(epoch.target, TrackerState(epoch=epoch.number), now)])


async def learnt(
    connection: AsyncConnection,
    epoch: BaselineEpoch,
    profile: StyleProfile,
    others: Mapping[str, int],
) -> None:
    """Store how well each fallback is distinguishable. `others`: known answers of each."""
    known = {candidate.model: candidate.contrast.separability for candidate in profile.candidates}
    for model, count in others.items():
        row = {
            "target": epoch.target,
            "epoch": epoch.number,
            "fallback": model,
            "feature_version": VERSION,
            "answers": profile.fingerprint.count,
            "fallback_answers": count,
            "separability": known.get(model),
            "refusal": profile.indistinguishable.get(model),
        }
        new = insert(identity_profiles).values(row)
        changes = {name: new.excluded[name] for name in list(row)[3:]}
        await connection.execute(
            new.on_conflict_do_update(
                index_elements=["target", "epoch", "fallback"],
                set_=changes | {"learnt_at": func.now()},
            )
        )


async def note(
    connection: AsyncConnection,
    epoch: BaselineEpoch,
    style_match: StyleMatch,
    *,
    observation: UUID,
    at: datetime,
    since: datetime | None,
) -> None:
    """Store that the judgement by writing style changed, with its evidence."""
    await connection.execute(
        insert(identity_evidence).values(
            target=epoch.target,
            epoch=epoch.number,
            at=at,
            observation=observation,
            identity=style_match.identity,
            model=style_match.model,
            confidence=style_match.confidence,
            since=since,
            reason=style_match.reason,
            evidence=[asdict(item) for item in style_match.evidence],
        )
    )
