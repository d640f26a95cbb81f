"""Every test that docs/faults.md calls as a witness is there, and every case of it."""

import re
from pathlib import Path

from tests.case_tables import each

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")
WITNESSES = sorted(set(re.findall(r"`([a-z0-9_/]+\.py)::(test_\w+)(?:: ([^`]+))?`", PAGE)))

ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")]
FAULTS = [
    [cell.strip() for cell in row.strip("|").split(" | ")]
    for row in ROWS
    if not row.startswith(("| fault", "| ---"))
]


def test_no_witness_is_misspelt() -> None:
    named = re.findall(r"`[^`]*::[^`]*`", PAGE)
    assert len(WITNESSES) == len(set(named)) > 80


@each(("file", "name", "case"), WITNESSES)
def test_the_witness_is_there(file: str, name: str, case: str) -> None:
    text = (TESTS / file).read_text(encoding="utf-8")
    assert re.search(rf"^(?:async )?def {name}\(", text, re.MULTILINE)
    assert not case or f'Fault("{case}"' in text


def test_every_row_of_a_fault_has_a_witness_or_says_why_not() -> None:
    assert len(FAULTS) > 60
    for fault, _, shown_by in FAULTS:
        assert "::test_" in shown_by or re.match(r"no test: (\S+ ){5}", shown_by), fault


def test_every_file_named_is_there() -> None:
    named = re.findall(r"`((?:unit|contract|e2e)/[^`:]+)", PAGE)
    assert len(named) > 80
    assert not [file for file in named if not (TESTS / file).is_file()]


def test_no_fault_and_no_witness_of_a_row_is_listed_twice() -> None:
    ids = re.findall(r"^\| ([A-Z]\d+[a-z]?(?:, [A-Z]\d+[a-z]?)*) ", PAGE, re.MULTILINE)
    assert len(ids) == len(FAULTS)
    single = [one for several in ids for one in several.split(", ")]
    assert sorted(single) == sorted(set(single))
    for fault, _, shown_by in FAULTS:
        witnesses = re.findall(r"`[^`]*::[^`]*`", shown_by)
        assert len(witnesses) == len(set(witnesses)), fault
