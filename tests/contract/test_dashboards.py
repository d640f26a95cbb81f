"""Every statement of the shipped dashboards runs, and every series they name is exported."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from monitor.store import Database
from tests.seeds import seed
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
    """The statement with Grafana's macros and variables filled in."""
    since, until = "now() - interval '2 days'", "now()"
    filled = re.sub(r"\$__timeFilter\(([^()]+(?:\(\))?)\)",
                    rf"\1 BETWEEN {since} AND {until}", statement)  # fmt: skip
    filled = filled.replace("$__timeFrom()", since).replace("$__timeTo()", until)
    filled = filled.replace("${target:sqlstring}", "'rag','other'")
    assert "$" not in filled
    return filled


async def test_every_statement_runs_and_finds_what_was_seeded(database: Database) -> None:
    await seed(database, hours=23)
    found = {}
    for title, statement in statements():
        async with database.begin() as connection:
            rows = (await connection.execute(text(as_grafana_sends(statement)))).all()
        found[title] = len(rows)
    assert len(found) == len(list(statements())) == 13
    assert {title for title, count in found.items() if not count} <= {"Spend per day"}


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
    asked = {
        name for panel in board["panels"] for target in panel["targets"]
        for name in named(target["expr"])
    }  # fmt: skip
    asked |= {n for v in board["templating"]["list"] for n in named(v["query"])}
    assert asked - exported == set()
    plain = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exported}
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked}
    assert plain - shown == {"monitor_probe_budget_left_probes"}


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
