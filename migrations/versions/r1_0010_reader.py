"""Reports for a role that reads schema `report` alone; old health pages contradict nobody.

The bodies are plain SQL in the folder named like this revision.
"""

from pathlib import Path

from alembic import op

revision = "r1_0010"
down_revision = "r1_0006"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    for name in ("about", "health"):
        op.execute((HERE / "r1_0010" / f"{name}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("DROP FUNCTION report.zone, report.revision")
    op.execute("DROP VIEW report.health")
    op.execute((HERE / "r1_0003" / "health.sql").read_text(encoding="utf-8"))
