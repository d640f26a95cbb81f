"""When an observation was last derived again: archives of raw rows follow these changes."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "r1_0033"
down_revision = "r1_0032"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
COMMENT = (
    "when identity and cost were last derived again, or the row was restored, database clock; "
    "NULL: never"
)
BEFORE = ("r1_0003", "r1_0014", "r1_0016", "r1_0019", "r1_0022")  # the first hold the comments


def upgrade() -> None:
    derived_at = sa.Column("derived_at", sa.DateTime(timezone=True), comment=COMMENT)
    op.add_column("observations", derived_at)
    op.create_index(
        "ix_observations_derived_at",
        "observations",
        ["derived_at"],
        postgresql_where=sa.text("derived_at IS NOT NULL"),
    )
    _view("r1_0033")


def downgrade() -> None:
    op.execute("DROP VIEW report.observations")
    op.drop_column("observations", "derived_at")
    for folder in BEFORE:
        _view(folder)
    op.execute((HERE / "r1_0032" / "comments.sql").read_text(encoding="utf-8"))


def _view(folder: str) -> None:
    op.execute((HERE / folder / "observations.sql").read_text(encoding="utf-8"))
