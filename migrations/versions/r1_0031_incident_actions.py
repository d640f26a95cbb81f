"""Answers of people to incidents: acknowledged, muted, chart wanted; who and when."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "r1_0031"
down_revision = "r1_0030"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
HERE = Path(__file__).parent
# The bodies of the view, oldest first: each comments its new columns.
BEFORE = ("r1_0003", "r1_0015", "r1_0016", "r1_0022", "r1_0024", "r1_0025", "r1_0026", "r1_0029")


def upgrade() -> None:
    op.create_table(
        "incident_actions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column(
            "incident",
            sa.BigInteger(),
            sa.ForeignKey("incidents.number"),
            nullable=False,
            comment="the number that the message carries",
        ),
        sa.Column("action", sa.Text(), nullable=False, comment="acknowledge, mute or chart"),
        sa.Column(
            "actor",
            sa.Text(),
            nullable=False,
            comment="user id in the channel; by command: the name given",
        ),
        sa.Column("name", sa.Text(), comment="name of the person; NULL: not known"),
        sa.Column(
            "nth",
            sa.Integer(),
            nullable=False,
            comment="how often this person did it, this included",
        ),
        sa.Column("channel", sa.Text(), comment="channel of the reaction; NULL: by command"),
        sa.Column("reference", sa.Text(), comment="message of the reaction; NULL: by command"),
        sa.Column(
            "at",
            INSTANT,
            nullable=False,
            server_default=sa.func.now(),
            comment="when it was seen and took effect",
        ),
        sa.Column("removed_at", INSTANT, comment="reaction seen as removed; NULL: it stands"),
        sa.Column("undone_at", INSTANT, comment="no longer in effect since; NULL: in effect"),
        sa.Column(
            "undone_by", sa.Text(), comment="who undid it; NULL: not undone, or its time was over"
        ),
        sa.Column(
            "attempts",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="of a chart: tries to post it",
        ),
        sa.Column("done_at", INSTANT, comment="of a chart: when it was posted or given up"),
        sa.Column(
            "failure", sa.Text(), comment="of a chart: why it was given up; NULL: it was not"
        ),
        sa.CheckConstraint("action IN ('acknowledge', 'mute', 'chart')", "action"),
        sa.UniqueConstraint("incident", "action", "actor", "nth"),
        comment="answers of people to incidents: who did what, when, and until when; kept for ever",
    )
    op.add_column(
        "mutes",
        sa.Column(
            "action",
            sa.BigInteger(),
            sa.ForeignKey("incident_actions.id"),
            comment="the answer to an incident that made it; NULL: by command",
        ),
    )
    _run(revision)


def downgrade() -> None:
    op.execute("DROP VIEW report.incidents")
    for folder in BEFORE:
        _run(folder)
    op.drop_column("mutes", "action")
    op.drop_table("incident_actions")


def _run(folder: str) -> None:
    op.execute((HERE / folder / "incidents.sql").read_text(encoding="utf-8"))
