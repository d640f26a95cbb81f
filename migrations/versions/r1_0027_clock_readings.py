"""Each machine keeps how the database's clock went: a step shows after a restart, too."""

import sqlalchemy as sa
from alembic import op

revision = "r1_0027"
down_revision = "r1_0026"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "clock_readings",
        sa.Column("boot", sa.Text(), primary_key=True, comment="one start of one machine"),
        sa.Column("at", INSTANT, nullable=False, comment="latest look at the database's clock"),
        sa.Column(
            "steady_s",
            sa.Double(),
            nullable=False,
            comment="the machine's steady clock then, s",
        ),
        sa.Column(
            "since",
            INSTANT,
            nullable=False,
            comment="up to at, the database's clock went evenly from here",
        ),
        comment="the database's clock as each machine saw it: a step shows after a restart, too",
    )


def downgrade() -> None:
    op.drop_table("clock_readings")
