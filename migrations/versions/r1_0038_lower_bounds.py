"""Days of which the monitor states a lower bound alone are marked in the reconciliation."""

from pathlib import Path

from alembic import op

revision = "r1_0038"
down_revision = "r1_0037"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    _run(revision)


def downgrade() -> None:
    op.execute("DROP VIEW report.reconciliation_daily")
    _run("r1_0036")


def _run(folder: str) -> None:
    op.execute((HERE / folder / "reconciliation_daily.sql").read_text(encoding="utf-8"))
