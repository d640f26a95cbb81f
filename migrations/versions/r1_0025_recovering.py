"""An open incident that is not in breach now says so: since when, and how it is meanwhile."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "r1_0025"
down_revision = "r1_0024"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
# The bodies of the view, oldest first: each comments its new columns.
BEFORE = ("r1_0003", "r1_0015", "r1_0016", "r1_0022", "r1_0024")
SINCE = "open, but not in breach since then; NULL: in breach, or resolved"


def upgrade() -> None:
    op.add_column("incidents",
                  sa.Column("recovering_since", sa.DateTime(timezone=True), comment=SINCE))  # fmt: skip
    op.add_column("incidents",
                  sa.Column("recovering_reason", sa.Text(),
                            comment="how it is meanwhile, in one sentence"))  # fmt: skip
    _run(revision)


def downgrade() -> None:
    op.execute("DROP VIEW report.incidents")
    for folder in BEFORE:
        _run(folder)
    op.drop_column("incidents", "recovering_reason")
    op.drop_column("incidents", "recovering_since")


def _run(folder: str) -> None:
    op.execute((HERE / folder / "incidents.sql").read_text(encoding="utf-8"))
