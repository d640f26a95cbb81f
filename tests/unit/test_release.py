"""`./run audit` never takes what was not audited for a success."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.case_tables import each

FILE = Path(__file__).parents[2] / "deploy" / "release.py"
CLEAN = {"name": "h11", "version": "0.16.0", "vulns": []}
FLAWED = {"name": "idna", "version": "3.0",
          "vulns": [{"id": "PYSEC-2024-60", "fix_versions": ["3.7"], "aliases": []}]}  # fmt: skip
SKIPPED = {"name": "rich", "skip_reason": "not found on PyPI"}


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tool(folder: Path, report: str | None) -> None:
    """A pip-audit that writes this report, or cannot."""
    (folder / "report.json").write_text(report or "")
    write = f'for last; do :; done; cp "{folder}/report.json" "$last"'
    fail = 'echo "ConnectionError: no route to pypi.org" >&2; exit 1'
    script = folder / "pip-audit"
    script.write_text(f"#!/bin/sh\n{fail if report is None else write}\n")
    script.chmod(0o755)


def packages(*found: dict[str, Any]) -> str:
    return json.dumps({"dependencies": found, "fixes": []})


@each(
    ("report", "status", "words"),
    [
        (packages(CLEAN), 0, "1 packages audited, 0 vulnerabilities"),
        (packages(CLEAN, FLAWED), 1, "idna 3.0: PYSEC-2024-60, fixed in 3.7"),
        (packages(CLEAN, SKIPPED), 3, "rich NOT AUDITED: not found on PyPI"),
        (packages(FLAWED, SKIPPED), 1, "1 packages audited, 1 vulnerabilities"),
        (packages(SKIPPED), 3, "NOT AUDITED, there is no advisory source here"),
        (packages(), 3, "NOT AUDITED"),
        ("no report", 3, "NOT AUDITED, the advisories cannot be read"),
        (None, 3, "ConnectionError: no route to pypi.org"),
    ],
)
def test_the_status_of_an_audit(
    report: str | None, status: int, words: str,
    release: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(release, "BIN", tmp_path)
    tool(tmp_path, report)
    assert release.audited("requirements.lock") == status
    assert words in capsys.readouterr().out


@each("arguments", [[], ["build", "a", "b"], ["audit", "more"], ["deploy"]])
def test_wrong_arguments_end_with_the_usage(arguments: list[str], release: ModuleType) -> None:
    with pytest.raises(SystemExit) as ended:
        release.main(arguments)
    assert ended.value.code == 2
