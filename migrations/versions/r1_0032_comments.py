"""Comments of tables, views and functions in plain English."""

from pathlib import Path

from alembic import op

revision = "r1_0032"
down_revision = "r1_0031"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    op.execute((HERE / "r1_0032" / "comments.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Keep the comments: they describe the same columns."""
