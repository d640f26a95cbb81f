"""docs/architecture.md describes the rooms, modules, levels and files as they are."""

import re

from tests.unit.test_imports import LEVELS, PACKAGE

ROOT = PACKAGE.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def names(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_rooms_of_the_page_are_the_folders_of_the_package() -> None:
    rows = re.findall(r"^\| `([a-z_/]+)/` \|", section("Rooms"), re.M)
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    assert sorted(rows) == sorted(folders - {"."})
    assert len(rows) > 15


def test_the_modules_beside_the_rooms_are_listed() -> None:
    listed = names(section("Rooms").split("Modules beside the rooms:")[1])
    assert set(listed) == {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}


def test_the_levels_are_those_that_the_import_test_enforces() -> None:
    lines = re.findall(r"^\d+\. (.+)$", section("Levels"), re.M)
    assert tuple(tuple(names(line)) for line in lines) == LEVELS


def test_every_file_that_is_named_exists() -> None:
    paths = [
        name for name in names(section("Where to change what")) if "/" in name and " " not in name
    ]
    assert len(paths) > 25
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_every_file_that_contributing_names_exists() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:monitor|tests|docs|migrations|benchmarks)/[\w./-]*\w", page))
    real = {path for path in named if "NAME" not in path and "NNNN" not in path}
    assert len(real) > 20
    assert not sorted(path for path in real if not (ROOT / path).exists())
    assert page.count("\n### ") == page.count("\nGuided by: ") == 5


def test_each_decision_has_a_number_of_its_own() -> None:
    papers = sorted((ROOT / "docs" / "adr").glob("*.md"))
    numbers = [int(path.name[:4]) for path in papers]
    assert numbers == [*range(1, len(papers) + 1)]
    for number, path in zip(numbers, papers, strict=True):
        title = path.read_text(encoding="utf-8").partition("\n")[0]
        assert title.startswith(f"# {number}. "), path.name
