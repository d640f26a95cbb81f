"""Fingerprints: baselines by epoch, the answers they are learnt from, and what is suspected."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "r1_0006"
down_revision = "r1_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "identity_epochs",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column(
            "epoch", sa.Integer(), nullable=False, comment="1, 2, …: each new baseline begins one"
        ),
        sa.Column(
            "model", sa.Text(), nullable=False, comment="the model whose looks are the baseline"
        ),
        sa.Column(
            "verified_by",
            sa.Text(),
            nullable=False,
            comment="who confirmed the model: operator, disclosure or receipt",
        ),
        sa.Column(
            "note", sa.Text(), server_default="", nullable=False, comment="why, in a person's words"
        ),
        sa.Column(
            "began_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint(
            "verified_by IN ('operator', 'disclosure', 'receipt')",
            name=op.f("ck_identity_epochs_verified_by"),
        ),
        sa.PrimaryKeyConstraint("target", "epoch", name=op.f("pk_identity_epochs")),
        comment="baselines of a target, one after the other; the highest epoch is in force",
    )
    op.create_table(
        "identity_answers",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column(
            "model",
            sa.Text(),
            nullable=True,
            comment="whose answer it is; NULL: held, until somebody knows",
        ),
        sa.Column("query", sa.Text(), nullable=False, comment="id of the canned query"),
        sa.Column(
            "prompt_sha256", sa.Text(), nullable=False, comment="of the canned query's words"
        ),
        sa.Column("text", sa.Text(), nullable=False, comment="the answer, our secrets removed"),
        sa.Column(
            "chunk_lengths",
            sa.ARRAY(sa.Integer()),
            nullable=False,
            comment="characters of each chunk; empty: not known",
        ),
        sa.Column(
            "verified_by",
            sa.Text(),
            nullable=True,
            comment="operator, disclosure or receipt; NULL while held",
        ),
        sa.Column(
            "captured_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(model IS NULL) = (verified_by IS NULL)",
            name=op.f("ck_identity_answers_model_has_verifier"),
        ),
        sa.ForeignKeyConstraint(
            ["target", "epoch"],
            ["identity_epochs.target", "identity_epochs.epoch"],
            name=op.f("fk_identity_answers_target_epoch"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_answers")),
        comment="answers that fingerprints are learnt from",
    )
    op.create_index(
        "ix_identity_answers_of",
        "identity_answers",
        ["target", "epoch", "model", "query", "captured_at"],
        unique=False,
    )
    op.create_table(
        "identity_profiles",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column(
            "fallback", sa.Text(), nullable=False, comment="the model told from the baseline's"
        ),
        sa.Column("feature_version", sa.SmallInteger(), nullable=False),
        sa.Column("answers", sa.Integer(), nullable=False, comment="of the baseline"),
        sa.Column("fallback_answers", sa.Integer(), nullable=False, comment="of the fallback"),
        sa.Column(
            "separability",
            sa.Double(),
            nullable=True,
            comment="0.5 a coin, 1 always told apart, on answers held out; NULL: not measured",
        ),
        sa.Column(
            "refusal",
            sa.Text(),
            nullable=True,
            comment="why the fallback is never named by its looks; NULL: it is",
        ),
        sa.Column(
            "learnt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint(
            "separability BETWEEN 0 AND 1", name=op.f("ck_identity_profiles_separability")
        ),
        sa.ForeignKeyConstraint(
            ["target", "epoch"],
            ["identity_epochs.target", "identity_epochs.epoch"],
            name=op.f("fk_identity_profiles_target_epoch"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("target", "epoch", "fallback", name=op.f("pk_identity_profiles")),
        comment="how well each fallback can be told apart, as last learnt",
    )
    op.create_table(
        "identity_states",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column(
            "learnt_until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="answers captured until then make the fingerprints in force",
        ),
        sa.Column(
            "state",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="what is suspected and what it rests on",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["target", "epoch"],
            ["identity_epochs.target", "identity_epochs.epoch"],
            name=op.f("fk_identity_states_target_epoch"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_identity_states")),
        comment="where following a target stands: a restart forgets nothing and counts nothing twice",
    )
    op.create_table(
        "identity_evidence",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="start of the probe that turned the judgement",
        ),
        sa.Column("observation", sa.Uuid(), nullable=False, comment="that probe"),
        sa.Column(
            "identity", sa.Text(), nullable=False, comment="judged by looks alone from here on"
        ),
        sa.Column("model", sa.Text(), nullable=True, comment="by looks; NULL: nobody can tell"),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column(
            "since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the suspicion began; NULL: there is none",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="the judgement in one sentence"),
        sa.Column(
            "evidence",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="list of {kind, claim, nats, detail}",
        ),
        sa.CheckConstraint(
            "confidence BETWEEN 0 AND 1", name=op.f("ck_identity_evidence_confidence")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_evidence")),
        comment="one row each time the judgement by looks turns, with what turned it",
    )
    op.create_index(
        "ix_identity_evidence_target_at", "identity_evidence", ["target", "at"], unique=False
    )


def downgrade() -> None:
    op.drop_table("identity_evidence")
    op.drop_table("identity_states")
    op.drop_table("identity_profiles")
    op.drop_table("identity_answers")
    op.drop_table("identity_epochs")
