"""Every rule has its section in the runbook and in the policies, with every key it takes."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from monitor.incidents.state_machine import ReminderPolicy
from monitor.rules import RULES

DOCS = Path(__file__).parents[2] / "docs"
RUNBOOK = (DOCS / "runbook.md").read_text(encoding="utf-8")
ALERTS = (DOCS / "alerts.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RULES)
def test_a_message_finds_its_section_of_the_runbook(name: str) -> None:
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", RUNBOOK, re.M | re.S)
    assert section is not None
    for part in ("**It means**", "```sql", "report.", "**Likely causes**", "**Do first**"):
        assert part in section[1]


def test_the_runbook_has_a_section_of_nothing_else() -> None:
    assert set(re.findall(r"^## (.+)$", RUNBOOK, re.M)) == set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_every_key_of_a_rule_is_documented_with_its_default(name: str) -> None:
    section = ALERTS.split(f'<a id="{name}"></a>')[1].split('<a id="')[0]
    rule: Any = RULES[name]()
    if name != "probe_budget":  # its limits are those of section `probes`
        for field in fields(rule):
            assert f"`{field.name}" in section or f" {field.name} = " in section
            default = getattr(rule, field.name)
            shown = list(default) if isinstance(default, tuple) else default
            assert f"{shown}".removesuffix(".0") in section


def test_the_policy_of_incidents_is_documented() -> None:
    policy = ReminderPolicy()
    assert (policy.remind_after.total_seconds(), policy.remind_every.days) == (4 * 3600, 1)
    for reported in ("after 4 hours, then daily", "within an hour of its end", "15 minutes, 30, 60",
                 "up to 4 hours", "another 30 minutes"):  # fmt: skip
        assert reported in ALERTS
