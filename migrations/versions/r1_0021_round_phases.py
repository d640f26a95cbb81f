"""Rounds due: one begins within its interval, at most five minutes after its slot."""

from pathlib import Path

from alembic import op

revision = "r1_0021"
down_revision = "r1_0020"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    op.execute((HERE / revision / "ttft_hours.sql").read_text())


def downgrade() -> None:
    before = (HERE / "r1_0003" / "ttft_hours.sql").read_text()
    op.execute(before.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))
