"""The tables of fingerprints: baselines by epoch, what was learnt, what is suspected.

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
    Column("epoch", Integer, nullable=False, comment="1, 2, …: each new baseline begins one"),
    Column("model", Text, nullable=False, comment="the model whose looks are the baseline"),
    Column("verified_by", Text, nullable=False,
           comment="who confirmed the model: operator, disclosure or receipt"),
    Column("note", Text, nullable=False, server_default="", comment="why, in a person's words"),
    Column("began_at", INSTANT, nullable=False, server_default=func.now()),
    Column("reverted_at", INSTANT,
           comment="when a person put an earlier epoch in force again; NULL: not reverted"),
    PrimaryKeyConstraint("target", "epoch"),
    CheckConstraint("verified_by IN ('operator', 'disclosure', 'receipt')", "verified_by"),
    comment="baselines of a target; the highest epoch that is not reverted is in force",
)  # fmt: skip

identity_answers = Table(
    "identity_answers",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("target", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("model", Text, comment="whose answer it is; NULL: held, until somebody knows"),
    Column("query", Text, nullable=False, comment="id of the canned query"),
    Column("prompt_sha256", Text, nullable=False, comment="of the canned query's words"),
    Column("text", Text, nullable=False, comment="the answer, our secrets removed"),
    Column("chunk_lengths", ARRAY(Integer), nullable=False,
           comment="characters of each chunk; empty: not known"),
    Column("tokens", Integer, comment="of the answer, as the service counted; NULL: not said"),
    Column("verified_by", Text, comment="operator, disclosure or receipt; NULL while held"),
    Column("captured_at", INSTANT, nullable=False, server_default=func.clock_timestamp()),
    ForeignKeyConstraint(["target", "epoch"], ["identity_epochs.target", "identity_epochs.epoch"],
                         ondelete="CASCADE"),
    CheckConstraint("(model IS NULL) = (verified_by IS NULL)", "model_has_verifier"),
    CheckConstraint("tokens > 0", "tokens"),
    Index("ix_identity_answers_of", "target", "epoch", "model", "query", "captured_at"),
    comment="answers that fingerprints are learnt from",
)  # fmt: skip

identity_profiles = Table(
    "identity_profiles",
    metadata,
    Column("target", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("fallback", Text, nullable=False, comment="the model told from the baseline's"),
    Column("feature_version", SmallInteger, nullable=False),
    Column("answers", Integer, nullable=False, comment="of the baseline"),
    Column("fallback_answers", Integer, nullable=False, comment="of the fallback"),
    Column("separability", Double,
           comment="0.5 a coin, 1 always told apart, on answers held out; NULL: not measured"),
    Column("refusal", Text, comment="why the fallback is never named by its looks; NULL: it is"),
    Column("learnt_at", INSTANT, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("target", "epoch", "fallback"),
    ForeignKeyConstraint(["target", "epoch"], ["identity_epochs.target", "identity_epochs.epoch"],
                         ondelete="CASCADE"),
    CheckConstraint("separability BETWEEN 0 AND 1", "separability"),
    comment="how well each fallback can be told apart, as last learnt",
)  # fmt: skip

identity_states = Table(
    "identity_states",
    metadata,
    Column("target", Text, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("learnt_until", INSTANT, nullable=False,
           comment="answers captured until then make the fingerprints in force"),
    Column("state", JSONB, nullable=False, comment="what is suspected and what it rests on"),
    Column("updated_at", INSTANT, nullable=False, server_default=func.now()),
    ForeignKeyConstraint(["target", "epoch"], ["identity_epochs.target", "identity_epochs.epoch"],
                         ondelete="CASCADE"),
    comment="where following a target stands: a restart forgets nothing and counts nothing twice",
)  # fmt: skip

identity_tokenizers = Table(
    "identity_tokenizers",
    metadata,
    Column("target", Text, nullable=False),
    Column("model", Text, nullable=False, comment="whose tokenizer it is"),
    Column("seen_to_fit_at", INSTANT, nullable=False, server_default=func.now(),
           comment="when the target's token counts were first seen to be this tokenizer's"),
    Column("query", Text, nullable=False, comment="id of the canned query"),
    PrimaryKeyConstraint("target", "model", "query"),
    comment="tokenizers that once fitted a target's token counts: only these may cease to fit",
)  # fmt: skip

identity_evidence = Table(
    "identity_evidence",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("target", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("at", INSTANT, nullable=False, comment="start of the probe that turned the judgement"),
    Column("observation", Uuid, nullable=False, comment="that probe"),
    Column("identity", Text, nullable=False, comment="judged by looks alone from here on"),
    Column("model", Text, comment="by looks; NULL: nobody can tell"),
    Column("confidence", Double, nullable=False),
    Column("since", INSTANT, comment="when the suspicion began; NULL: there is none"),
    Column("reason", Text, nullable=False, comment="the judgement in one sentence"),
    Column("evidence", JSONB, nullable=False, comment="list of {kind, claim, nats, detail}"),
    CheckConstraint("confidence BETWEEN 0 AND 1", "confidence"),
    Index("ix_identity_evidence_target_at", "target", "at"),
    comment="one row each time the judgement by looks turns, with what turned it",
)  # fmt: skip
