"""docs/configuration.md names every key of the schema and every variable, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path

from monitor.config.config_errors import known_keys
from monitor.config.environment import VARIABLES
from monitor.config.file_schema import ConfigFile

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
SECTIONS = {
    "`[targets.NAME]`": ("targets", "rag"),
    "`[[targets.NAME.queries]]`": ("targets", "rag", "queries", "0"),
    "`[targets.NAME.health]`": ("targets", "rag", "health"),
    "`[[maintenance]]`": ("maintenance", "0"),
    "`[[channels]]`": ("channels", "0"),
}
TABLES = {"queries", "health"}  # keys of a target with a section of their own
APART = {'[prices."MODEL"]', "[rules.RULE]", '[tokenizers."MODEL"]', "file", "pattern"}


def rows() -> Iterator[tuple[str, str]]:
    """Heading and name of each `name` in the first column of a table."""
    heading = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| `"):
            first = line.split(" | ")[0]
            yield from ((heading, name) for name in re.findall(r"`([^`]+)`", first))


def test_every_key_has_a_row_and_every_row_a_key() -> None:
    found = list(rows())
    assert len(found) == len(set(found))
    for heading, path in SECTIONS.items():
        named = {name for where, name in found if where == heading}
        assert named == set(known_keys(path)) - (TABLES if path == ("targets", "rag") else set())
    elsewhere = {name for where, name in found if where == "Other sections"}
    sections = set(ConfigFile.model_fields) - {
        "targets",
        "rules",
        "prices",
        "tokenizers",
        "maintenance",
        "channels",
    }
    keys = {f"{section}.{key}" for section in sections for key in known_keys([section])}
    assert elsewhere - APART == keys
    assert elsewhere >= APART
    assert set(known_keys(["tokenizers", "m"])) == {"file", "pattern"}


def test_every_variable_has_a_row_and_every_row_a_variable() -> None:
    named = {name for heading, name in rows() if heading == "Environment"}
    undocumented, unknown = set(VARIABLES) - named, named - set(VARIABLES)
    assert not undocumented, f"no row in docs/configuration.md: {sorted(undocumented)}"
    assert not unknown, f"nobody reads: {sorted(unknown)}"


def test_the_page_was_read() -> None:
    assert len(list(rows())) > 60
