"""Incidents keep when the breach began, the sentence it fired with, and when it was heard.

What is stored of older incidents is filled in where rows prove it, and left NULL elsewhere.
The bodies are plain SQL in the folder named like this revision.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "r1_0015"
down_revision = "r1_0014"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
BODIES = HERE / revision
INSTANT = sa.DateTime(timezone=True)
COLUMNS = (
    ("first_seen_at", INSTANT,
     "start of the first bad row of the breach, fixed at opening; NULL: not known"),
    ("since", INSTANT, "start of the first bad row of the opening or of the latest return"),
    ("opening_because", sa.Text(), "the sentence it fired with, or came back with"),
    ("told_at", INSTANT,
     "when a channel first accepted an audible message about it; NULL: never"),
    ("announced_as", sa.BigInteger(), "the number its messages carry; NULL: its own"),
)  # fmt: skip


def upgrade() -> None:
    for name, kind, comment in COLUMNS:
        op.add_column("incidents", sa.Column(name, kind, nullable=True, comment=comment))
    op.create_foreign_key(
        op.f("fk_incidents_announced_as_incidents"),
        "incidents",
        "incidents",
        ["announced_as"],
        ["number"],
    )
    op.add_column(
        "outbox",
        sa.Column(
            "incidents",
            sa.ARRAY(sa.BigInteger()),
            nullable=False,
            server_default="{}",
            comment="numbers of the incidents the message reports",
        ),
    )
    for body in ("fill", "incidents"):
        op.execute((BODIES / f"{body}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("DROP VIEW report.incidents")
    op.drop_column("outbox", "incidents")
    for name, _, _ in reversed(COLUMNS):
        op.drop_column("incidents", name)
    op.execute((HERE / "r1_0003" / "incidents.sql").read_text(encoding="utf-8"))
