"""Baselines can be reverted, and `report.health` counts every judgement of identity.

The body of the view is plain SQL in the folder named like this revision.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "r1_0017"
down_revision = "r1_0016"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
NOW = "baselines of a target; the highest epoch that is not reverted is in force"
BEFORE = "baselines of a target, one after the other; the highest epoch is in force"


def upgrade() -> None:
    op.add_column(
        "identity_epochs",
        sa.Column(
            "reverted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when a person put an earlier epoch in force again; NULL: not reverted",
        ),
    )
    op.create_table_comment("identity_epochs", NOW, existing_comment=BEFORE)
    for name in ("health", "comments"):
        op.execute((HERE / "r1_0017" / f"{name}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("DROP VIEW report.health")
    for earlier in ("r1_0003", "r1_0010", "r1_0012"):  # the first holds the comments
        op.execute((HERE / earlier / "health.sql").read_text(encoding="utf-8"))
    op.execute((HERE / "r1_0017" / "comments_before.sql").read_text(encoding="utf-8"))
    op.create_table_comment("identity_epochs", BEFORE, existing_comment=NOW)
    op.drop_column("identity_epochs", "reverted_at")
