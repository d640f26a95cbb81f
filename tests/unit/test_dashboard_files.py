"""The shipped dashboards are what Grafana's schema asks for: fields, enumerations and unit ids."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.case_tables import each

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
NAMES = ["postgres", "prometheus"]
# Extracted from Grafana's own packages; the file names them.
GRAFANA: dict[str, Any] = json.loads(
    (Path(__file__).parent / "samples" / "grafana.json").read_text(encoding="utf-8")
)
UNITS = set(GRAFANA["units"])
KEYS = {what: set(names) for what, names in GRAFANA["keys"].items()}
CUSTOM: dict[str, Any] = {
    "lineWidth": range(11),
    "fillOpacity": range(101),
    "spanNulls": {True, False},
    **{name: GRAFANA[name] for name in ("drawStyle", "showPoints", "stacking", "thresholdsStyle")},
}
FORMATS = {"time_series", "table"}
SOURCES = {"grafana-postgresql-datasource", "prometheus"}


def dashboard(name: str) -> dict[str, Any]:
    return dict(json.loads((DASHBOARDS / f"{name}.json").read_text(encoding="utf-8")))


PANELS = [
    pytest.param(panel, id=f"{name}-{panel['id']}")
    for name in NAMES
    for panel in dashboard(name)["panels"]
]


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_has_what_grafana_asks_for(name: str) -> None:
    board = dashboard(name)
    assert board.keys() <= KEYS["dashboard"]
    assert board["title"]
    assert 0 < len(board["uid"]) <= 40
    assert board["schemaVersion"] >= 36
    assert board["time"].keys() == {"from", "to"}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) >= 10
    for variable in board["templating"]["list"]:
        assert variable.keys() <= KEYS["variable"]
        assert variable["type"] in GRAFANA["variables"]
        assert variable["name"]
        assert variable["query"]
    for annotation in board["annotations"]["list"]:
        assert annotation.keys() <= KEYS["annotation"]
        assert annotation["name"]
        assert annotation["datasource"]["type"] in SOURCES


@each("panel", PANELS)
def test_a_panel_has_what_grafana_asks_for(panel: dict[str, Any]) -> None:
    assert panel["type"] in {"timeseries", "stat", "table"}
    assert panel.keys() <= KEYS["panel"]
    assert panel["title"]
    assert panel["gridPos"].keys() == {"x", "y", "w", "h"}
    assert all(isinstance(size, int) for size in panel["gridPos"].values())
    assert panel["targets"]
    references = [target["refId"] for target in panel["targets"]]
    assert len(references) == len(set(references))
    for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
        assert source["type"] in SOURCES
        assert source["uid"] == "${datasource}"
    for target in panel["targets"]:
        if panel["datasource"]["type"] == "prometheus":
            assert target["expr"]
        else:
            assert target["rawSql"]
            assert target["rawQuery"] is True
            assert target["format"] in FORMATS
            assert (target["format"] == "time_series") == (panel["type"] == "timeseries")


@each("panel", PANELS)
def test_units_thresholds_and_styles_are_ones_that_grafana_knows(panel: dict[str, Any]) -> None:
    defaults, overrides = panel["fieldConfig"]["defaults"], panel["fieldConfig"]["overrides"]
    assert defaults.keys() <= KEYS["field"]
    assert defaults["unit"] in UNITS
    for override in overrides:
        assert override["matcher"]["id"] in GRAFANA["field_matchers"]
        assert override["matcher"]["options"]
        for change in override["properties"]:
            assert change["id"] == "unit"
            assert change["value"] in UNITS
    assert defaults.get("custom", {}).keys() <= KEYS["custom"]
    for name, value in defaults.get("custom", {}).items():
        assert (value["mode"] if isinstance(value, dict) else value) in CUSTOM[name], name
    thresholds = defaults.get("thresholds")
    if thresholds:
        assert thresholds["mode"] in GRAFANA["thresholds"]
        first, *others = [step["value"] for step in thresholds["steps"]]
        assert first is None
        assert others == sorted(others)


@each("panel", PANELS)
def test_dollars_seconds_and_counts_are_drawn_in_panels_of_their_own(panel: dict[str, Any]) -> None:
    """One unit a panel, unless a column has an override: no count is drawn as dollars."""
    named = {o["matcher"]["options"] for o in panel["fieldConfig"]["overrides"]}
    kinds = set()
    for target in panel["targets"]:
        query = target.get("expr") or target["rawSql"]
        if panel["type"] == "table":
            money = {word.strip(',"') for word in query.split() if word.endswith(("_usd", "_usd,"))}
            shown = {m for m in money if f"{m} AS" not in query}
            assert shown <= named | {"limit_value"}, "money in a column without a unit"
        elif "_usd" in query:
            kinds.add("money")
        else:
            kinds.add("seconds" if "_seconds" in query or "_ms" in query else "counts")
    assert len(kinds) <= 1
    if "money" in kinds:
        assert panel["fieldConfig"]["defaults"]["unit"] == "currencyUSD"
    else:
        assert panel["fieldConfig"]["defaults"]["unit"] != "currencyUSD"
