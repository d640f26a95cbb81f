"""Every statement of the shipped dashboards runs, and every series they name is exported."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from monitor.domain import Identity
from monitor.storage import Database, schema
from tests.contract.past_day import roll_up_database, row_at, store
from tests.contract.test_roles import as_role
from tests.example_history import seed_history
from tests.unit.test_metrics import metrics

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
LABELS = {"gen_ai_operation_name", "gen_ai_response_model"}


def dashboard(name: str) -> dict[str, Any]:
    return dict(json.loads((DASHBOARDS / f"{name}.json").read_text(encoding="utf-8")))


def statements() -> Iterator[tuple[str, str]]:
    board = dashboard("postgres")
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["rawSql"]
    for annotation in board["annotations"]["list"]:
        yield annotation["name"], annotation["target"]["rawSql"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]


def as_grafana_sends(statement: str) -> str:
    """The statement with Grafana's macros and variables filled in: instants are bare literals."""
    now = datetime.now(UTC)
    since, until = (f"'{at:%Y-%m-%dT%H:%M:%S.%fZ}'" for at in (now - timedelta(days=2), now))
    filled = re.sub(r"\$__timeFilter\(([^()]+(?:\(\))?)\)",
                    rf"\1 BETWEEN {since} AND {until}", statement)  # fmt: skip
    filled = filled.replace("$__timeFrom()", since).replace("$__timeTo()", until)
    filled = filled.replace("${target:sqlstring}", "'rag','other'")
    assert "$" not in filled
    return filled


@pytest.fixture
async def reader(database: Database, database_url: str) -> AsyncIterator[psycopg.Connection[Any]]:
    """Two targets with the same queries, two regions, and one model judged in two ways."""
    schema.ensure(database_url)
    await seed_history(database, hours=23)
    now = datetime.now(UTC).replace(microsecond=0)
    same: dict[str, Any] = {"slot": now - timedelta(hours=3), "query": "hi"}
    await store(
        database, row_at(**_at(same), region="sin"), row_at(**_at(same), target="other"),
        row_at(**_at(same), identity=Identity.CHANGED), row_at(**_at(same), model_detected=None,
                                                            identity=Identity.UNKNOWN),
    )  # fmt: skip
    await roll_up_database(database)
    async with database.begin() as connection:
        await connection.execute(text(
            "INSERT INTO mutes (rule, target, reason, muted_by, until) "
            "VALUES ('ttft', 'rag', 'deploy', 'ada', now() + interval '1 hour')"
        ))  # fmt: skip
        await connection.execute(text(
            "INSERT INTO account_readings (provider, at, state) VALUES ('openrouter', now(), 'ok')"
        ))  # fmt: skip
    with as_role(database_url, "monitor_reader") as connection:
        yield connection


def _at(same: dict[str, Any]) -> dict[str, Any]:
    """Each on suspicion, so that several stand in one round."""
    return {"at": same["slot"], "query": same["query"], "origin": "burst"}


async def test_every_statement_runs_as_the_reader_and_finds_what_was_seeded(
    reader: psycopg.Connection[Any],
) -> None:
    found = {}
    for title, statement in statements():
        found[title] = len(reader.execute(as_grafana_sends(statement).encode()).fetchall())
    assert len(found) == len(list(statements())) == 17
    assert {title for title, count in found.items() if not count} == set()


async def test_a_series_has_one_point_at_a_time(reader: psycopg.Connection[Any]) -> None:
    """Grafana draws every row of a time series: two at one time are a zigzag, not a sum."""
    twice, series = {}, 0
    for panel in dashboard("postgres")["panels"]:
        if panel["type"] != "timeseries":
            continue
        for target in panel["targets"]:
            rows = reader.execute(as_grafana_sends(target["rawSql"]).encode())
            columns = [column.name for column in rows.description or ()]
            assert columns[0] == "time"
            assert len(columns) == 3 if "metric" in columns else "value" not in columns
            points = Counter(
                tuple(value for name, value in zip(columns, row, strict=True)
                      if name in {"time", "metric"})
                for row in rows
            )  # fmt: skip
            series += len({point[1:] for point in points})
            if more := [point for point, count in points.items() if count > 1]:
                twice[panel["title"]] = more
    assert twice == {}
    assert series > 20


async def test_statements_read_nothing_but_the_promised_views() -> None:
    for title, statement in statements():
        sources = re.findall(r"\b(?:FROM|JOIN)\s+([\w.]+)", statement)
        assert sources, title
        assert all(source.startswith("report.") for source in sources), title


def named(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:gen_ai|monitor)_\w+", expression)) - LABELS


def test_every_series_is_exported_and_every_exported_one_is_shown() -> None:
    families = text_string_to_metric_families(metrics().page()[1].decode())
    exported = {sample.name for family in families for sample in family.samples}
    board = dashboard("prometheus")
    requested = {
        name for panel in board["panels"] for target in panel["targets"]
        for name in named(target["expr"])
    }  # fmt: skip
    requested |= {n for v in board["templating"]["list"] for n in named(v["query"])}
    assert requested - exported == set()
    plain = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exported}
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in requested}
    assert plain - shown == {
        "monitor_probe_budget_left_probes", "monitor_evaluation_seconds",
        "monitor_evaluation_read_ahead_seconds",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["postgres", "prometheus"])
def test_panels_do_not_lie_on_each_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard(name)["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
