"""The result of the checks of an answer's content."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "r1_0034"
down_revision = "r1_0033"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
# The bodies of the view, oldest first: each comments its new columns.
BEFORE = ("r1_0003", "r1_0014", "r1_0016", "r1_0019", "r1_0022", "r1_0033")


def upgrade() -> None:
    op.add_column(
        "observations",
        sa.Column(
            "check_passed",
            sa.Boolean(),
            comment="whether the answer met its query's expectations; NULL: not checked",
        ),
    )
    op.add_column(
        "observations",
        sa.Column("check_failed", sa.Text(), comment="first failed check; NULL: none failed"),
    )
    _run(revision)


def downgrade() -> None:
    op.execute("DROP VIEW report.observations")
    for folder in BEFORE:
        _run(folder)
    op.execute((HERE / "r1_0032" / "comments.sql").read_text(encoding="utf-8"))
    op.drop_column("observations", "check_failed")
    op.drop_column("observations", "check_passed")


def _run(folder: str) -> None:
    op.execute((HERE / folder / "observations.sql").read_text(encoding="utf-8"))
