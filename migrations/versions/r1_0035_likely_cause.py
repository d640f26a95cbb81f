"""Sources of likely causes: attempts in records, a provider's list and statistics of models."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "r1_0035"
down_revision = "r1_0034"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
HERE = Path(__file__).parent
# The bodies of the view, oldest first: each comments its new columns.
BEFORE = (
    "r1_0003", "r1_0015", "r1_0016", "r1_0022", "r1_0024", "r1_0025", "r1_0026", "r1_0029", "r1_0031",
)  # fmt: skip


def upgrade() -> None:
    op.add_column(
        "receipts",
        sa.Column(
            "attempts",
            postgresql.JSONB(),
            comment="attempts of the router in order: status, host, model; NULL: not stated",
        ),
    )
    op.create_table(
        "model_listings",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("provider", sa.Text(), nullable=False, comment="provider of the list"),
        sa.Column(
            "model", sa.Text(), nullable=False, comment="model as the configuration names it"
        ),
        sa.Column(
            "listed_as", sa.Text(), comment="model as the provider names it; NULL: not listed"
        ),
        sa.Column("at", INSTANT, nullable=False, comment="when this content was first read"),
        sa.Column("checked_at", INSTANT, nullable=False, comment="when this content was last read"),
        sa.Column("expires_on", sa.Date(), comment="announced end of the model; NULL: none"),
        sa.Column(
            "rates",
            postgresql.JSONB(),
            nullable=False,
            server_default="{}",
            comment="list price, USD per million tokens (request: USD per request), "
            "decimals as text",
        ),
        sa.CheckConstraint("checked_at >= at", "checked_after_at"),
        comment="models of the targets in a provider's public list: one row per change",
    )
    op.create_index("ix_model_listings_model_at", "model_listings", ["provider", "model", "at"])
    op.create_table(
        "model_statistics",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("provider", sa.Text(), nullable=False, comment="provider of the statistics"),
        sa.Column(
            "model", sa.Text(), nullable=False, comment="model as the configuration names it"
        ),
        sa.Column("at", INSTANT, nullable=False, comment="when it was read"),
        sa.Column(
            "hosts",
            postgresql.JSONB(),
            nullable=False,
            comment="of each host that serves the model: host, uptime_percent of the last "
            "5 or 30 minutes, ttft_ms (median of 30 minutes)",
        ),
        comment="a provider's own statistics of a model, read while an incident of a target "
        "is open",
    )
    op.create_index("ix_model_statistics_model_at", "model_statistics", ["provider", "model", "at"])
    op.execute(
        "COMMENT ON COLUMN incidents.finding IS 'the latest breach in parts: what, extent, money, "
        "cause, cause_owner, first_step, certainty'"
    )
    _view("r1_0035")


def downgrade() -> None:
    op.execute("DROP VIEW report.incidents")
    for folder in BEFORE:
        _view(folder)
    op.execute((HERE / "r1_0032" / "comments.sql").read_text(encoding="utf-8"))
    op.drop_table("model_statistics")
    op.drop_table("model_listings")
    op.drop_column("receipts", "attempts")


def _view(folder: str) -> None:
    op.execute((HERE / folder / "incidents.sql").read_text(encoding="utf-8"))
