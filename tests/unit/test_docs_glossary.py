"""docs/glossary.md has the nouns that the classes of the domain are named after."""

import ast
import re
from pathlib import Path

from tests.parsed_sources import parsed

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| ([^|`]+) \| ([^|]+) \| ((?:`\w+`(?:, )?)+) \|$",
    (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"),
    re.M,
)
NOUNS = {noun.strip().lower() for noun, _, _ in ROWS}
LISTED = {name for _, _, names in ROWS for name in re.findall(r"`(\w+)`", names)}


def defined() -> set[str]:
    """Names of modules, classes, functions, fields and variables in the package."""
    names: set[str] = set()
    for path in (ROOT / "monitor").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        names |= {path.stem, *re.findall(r"^ *(?:async )?(?:class|def) (\w+)", text, re.M)}
        names |= set(re.findall(r"^ *(\w+)(?:: | = )", text, re.M))
    return names


DOMAIN = sorted(
    node.name
    for path in (ROOT / "monitor" / "domain").glob("*.py")
    for node in parsed(path).body
    if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
)


def words(name: str) -> str:
    """`AccountReading` → " account reading "."""
    return f" {re.sub(r'(?<!^)(?=[A-Z])', ' ', name).lower()} "


def test_the_page_and_the_domain_were_read() -> None:
    assert len(NOUNS) == len(ROWS) > 40
    assert len(DOMAIN) > 35
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    assert len(ROWS) == len([line for line in lines if line.startswith("| ")]) - 2


def test_every_class_of_the_domain_is_named_after_a_noun_of_the_glossary() -> None:
    assert not [
        name
        for name in DOMAIN
        if name not in LISTED and not any(f" {noun} " in words(name) for noun in NOUNS)
    ]


def test_every_name_of_the_glossary_exists_in_the_code() -> None:
    assert not LISTED - defined()


def test_every_definition_is_one_sentence() -> None:
    assert not [
        noun
        for noun, definition, _ in ROWS
        if not (definition[0].isupper() and definition.endswith(".")) or ". " in definition
    ]
