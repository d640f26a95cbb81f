"""Token accounting: a tokenizer is seen to fit for each canned query by itself."""

import sqlalchemy as sa
from alembic import op

revision = "r1_0013"
down_revision = "r1_0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM identity_tokenizers")  # soon seen again
    op.add_column(
        "identity_tokenizers",
        sa.Column("query", sa.Text(), nullable=False, comment="id of the canned query"),
    )
    op.drop_constraint(op.f("pk_identity_tokenizers"), "identity_tokenizers")
    op.create_primary_key(
        op.f("pk_identity_tokenizers"), "identity_tokenizers", ["target", "model", "query"]
    )


def downgrade() -> None:
    op.execute("DELETE FROM identity_tokenizers")
    op.drop_constraint(op.f("pk_identity_tokenizers"), "identity_tokenizers")
    op.create_primary_key(
        op.f("pk_identity_tokenizers"), "identity_tokenizers", ["target", "model"]
    )
    op.drop_column("identity_tokenizers", "query")
