"""The address that is requested for the URLs people copy out of public documentation."""

import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from monitor.dialects import DIALECTS, dialect_of
from tests.case_tables import each
from tests.example_transcripts import HI, target

SAMPLES = Path(__file__).parent / "samples/base_urls.txt"
ROWS = [row for row in SAMPLES.read_text("utf-8").splitlines() if not row.startswith("#")]


@each("row", ROWS)
def test_the_address_requested_is_the_one_documented(row: str) -> None:
    dialect, url, address = row.split(" ")
    whole = url if address == "as-it-is" else address.replace("…", url.split("?")[0])
    wanted = target(dialect, url=url)
    assert dialect_of(wanted).build_request(HI, wanted).url == whole


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "custom"])
@pytest.mark.parametrize("url", ["https://h/ask", "https://h/", "https://h/v1/x?a=1"])
def test_an_empty_path_option_says_that_the_url_is_the_address(dialect: str, url: str) -> None:
    wanted = target(dialect, url=url, options={"path": ""})
    assert dialect_of(wanted).build_request(HI, wanted).url.startswith(url)


def test_the_table_is_well_formed_and_names_its_sources() -> None:
    text = files("monitor.dialects").joinpath("base_urls.toml").read_text("utf-8")
    rows = tomllib.loads(text)["base"]
    keys = {"name", "source", "host", "path", "query", "dialects", "append"}
    for row in rows:
        assert row["name"], row
        assert row.keys() <= keys, row
        assert row["source"].startswith("https://"), row
        assert set(row.get("dialects", ())) <= DIALECTS.keys(), row
        assert row.get("host") or row["path"], row
        row["append"].format(path="", endpoint="")
    places = [(row.get("host"), row["path"], str(row.get("dialects")), row.get("query"))
              for row in rows]  # fmt: skip
    assert len(set(places)) == len(places)
    assert len(ROWS) > 60
