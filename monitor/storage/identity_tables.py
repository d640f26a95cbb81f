"""The tables of fingerprints: baselines by epoch, what was learned, what is suspected.

Comments on columns are part of the product: people write SQL against these names.
"""

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
)
from sqlalchemy.dialects.postgresql import JSONB

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
