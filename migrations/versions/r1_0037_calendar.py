"""The calendar: dates of keys, credit, certificates, models and prices."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "r1_0037"
down_revision = "r1_0036"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "calendar_entries",
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="key, credit, certificate, model (announced end), unlisted or price",
        ),
        sa.Column("scope", sa.Text(), nullable=False, comment="target or provider"),
        sa.Column(
            "model", sa.Text(), nullable=False, server_default="", comment="model; empty: none"
        ),
        sa.Column(
            "term",
            sa.Text(),
            nullable=False,
            comment="tells dates of the same thing apart, such as of two certificates",
        ),
        sa.Column(
            "ends_at", INSTANT, nullable=False, comment="when it ends, or when it was changed"
        ),
        sa.Column("what", sa.Text(), nullable=False, comment="what happens then"),
        sa.Column("source", sa.Text(), nullable=False, comment="where it was read"),
        sa.Column("first_seen_at", INSTANT, nullable=False, server_default=sa.func.now()),
        sa.Column("seen_at", INSTANT, nullable=False, comment="when it was last read"),
        sa.Column(
            "notified_days",
            sa.Integer(),
            comment="latest notice, in days before ends_at; 0: it had happened; NULL: no notice",
        ),
        sa.Column(
            "gone_at", INSTANT, comment="renewed, withdrawn or removed since then; NULL: it stands"
        ),
        sa.PrimaryKeyConstraint("kind", "scope", "model", "term"),
        comment="dates of keys, credit, certificates, models and prices",
    )
    body = Path(__file__).parent / revision / "calendar.sql"
    op.execute(body.read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("DROP VIEW report.calendar")
    op.drop_table("calendar_entries")
