"""Schema `report`: the last hour of a target costs what its own rows cost.

The body is plain SQL in the folder named like this revision.
"""

from pathlib import Path

from alembic import op

revision = "r1_0012"
down_revision = "r1_0011"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    op.execute((HERE / "r1_0012" / "health.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute((HERE / "r1_0010" / "health.sql").read_text(encoding="utf-8"))
