"""Rounds are due while a target is watched; savings without rounded means; doubts about model lists."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "r1_0039"
down_revision = "r1_0038"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column(
        "report_targets",
        sa.Column(
            "gone_at", INSTANT, comment="when it left the configuration; NULL: it is watched"
        ),
    )
    op.add_column(
        "report_state",
        sa.Column(
            "absences",
            postgresql.TSTZMULTIRANGE(),
            nullable=False,
            server_default="{}",
            comment="times in which no worker ran: no round was due",
        ),
    )
    op.create_table(
        "model_list_doubts",
        sa.Column("provider", sa.Text(), nullable=False, comment="provider of the list"),
        sa.Column("at", INSTANT, nullable=False, comment="when it was last read"),
        sa.Column(
            "lost",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="known models that the list lacks, sorted",
        ),
        sa.Column(
            "lacked_s",
            sa.Double(),
            nullable=False,
            comment="for how long readings lacked the same models, seconds",
        ),
        sa.PrimaryKeyConstraint("provider"),
        comment="lists of models that look incomplete and are not believed yet",
    )
    op.execute("DELETE FROM model_statistics WHERE model = '(short list)'")
    for name in ("slots_between", "ttft_hours", "worker_absences", "savings_daily"):
        _run(revision, name)


def downgrade() -> None:
    _run("r1_0022", "ttft_hours")
    op.execute("DROP VIEW report.savings_daily")
    _run("r1_0003", "savings_daily")
    _run("r1_0032", "comments")
    op.execute("DROP VIEW report.worker_absences")
    op.execute("DROP FUNCTION report.slots_between")
    op.drop_table("model_list_doubts")
    op.drop_column("report_state", "absences")
    op.drop_column("report_targets", "gone_at")


def _run(folder: str, name: str) -> None:
    op.execute((HERE / folder / f"{name}.sql").read_text(encoding="utf-8"))
