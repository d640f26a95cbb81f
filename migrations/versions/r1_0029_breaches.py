"""An incident that came back keeps when each earlier breach began and ended."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "r1_0029"
down_revision = "r1_0028"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
# The bodies of the view, oldest first: each comments its new columns.
BEFORE = ("r1_0003", "r1_0015", "r1_0016", "r1_0022", "r1_0024", "r1_0025", "r1_0026")
EARLIER = "start and end of each breach before the latest return; NULL: it never came back"


def upgrade() -> None:
    op.add_column("incidents",
                  sa.Column("earlier_breaches", sa.ARRAY(sa.DateTime(timezone=True), dimensions=2),
                            comment=EARLIER))  # fmt: skip
    _run(revision)


def downgrade() -> None:
    op.execute("DROP VIEW report.incidents")
    for folder in BEFORE:
        _run(folder)
    op.drop_column("incidents", "earlier_breaches")


def _run(folder: str) -> None:
    op.execute((HERE / folder / "incidents.sql").read_text(encoding="utf-8"))
