"""Receipts: the provider's own records of answers, fetched after the fact."""

import sqlalchemy as sa
from alembic import op

revision = "r1_0005"
down_revision = "r1_0003"
branch_labels = None
depends_on = None

TOKENS = ("prompt_tokens", "answer_tokens", "reasoning_tokens", "cached_tokens")
MONEY = sa.Numeric(precision=20, scale=12)
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "receipts",
        sa.Column(
            "generation",
            sa.Text(),
            nullable=False,
            comment="the provider's id of the answer, as the response disclosed it",
        ),
        sa.Column("observation", sa.Uuid(), nullable=False, comment="whose answer it is"),
        sa.Column("slot", INSTANT, nullable=False, comment="of that observation"),
        sa.Column("due_at", INSTANT, nullable=False, comment="not asked for before"),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("settled_at", INSTANT, comment="NULL: still to be asked for"),
        sa.Column("last_error", sa.Text(), comment="of the latest try, in our words"),
        sa.Column("source", sa.Text(), comment="where the record was read; NULL: none came"),
        sa.Column("model", sa.Text(), comment="who answered, by the record; NULL: none came"),
        *(
            sa.Column(name, sa.Integer(), comment="native tokens, as billed; NULL: not said")
            for name in TOKENS
        ),
        sa.Column("cost_usd", MONEY, comment="the provider's charge; NULL: not said"),
        sa.Column("upstream_cost_usd", MONEY, comment="paid upstream with a key of one's own"),
        sa.PrimaryKeyConstraint("generation", name=op.f("pk_receipts")),
        sa.CheckConstraint(
            "model IS NULL OR settled_at IS NOT NULL", name=op.f("ck_receipts_record_is_settled")
        ),
        sa.CheckConstraint(
            "(model IS NULL) = (source IS NULL)", name=op.f("ck_receipts_record_has_source")
        ),
        sa.CheckConstraint("cost_usd >= 0 AND cost_usd < 'NaN'", name=op.f("ck_receipts_cost_usd")),
        sa.CheckConstraint(
            "upstream_cost_usd >= 0 AND upstream_cost_usd < 'NaN'",
            name=op.f("ck_receipts_upstream_cost_usd"),
        ),
        *(sa.CheckConstraint(f"{name} >= 0", name=op.f(f"ck_receipts_{name}")) for name in TOKENS),
        comment="the provider's records of answers; they outrank whatever the answer disclosed",
    )
    op.create_index("ix_receipts_slot_observation", "receipts", ["slot", "observation"])
    op.create_index(
        "ix_receipts_due", "receipts", ["due_at"], postgresql_where=sa.text("settled_at IS NULL")
    )


def downgrade() -> None:
    op.drop_table("receipts")
