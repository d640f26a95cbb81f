"""SQL lies in files beside storage: each is used, each statement of reports is documented."""

import ast
import re
from pathlib import Path

import pytest

from monitor.storage import REVISION, schema
from monitor.storage.report_data import REPORT_QUERIES, ReportQuery
from tests.parsed_sources import nodes

ROOT = Path(__file__).parents[2]
STORAGE = ROOT / "monitor" / "storage"
FILES = {path.stem: path.read_text(encoding="utf-8") for path in (STORAGE / "sql").glob("*.sql")}
ENTRIES = pytest.mark.parametrize("entry", REPORT_QUERIES, ids=lambda entry: entry.name)


def named() -> set[str]:
    """Every text in the room's code that is the name of a file, and the files of the entries."""
    found = {file for entry in REPORT_QUERIES for file in entry.files}
    for path in STORAGE.glob("*.py"):
        for node in nodes(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def section() -> str:
    page = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
    return page[page.index("## Statements of the reports") :].split("\n## ")[0]


def test_the_program_knows_the_newest_revision() -> None:
    files = (path.stem for path in schema.migrations().glob("versions/r*.py"))
    newest = max(re.findall(r"\br\d+_\d+", " ".join(files)))
    assert newest == REVISION, "set REVISION in monitor/storage/schema.py to the newest revision"


def test_every_sql_file_is_used() -> None:
    assert len(FILES) > 30, "too few files were found"
    assert FILES.keys() - named() == set()


@ENTRIES
def test_a_statement_of_reports_has_its_files(entry: ReportQuery[object]) -> None:
    assert set(entry.files) <= FILES.keys()


@ENTRIES
def test_a_statement_of_reports_reads_the_schema_report_alone(entry: ReportQuery[object]) -> None:
    for file in entry.files:
        sources = re.findall(r"(?<!DISTINCT )\b(?:FROM|JOIN)\s+([a-z_.]+)(?!\w*\()", FILES[file])
        own = set(re.findall(r"(\w+) AS (?:MATERIALIZED )?\(", FILES[file])) | {"latest", "unnest"}
        assert {s for s in sources if not s.startswith("report.")} <= own


@ENTRIES
def test_a_statement_of_reports_has_its_row_in_the_documents(entry: ReportQuery[object]) -> None:
    [row] = [line for line in section().splitlines() if line.startswith(f"| `{entry.name}` |")]
    assert all(f"`{file}.sql`" in row for file in set(entry.files)), row


def test_no_other_row_names_a_statement() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section(), re.MULTILINE)
    assert sorted(rows) == sorted(entry.name for entry in REPORT_QUERIES)
