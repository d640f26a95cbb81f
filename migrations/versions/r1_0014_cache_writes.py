"""Tokens written to a provider's cache: they have a price of their own.

The body of the view is plain SQL in the folder named like this revision.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "r1_0014"
down_revision = "r1_0013"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    op.add_column(
        "observations",
        sa.Column(
            "cache_write_tokens",
            sa.Integer(),
            nullable=True,
            comment="part of prompt_tokens, written to the provider's cache",
        ),
    )
    op.create_check_constraint(
        op.f("ck_observations_cache_write_tokens"), "observations", "cache_write_tokens >= 0"
    )
    op.execute((HERE / "r1_0014" / "observations.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("DROP VIEW report.observations")
    op.drop_column("observations", "cache_write_tokens")
    op.execute((HERE / "r1_0003" / "observations.sql").read_text(encoding="utf-8"))
