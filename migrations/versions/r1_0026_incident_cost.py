"""`report.incidents` counts partly covered hours by their rows: a young incident costs what it cost."""

from pathlib import Path

from alembic import op

revision = "r1_0026"
down_revision = "r1_0025"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
# The bodies of the view, oldest first: each comments its new columns.
BEFORE = ("r1_0003", "r1_0015", "r1_0016", "r1_0022", "r1_0024", "r1_0025")


def upgrade() -> None:
    _run(revision)


def downgrade() -> None:
    op.execute("DROP VIEW report.incidents")
    for folder in BEFORE:
        _run(folder)


def _run(folder: str) -> None:
    op.execute((HERE / folder / "incidents.sql").read_text(encoding="utf-8"))
