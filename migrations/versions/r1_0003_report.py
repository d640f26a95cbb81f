"""Reports: rollups, spend by hour and day, and schema `report` with its promised views.

The bodies are plain SQL in the folder named like this revision, one file a view or function.
"""

from pathlib import Path

from alembic import op

revision = "r1_0003"
down_revision = "r1_0001"
branch_labels = None
depends_on = None

BODIES = Path(__file__).with_name("r1_0003")
FILES = (
    "tables",
    "keeping",
    "bucket",
    "bucket_ms",
    "merge",
    "percentile",
    "share_above",
    "ttft_hours",
    "answers_hours",
    "models_hours",
    "live_hours",
    "ttft_days",
    "answers_days",
    "models_days",
    "live_days",
    "observations",
    "ttft_hourly",
    "ttft_daily",
    "models_daily",
    "fallback_hourly",
    "spend_daily",
    "cost_per_query_daily",
    "savings_daily",
    "incidents",
    "health",
)
TABLES = (
    "health_readings",
    "rollups_due",
    "report_state",
    "report_targets",
    "spend_days",
    "spend_hourly",
    "models_daily",
    "models_hourly",
    "answers_daily",
    "answers_hourly",
    "rollups_daily",
    "rollups_hourly",
)


def upgrade() -> None:
    op.execute("CREATE SCHEMA report")
    op.execute("COMMENT ON SCHEMA report IS 'Views that are a promise: docs/sql.md'")
    for name in FILES:
        body = (BODIES / f"{name}.sql").read_text(encoding="utf-8")
        op.execute(body)


def downgrade() -> None:
    op.execute("DROP SCHEMA report CASCADE")
    op.execute("DROP FUNCTION forget_excerpts, forget_observations, drop_old_months, make_month")
    op.drop_index("ix_slots_slot", "slots")
    op.drop_index("ix_observations_excerpt", "observations")
    op.drop_index("ix_observations_recorded_at", "observations")
    for table in TABLES:
        op.drop_table(table)
