"""Token accounting: counts beside confirmed answers, and which tokenizers were seen to fit."""

import sqlalchemy as sa
from alembic import op

revision = "r1_0011"
down_revision = "r1_0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "identity_answers",
        sa.Column(
            "tokens",
            sa.Integer(),
            nullable=True,
            comment="of the answer, as the service counted; NULL: not said",
        ),
    )
    op.create_check_constraint(op.f("ck_identity_answers_tokens"), "identity_answers", "tokens > 0")
    op.create_table(
        "identity_tokenizers",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False, comment="whose tokenizer it is"),
        sa.Column(
            "seen_to_fit_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when the target's token counts were first seen to be this tokenizer's",
        ),
        sa.PrimaryKeyConstraint("target", "model", name=op.f("pk_identity_tokenizers")),
        comment="tokenizers that once fitted a target's token counts: only these may cease to fit",
    )


def downgrade() -> None:
    op.drop_table("identity_tokenizers")
    op.drop_constraint(op.f("ck_identity_answers_tokens"), "identity_answers")
    op.drop_column("identity_answers", "tokens")
