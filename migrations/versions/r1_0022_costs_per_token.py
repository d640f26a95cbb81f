"""Costs per token, by region and by target; missed rounds, mutes and provider keys as views.

Hours are right where a zone's clock steps by half an hour. The bodies are plain SQL in the
folder named like this revision. An upgrade replaces views and drops none, so that whoever was
granted one keeps it; what raw rows still tell is counted again by the worker, hour by hour.
"""

from pathlib import Path

from alembic import op

revision = "r1_0022"
down_revision = "r1_0021"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
HOURS, DAYS = "timestamptz, timestamptz", "date, date"
FUNCTIONS = {"answers_hours": HOURS, "models_hours": HOURS, "answers_days": DAYS,
             "models_days": DAYS}  # fmt: skip
NEW = ("cost_by_region_daily", "spend_hourly", "spend_by_target_daily", "missed_rounds", "mutes",
       "provider_keys")  # fmt: skip


def upgrade() -> None:
    _run("r1_0022", "tables", "functions", "ttft_hours")
    for span in ("hours", "days"):
        functions = {name: of for name, of in FUNCTIONS.items() if name.endswith(span)}
        for name, arguments in functions.items():
            op.execute(f"ALTER FUNCTION report.{name}({arguments}) RENAME TO {name}_before")
        _run("r1_0022", *functions, f"live_{span}")
        for name, arguments in functions.items():
            op.execute(f"DROP FUNCTION report.{name}_before({arguments})")
    _run("r1_0022", "observations", "cost_per_query_daily", "models_daily", "spend_daily",
         "incidents", *NEW)  # fmt: skip


def downgrade() -> None:
    views = ("observations", "incidents", "spend_daily", "savings_daily", "cost_per_query_daily",
             "models_daily", "fallback_hourly", *NEW)  # fmt: skip
    op.execute("DROP VIEW " + ", ".join(f"report.{view}" for view in views))
    for span in ("days", "hours"):
        for name, arguments in FUNCTIONS.items():
            if name.endswith(span):
                op.execute(f"DROP VIEW live_{name}")
                op.execute(f"DROP FUNCTION report.{name}({arguments})")
    _run("r1_0022", "tables_before")
    _run("r1_0021", "ttft_hours")
    _run("r1_0016", "answers_hours")
    _run("r1_0003", "models_hours")
    _live("hours")
    _run("r1_0016", "answers_days")
    _run("r1_0003", "models_days")
    _live("days")
    # The first file of a view holds the comments of its first columns.
    _run("r1_0003", "cost_per_query_daily")
    _run("r1_0016", "cost_per_query_daily")
    _run("r1_0003", "savings_daily", "models_daily", "fallback_hourly", "spend_daily")
    _run("r1_0016", "spend_daily")
    for folder in ("r1_0003", "r1_0014", "r1_0016", "r1_0019"):
        _run(folder, "observations")
    for folder in ("r1_0003", "r1_0015", "r1_0016"):
        _run(folder, "incidents")
    _run("r1_0017", "comments")
    op.execute("DROP FUNCTION report.list_cost, report.rate, report.hour_end, report.hour_of")


def _live(span: str) -> None:
    _run("r1_0022", f"live_{span}")


def _run(folder: str, *names: str) -> None:
    for name in names:
        op.execute((HERE / folder / f"{name}.sql").read_text(encoding="utf-8"))
