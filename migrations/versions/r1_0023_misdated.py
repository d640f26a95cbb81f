"""Observations of the future are set aside: they take no slot, and no rule judges them later."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "r1_0023"
down_revision = "r1_0022"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "misdated_observations",
        sa.Column("id", sa.Uuid(), primary_key=True, comment="of the observation"),
        sa.Column("target", sa.Text(), nullable=False, comment="name of the watched service"),
        sa.Column("started_at", INSTANT, nullable=False, comment="as stored, by a wrong clock"),
        sa.Column("noticed_at", INSTANT, nullable=False, comment="set aside, database's clock"),
        sa.Column(
            "observation",
            postgresql.JSONB(),
            nullable=False,
            comment="the whole row, to restore it from",
        ),
        comment="observations dated in the future when they were noticed: "
        "neither judged nor reported",
    )
    op.create_index("ix_misdated_observations_noticed_at", "misdated_observations", ["noticed_at"])
    op.execute((HERE / revision / "set_aside.sql").read_text())


def downgrade() -> None:
    op.execute("DROP FUNCTION set_aside_observations(text, interval, interval)")
    op.drop_table("misdated_observations")
