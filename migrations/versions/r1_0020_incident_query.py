"""Incidents of one canned query, for mode `immediate`: at most one open per rule, scope and query."""

import sqlalchemy as sa
from alembic import op

revision = "r1_0020"
down_revision = "r1_0019"
branch_labels = None
depends_on = None

OPEN = sa.text("resolved_at IS NULL")


def upgrade() -> None:
    op.add_column(
        "incidents",
        sa.Column(
            "query",
            sa.Text(),
            server_default="",
            nullable=False,
            comment='canned query it is about, in mode "immediate"; empty: the whole scope',
        ),
    )
    op.drop_index("uq_incidents_open", table_name="incidents")
    op.create_index(
        "uq_incidents_open",
        "incidents",
        ["rule", "target", "query"],
        unique=True,
        postgresql_where=OPEN,
    )


def downgrade() -> None:
    op.execute(
        "UPDATE incidents SET resolved_at = greatest(now(), opened_at), "
        "ended = 'Closed by a downgrade of the schema.' WHERE query <> '' AND resolved_at IS NULL"
    )
    op.drop_index("uq_incidents_open", table_name="incidents")
    op.create_index(
        "uq_incidents_open", "incidents", ["rule", "target"], unique=True, postgresql_where=OPEN
    )
    op.drop_column("incidents", "query")
