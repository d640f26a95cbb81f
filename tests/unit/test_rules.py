"""A rule describes itself: what is missing from its class or its files is named here."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from monitor.domain import Subject
from monitor.incidents.inhibitions import Inhibitions
from monitor.rules import DEFAULT_RULES, RULES, Rule, Unit
from tests.case_tables import each
from tests.parsed_sources import nodes

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "monitor" / "rules"
STATED = ("name", "subject", "unit", "first_step", "evidence_sql", "inhibits", "likely_cause",
          "chart")  # fmt: skip


def subclasses(kind: type[Rule]) -> set[type[Rule]]:
    below = kind.__subclasses__()
    return {*below, *(one for each in below for one in subclasses(each))}


def test_every_class_of_a_rule_is_in_the_table() -> None:
    for path in FOLDER.glob("*.py"):
        import_module(f"monitor.rules.{path.stem}")
    classes = {(rule.__module__, rule.__qualname__) for rule in subclasses(Rule)
               if rule.__module__.startswith("monitor.rules.")}  # fmt: skip
    listed = {(rule.__module__, rule.__qualname__) for rule in RULES.values()}
    missing = {f"{module}.{name}" for module, name in classes - listed}
    assert not missing, f"add to RULES in monitor/rules/__init__.py: {', '.join(sorted(missing))}"
    assert len(RULES) >= 11


@each("rule", RULES.values())
def test_a_rule_states_all_that_others_need_to_know(rule: type[Rule]) -> None:
    stated = {name for kind in rule.__mro__ if kind is not Rule for name in vars(kind)}
    missing = [name for name in STATED if name not in stated]
    assert not missing, f"{rule.__name__} does not state {', '.join(missing)}"
    assert rule.__module__ == f"monitor.rules.{rule.name}", f"rule {rule.name}: another file name"
    assert isinstance(rule.subject, Subject)
    assert isinstance(rule.unit, Unit)
    assert re.fullmatch(r"\S.{20,198}[.!]", rule.first_step), "first_step: one or two sentences"
    assert set(re.findall(r"\{.*?\}", rule.evidence_sql)) <= {"{rows}"}
    assert re.search(r"\breport\.\w+", rule.evidence_sql), "evidence_sql reads schema report"
    assert rule.evidence_sql.endswith(";")
    unknown = (rule.inhibits | rule.prevents) - RULES.keys()
    assert not unknown, f"rule {rule.name} inhibits or prevents unknown rules: {unknown}"
    assert f"Source: docs/alerts.md#{rule.name}" in (rule.__doc__ or ""), "docstring: its source"


@each("rule", RULES.values())
def test_a_rule_has_defaults_and_tests_of_its_own(rule: type[Rule]) -> None:
    rule()
    tests = Path(__file__).parent / f"test_rule_{rule.name}.py"
    assert tests.exists(), f"rule {rule.name} has no tests/unit/{tests.name}"


def test_no_rule_inhibits_itself_at_any_distance() -> None:
    Inhibitions(DEFAULT_RULES)
    loop = {"a": DEFAULT_RULES["ttft"], "b": type("B", (), {"inhibits": frozenset({"b"})})}
    with pytest.raises(ValueError, match="rule b inhibits itself: b → b"):
        Inhibitions(loop)  # type: ignore[arg-type]


def of_rules(node: ast.expr) -> bool:
    return ast.unparse(node).rpartition(".")[2].strip("_").endswith(("rule", "rules"))


def rule_names(path: Path) -> list[str]:
    """Where a file compares with, looks up or lists rules by their names."""
    found = []
    for node in nodes(path):
        named: list[ast.expr | None] = []
        match node:
            case ast.Compare():
                sides = [node.left, *node.comparators]
                named = sides if any(map(of_rules, sides)) else []
            case ast.Call(func=ast.Attribute(value=table, attr="get"), args=[name, *_]):
                named = [name] if of_rules(table) else []
            case ast.Subscript(value=table, slice=name):
                named = [name] if of_rules(table) else []
            case ast.Set(elts=listed) | ast.Tuple(elts=listed) | ast.List(elts=listed):
                named = [*listed] if len(listed) > 1 and all(map(is_name, listed)) else []
            case ast.Dict(keys=keys):
                named = [*keys] if keys and all(map(is_name, keys)) else []
        if any(map(is_name, named)):
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    return found


def is_name(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value in RULES


def test_only_the_rules_know_their_names() -> None:
    files = [
        path
        for path in (ROOT / "monitor").rglob("*.py")
        if path.relative_to(ROOT).parts[1] not in ("rules", "demo")  # the demo tells their story
    ]
    assert len(files) > 100
    found = [line for path in files for line in rule_names(path)]
    assert not found, "state it on the class of the rule instead:\n" + "\n".join(found)
