"""The tables of fingerprints: baselines by epoch, what was learned, what is suspected.

Comments on columns are part of the product: people write SQL against these names.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.identity.fingerprint.features import VERSION
from monitor.identity.fingerprint.match import StyleMatch
from monitor.identity.fingerprint.profile import ENOUGH_ANSWERS, StyleProfile
from monitor.identity.fingerprint.tracker import TrackerState
from monitor.storage.tables import INSTANT, metadata

identity_epochs = Table(
    "identity_epochs",
    metadata,
    Column("target", Text, nullable=False),
    Column("epoch", Integer, nullable=False, comment="number of the baseline, from 1"),
    Column("model", Text, nullable=False, comment="model whose writing style is the baseline"),
    Column(
        "verified_by",
        Text,
        nullable=False,
        comment="how the model was confirmed: operator, disclosure or receipt",
    ),
    Column("note", Text, nullable=False, server_default="", comment="reason that a person gave"),
    Column("began_at", INSTANT, nullable=False, server_default=func.now()),
    Column(
        "reverted_at",
        INSTANT,
        comment="when a person put an earlier epoch in force again; NULL: not reverted",
    ),
    PrimaryKeyConstraint("target", "epoch"),
    CheckConstraint("verified_by IN ('operator', 'disclosure', 'receipt')", "verified_by"),
    comment="baselines of a target; the highest epoch that is not reverted is in force",
)

identity_answers = Table(
    "identity_answers",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("target", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("model", Text, comment="model of the answer; NULL: held until a person assigns it"),
    Column("query", Text, nullable=False, comment="id of the canned query"),
    Column("prompt_sha256", Text, nullable=False, comment="SHA-256 of the canned query's text"),
    Column("text", Text, nullable=False, comment="the answer without our secrets"),
    Column(
        "chunk_lengths",
        ARRAY(Integer),
        nullable=False,
        comment="characters of each delta; empty: not known",
    ),
    Column(
        "tokens", Integer, comment="answer tokens as the service counted them; NULL: not stated"
    ),
    Column("verified_by", Text, comment="operator, disclosure or receipt; NULL while held"),
    Column("captured_at", INSTANT, nullable=False, server_default=func.clock_timestamp()),
    ForeignKeyConstraint(
        ["target", "epoch"], ["identity_epochs.target", "identity_epochs.epoch"], ondelete="CASCADE"
    ),
    CheckConstraint("(model IS NULL) = (verified_by IS NULL)", "model_has_verifier"),
    CheckConstraint("tokens > 0", "tokens"),
    Index("ix_identity_answers_of", "target", "epoch", "model", "query", "captured_at"),
    comment="answers from which fingerprints are learnt",
)

identity_profiles = Table(
    "identity_profiles",
    metadata,
    Column("target", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column(
        "fallback",
        Text,
        nullable=False,
        comment="model that is distinguished from the baseline's model",
    ),
    Column("feature_version", SmallInteger, nullable=False),
    Column("answers", Integer, nullable=False, comment="number of answers of the baseline"),
    Column(
        "fallback_answers", Integer, nullable=False, comment="number of answers of the fallback"
    ),
    Column(
        "separability",
        Double,
        comment="accuracy on held-out answers: 0.5 is chance, 1 is perfect; NULL: not measured",
    ),
    Column(
        "refusal",
        Text,
        comment="why the fallback cannot be named by its writing style; NULL: it can",
    ),
    Column("learnt_at", INSTANT, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("target", "epoch", "fallback"),
    ForeignKeyConstraint(
        ["target", "epoch"], ["identity_epochs.target", "identity_epochs.epoch"], ondelete="CASCADE"
    ),
    CheckConstraint("separability BETWEEN 0 AND 1", "separability"),
    comment="how well each fallback can be distinguished from the baseline",
)

identity_states = Table(
    "identity_states",
    metadata,
    Column("target", Text, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column(
        "learnt_until",
        INSTANT,
        nullable=False,
        comment="the fingerprints in force are learnt from answers captured up to this time",
    ),
    Column("state", JSONB, nullable=False, comment="current suspicion and its evidence"),
    Column("updated_at", INSTANT, nullable=False, server_default=func.now()),
    ForeignKeyConstraint(
        ["target", "epoch"], ["identity_epochs.target", "identity_epochs.epoch"], ondelete="CASCADE"
    ),
    comment=(
        "state of the fingerprint tracker of each target, so that a restart "
        "loses nothing and counts nothing twice"
    ),
)

identity_tokenizers = Table(
    "identity_tokenizers",
    metadata,
    Column("target", Text, nullable=False),
    Column("model", Text, nullable=False, comment="model with this tokenizer"),
    Column(
        "seen_to_fit_at",
        INSTANT,
        nullable=False,
        server_default=func.now(),
        comment="when the target's token counts first matched this tokenizer",
    ),
    Column("query", Text, nullable=False, comment="id of the canned query"),
    PrimaryKeyConstraint("target", "model", "query"),
    comment=(
        "tokenizers that matched a target's token counts; only for these can a mismatch be reported"
    ),
)

identity_evidence = Table(
    "identity_evidence",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("target", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("at", INSTANT, nullable=False, comment="start of the probe that changed the judgement"),
    Column("observation", Uuid, nullable=False, comment="that probe"),
    Column(
        "identity", Text, nullable=False, comment="judgement by writing style alone from here on"
    ),
    Column("model", Text, comment="model by writing style; NULL: not identified"),
    Column("confidence", Double, nullable=False),
    Column("since", INSTANT, comment="when the suspicion began; NULL: none"),
    Column("reason", Text, nullable=False, comment="reason of the judgement, one sentence"),
    Column(
        "evidence",
        JSONB,
        nullable=False,
        comment="list of {kind, claim, nats, detail}; nats: log-odds, above 0 for a fallback",
    ),
    CheckConstraint("confidence BETWEEN 0 AND 1", "confidence"),
    Index("ix_identity_evidence_target_at", "target", "at"),
    comment="one row per change of the judgement by writing style, with its evidence",
)


# Fingerprints in the database: epochs, tracker state, findings.


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
    """The tracker state in the current epoch; None without any baseline.

    With `lock` no other session changes it until the transaction ends.
    """
    found = await epochs(connection, target)
    if not found:
        return None
    table = identity_states.c
    row = select(table.learnt_until, table.state).where(
        table.target == target, table.epoch == found[0].number
    )
    kept = (await connection.execute(row.with_for_update() if lock else row)).one_or_none()
    if kept is None:
        return BaselineState(found[0], None, None)
    current = kept.state["version"] == VERSION
    return BaselineState(
        found[0], kept.learnt_until, TrackerState.from_json(kept.state) if current else None
    )


async def keep(
    connection: AsyncConnection, target: str, track: TrackerState, *, learnt_until: datetime
) -> None:
    """Store the tracker state."""
    row = {
        "target": target,
        "epoch": track.epoch,
        "learnt_until": learnt_until,
        "state": track.to_json(),
    }
    new = insert(identity_states).values(row)
    changes = {name: new.excluded[name] for name in ("epoch", "learnt_until", "state")}
    await connection.execute(
        new.on_conflict_do_update(
            index_elements=["target"], set_=changes | {"updated_at": func.now()}
        )
    )


async def restart(connection: AsyncConnection, epoch: BaselineEpoch) -> None:
    """Restart tracking with fingerprints learned from all captured answers."""
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    await keep(connection, epoch.target, TrackerState(epoch=epoch.number), learnt_until=now)


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
