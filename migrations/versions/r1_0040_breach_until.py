"""When the latest breach of an incident ended: the rule resolves the incident later."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "r1_0040"
down_revision = "r1_0039"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
# The bodies of the view, oldest first: each comments its new columns.
BEFORE = (
    "r1_0003", "r1_0015", "r1_0016", "r1_0022", "r1_0024", "r1_0025", "r1_0026", "r1_0029", "r1_0031",
    "r1_0035",
)  # fmt: skip
UNTIL = "first good observation after the latest breach; NULL: none"


def upgrade() -> None:
    op.add_column("incidents", sa.Column("until", sa.DateTime(timezone=True), comment=UNTIL))
    _view(revision)


def downgrade() -> None:
    op.execute("DROP VIEW report.incidents")
    for folder in BEFORE:
        _view(folder)
    op.execute((HERE / "r1_0032" / "comments.sql").read_text(encoding="utf-8"))
    op.drop_column("incidents", "until")


def _view(folder: str) -> None:
    op.execute((HERE / folder / "incidents.sql").read_text(encoding="utf-8"))
