"""Bills of providers for closed days, and their comparison with the stated spend."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "r1_0036"
down_revision = "r1_0035"
branch_labels = None
depends_on = None

MONEY = sa.Numeric(20, 12)
HERE = Path(__file__).parent


def upgrade() -> None:
    op.create_table(
        "provider_bills",
        sa.Column("provider", sa.Text(), nullable=False, comment="provider that bills"),
        sa.Column("day", sa.Date(), nullable=False, comment="closed UTC day"),
        sa.Column("usd", MONEY, comment="bill of the day, USD; NULL: only a total is reported"),
        sa.Column(
            "running_usd",
            MONEY,
            comment="total up to the end of the day, USD; NULL: the day itself is reported",
        ),
        sa.Column(
            "read_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it was last read",
        ),
        sa.CheckConstraint("usd >= 0 AND usd < 'NaN'", "usd"),
        sa.CheckConstraint("running_usd >= 0 AND running_usd < 'NaN'", "running_usd"),
        sa.PrimaryKeyConstraint("provider", "day"),
        comment="bills of providers for closed days; kept for ever",
    )
    op.execute((HERE / revision / "reconciliation_daily.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("DROP VIEW report.reconciliation_daily")
    op.drop_table("provider_bills")
