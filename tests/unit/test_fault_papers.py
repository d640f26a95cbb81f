"""Every test that docs/faults.md calls as a witness is there, and every case of it."""

import re
from pathlib import Path

from tests.case_tables import each

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")
WITNESSES = sorted(set(re.findall(r"`([a-z0-9_/]+\.py)::(test_\w+)(?:: ([^`]+))?`", PAGE)))


def test_no_witness_is_misspelt() -> None:
    named = re.findall(r"`[^`]*::[^`]*`", PAGE)
    assert len(WITNESSES) == len(set(named)) > 80


@each(("file", "name", "case"), WITNESSES)
def test_the_witness_is_there(file: str, name: str, case: str) -> None:
    text = (TESTS / file).read_text(encoding="utf-8")
    assert re.search(rf"^(?:async )?def {name}\(", text, re.MULTILINE)
    assert not case or f'Fault("{case}"' in text


def test_every_row_of_a_fault_has_a_witness() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    faults = [row for row in rows if not row.startswith(("| fault", "| ---"))]
    assert len(faults) > 40
    assert not [row for row in faults if "::test_" not in row]
