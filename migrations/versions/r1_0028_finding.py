"""Incidents keep their judgement in parts: messages say what, how much and why at one glance."""

import sqlalchemy as sa
from alembic import op

revision = "r1_0028"
down_revision = "r1_0027"
branch_labels = None
depends_on = None

PARTS = "the latest breach in parts: what, extent, money, cause, first_step, certainty"


def upgrade() -> None:
    op.add_column(
        "incidents",
        sa.Column("finding", sa.JSON(), nullable=False, server_default="{}", comment=PARTS),
    )


def downgrade() -> None:
    op.drop_column("incidents", "finding")
