"""Figures of an hour consider only the absences of workers near it."""

from pathlib import Path

from alembic import op

revision = "r1_0042"
down_revision = "r1_0041"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    _run(revision)


def downgrade() -> None:
    _run("r1_0041")


def _run(folder: str) -> None:
    op.execute((HERE / folder / "ttft_hours.sql").read_text(encoding="utf-8"))
