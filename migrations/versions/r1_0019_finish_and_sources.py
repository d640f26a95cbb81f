"""Why an answer ended, and what retrieval found for it."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "r1_0019"
down_revision = "r1_0018"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
ADDED: dict[str, tuple[Any, str]] = {
    "finish": (
        sa.Text,
        "why the answer ended: docs/metrics.md#finish; NULL: the stream says nothing",
    ),
    "source_count": (
        sa.Integer,
        "retrieved sources the stream lists; NULL: the protocol lists none",
    ),
    "source_best_score": (sa.Double, "best score of these; NULL: none has a score"),
    "source_newest_at": (
        sa.DateTime(timezone=True),
        "newest date of these; NULL: none has a date",
    ),
}


def upgrade() -> None:
    for name, (kind, comment) in ADDED.items():
        op.add_column("observations", sa.Column(name, kind, nullable=True, comment=comment))
    _view("r1_0019")


def downgrade() -> None:
    op.execute("DROP VIEW report.observations")
    for name in ADDED:
        op.drop_column("observations", name)
    for folder in ("r1_0003", "r1_0014", "r1_0016"):  # the first holds the comments
        _view(folder)


def _view(folder: str) -> None:
    op.execute((HERE / folder / "observations.sql").read_text(encoding="utf-8"))
