"""Every rule has its section in the runbook and in the policies, with every key it takes."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from monitor.incidents.state_machine import ReminderPolicy
from monitor.rules import RULES

DOCS = Path(__file__).parents[2] / "docs"
RUNBOOK = (DOCS / "runbook.md").read_text(encoding="utf-8")
ALERTS = (DOCS / "alerts.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RULES)
def test_a_message_finds_its_section_of_the_runbook(name: str) -> None:
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", RUNBOOK, re.M | re.S)
    assert section is not None, f"docs/runbook.md has no section ## {name}"
    for part in ("**It means**", "```sql", "report.", "**Likely causes**", "**Do first**"):
        assert part in section[1], f"docs/runbook.md, section {name}, has no {part}"


def test_the_runbook_has_a_section_of_nothing_else() -> None:
    assert set(re.findall(r"^## (.+)$", RUNBOOK, re.M)) == set(RULES)


@pytest.mark.parametrize("name", RULES)
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


def test_the_policy_of_incidents_is_documented() -> None:
    policy = ReminderPolicy()
    assert (policy.remind_after.total_seconds(), policy.remind_every.days) == (4 * 3600, 1)
    for reported in ("after 4 hours, then daily", "within an hour of its end", "15 minutes, 30, 60",
                 "up to 4 hours", "another 30 minutes"):  # fmt: skip
        assert reported in ALERTS
