"""Every rule has its section in the runbook and in the policies, with every key it takes."""

import re
from dataclasses import fields
from pathlib import Path

from monitor.cli.runbook import runbook_file, section
from monitor.incidents.state_machine import ReminderPolicy
from monitor.rules import DEFAULT_RULES, RULES
from tests.case_tables import each

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUNBOOK = (DOCS / "runbook.md").read_text(encoding="utf-8")
ALERTS = (DOCS / "alerts.md").read_text(encoding="utf-8")


@each("name", RULES)
def test_a_message_finds_its_section_of_the_runbook(name: str) -> None:
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", RUNBOOK, re.M | re.S)
    assert section is not None, f"docs/runbook.md has no section ## {name}"
    for part in ("**It means**", "```sql", "report.", "**Likely causes**", "**Do first**"):
        assert part in section[1], f"docs/runbook.md, section {name}, has no {part}"


@each("name", RULES)
def test_the_command_prints_the_section_without_links(name: str) -> None:
    assert runbook_file().name == "runbook.md"
    printed = section(runbook_file().read_text(encoding="utf-8"), name)
    assert printed.startswith(f"{name}\n\n**It means** ")
    assert "**Do first** " in printed
    assert "](" not in printed
    assert "\n## " not in printed


def test_the_runbook_has_a_section_of_nothing_else() -> None:
    assert set(re.findall(r"^## (.+)$", RUNBOOK, re.M)) <= set(RULES)


@each("name", RULES)
def test_every_key_of_a_rule_is_documented_with_its_default(name: str) -> None:
    _, anchor, after = ALERTS.partition(f'<a id="{name}"></a>')
    assert anchor, f'docs/alerts.md has no section of rule {name}: <a id="{name}"></a>'
    section, rule = after.split('<a id="')[0], RULES[name]()
    for field in fields(rule):  # type: ignore[arg-type]
        if field.name in rule.set_elsewhere:
            continue
        stated = f"`{field.name}" in section or f" {field.name} = " in section
        assert stated, f"docs/alerts.md#{name} does not document {field.name}"
        default = getattr(rule, field.name)
        shown = f"{list(default) if isinstance(default, tuple) else default}".removesuffix(".0")
        assert shown in section, f"docs/alerts.md#{name}: {field.name} is {shown} by default"


def named(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def sentence(pattern: str) -> str:
    found = re.search(pattern, ALERTS, re.S)
    assert found is not None, f"docs/alerts.md has no sentence like: {pattern}"
    return found[1]


def test_the_readme_lists_every_rule() -> None:
    _, _, table = README.partition("| rule | ")
    rows = table.split("\n\n")[0].splitlines()[2:]
    listed = {rule for row in rows for rule in named(row.split("|")[1])}
    assert not RULES.keys() - listed, f"README.md, rules without a row: {RULES.keys() - listed}"
    assert not listed - RULES.keys(), f"README.md, rows without a rule: {listed - RULES.keys()}"


def test_charts_and_likely_causes_are_documented_as_the_rules_state_them() -> None:
    charts = named(sentence(r"into its thread when (.*?) fires, joins or comes back"))
    differ = charts ^ {name for name, rule in RULES.items() if rule.chart}
    assert not differ, f"docs/alerts.md, the rules with a picture: {differ}"
    causes = named(sentence(r"Else a message of (.*?) names what is stored"))
    differ = causes ^ {name for name, rule in RULES.items() if rule.likely_cause}
    assert not differ, f"docs/alerts.md, the rules with a likely cause: {differ}"


def test_severities_are_documented_as_the_rules_state_them() -> None:
    table = re.findall(r"^\| `(page|warn|info)` \| .*? \| ([^|]*) \|$", ALERTS, re.M)
    stated = {rule: level for level, rules in table for rule in named(rules) & set(RULES)}
    severities = {name: rule.severity for name, rule in DEFAULT_RULES.items()}
    differ = sorted(name for name in RULES if stated.get(name) != severities[name])
    assert not differ, f"docs/alerts.md, table of severities: no or another row for {differ}"


def test_inhibitions_are_documented_as_the_rules_state_them() -> None:
    stated: dict[str, frozenset[str]] = {}
    for part in sentence(r"\*\*One cause, one message\.\*\* (.*?)\. ").split(";"):
        causes, _, symptoms = part.partition(" of ")
        stated |= {cause: frozenset(named(symptoms)) for cause in named(causes)}
    inhibits = {name: rule.inhibits for name, rule in RULES.items() if rule.inhibits}
    differ = sorted(name for name in stated | inhibits if stated.get(name) != inhibits.get(name))
    assert not differ, f"docs/alerts.md, **One cause, one message.**: add or correct {differ}"


def test_the_policy_of_incidents_is_documented() -> None:
    policy = ReminderPolicy()
    assert (policy.remind_after.total_seconds(), policy.remind_every.days) == (4 * 3600, 1)
    for reported in ("after 4 hours, then daily", "within an hour of its end", "15 minutes, 30, 60",
                 "up to 4 hours", "another 30 minutes"):  # fmt: skip
        assert reported in ALERTS
