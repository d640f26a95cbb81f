"""Costs of unknown models: a range in every row, rollup and sum.

The bodies are plain SQL in the folder named like this revision. An upgrade replaces views and
drops none, so that whoever was granted one keeps it.
"""

from pathlib import Path

from alembic import op

revision = "r1_0016"
down_revision = "r1_0015"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
HOURS = ("answers_hours", "timestamptz, timestamptz")
DAYS = ("answers_days", "date, date")
LIVE_HOURS = """
    VIEW live_answers_hours AS
    SELECT * FROM answers_hourly WHERE hour < (SELECT hours_until FROM report_state)
    UNION ALL
    SELECT * FROM report.answers_hours((SELECT hours_until FROM report_state), 'infinity')
"""
LIVE_DAYS = """
    VIEW live_answers_days AS
    SELECT * FROM answers_daily WHERE day < (SELECT days_until FROM report_state)
    UNION ALL
    SELECT * FROM report.answers_days((SELECT days_until FROM report_state), 'infinity')
"""
RANGES = ("ranged", "low_usd", "high_usd",
          "answered_ranged", "answered_low_usd", "answered_high_usd")  # fmt: skip
ADDED = {
    "observations": ("cost_low_usd", "cost_high_usd"),
    "answers_hourly": RANGES,
    "answers_daily": RANGES,
    "spend_hourly": ("margin_usd",),
    "spend_days": ("probes_margin_usd", "traffic_margin_usd", "spent_margin_usd"),
}


def upgrade() -> None:
    _run("r1_0016", "tables")
    for (name, arguments), live in ((HOURS, LIVE_HOURS), (DAYS, LIVE_DAYS)):
        op.execute(f"ALTER FUNCTION report.{name}({arguments}) RENAME TO {name}_before")
        _run("r1_0016", name)
        op.execute(f"CREATE OR REPLACE {live}")
        op.execute(f"DROP FUNCTION report.{name}_before({arguments})")
    _run("r1_0016", "observations", "cost_per_query_daily", "spend_daily", "incidents")


def downgrade() -> None:
    op.execute("DROP VIEW report.observations, report.spend_daily, report.incidents, "
               "report.cost_per_query_daily, report.savings_daily")  # fmt: skip
    for view, (name, arguments) in (("live_answers_days", DAYS), ("live_answers_hours", HOURS)):
        op.execute(f"DROP VIEW {view}")
        op.execute(f"DROP FUNCTION report.{name}({arguments})")
    for table, columns in ADDED.items():
        for column in columns:
            op.drop_column(table, column)
    _run("r1_0003", "answers_hours")
    op.execute(f"CREATE {LIVE_HOURS}")
    _run("r1_0003", "answers_days")
    op.execute(f"CREATE {LIVE_DAYS}")
    _run("r1_0003", "cost_per_query_daily", "savings_daily", "spend_daily", "observations")
    _run("r1_0014", "observations")
    _run("r1_0015", "incidents")


def _run(folder: str, *names: str) -> None:
    for name in names:
        op.execute((HERE / folder / f"{name}.sql").read_text(encoding="utf-8"))
