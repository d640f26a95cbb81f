"""docs/configuration.md is what the schema makes of it, and says what every key means."""

import re
from datetime import time, timedelta
from decimal import Decimal
from typing import Any

from monitor.accounts import ACCOUNTS
from monitor.config.config_errors import known_keys
from monitor.config.documentation import PAGE, TABLES, limits, rewritten, written
from monitor.config.environment import VARIABLES, documented
from monitor.config.file_schema import ConfigFile
from monitor.rules import RULES
from tests.case_tables import each

COMMAND = "run `.venv/bin/python -m monitor.config.documentation`"
TEXT = PAGE.read_text(encoding="utf-8")


def keys() -> set[str]:
    """Every key of the file, with `.` between sections, as the tables write it."""
    found: set[str] = set()

    def walk(path: list[str], shown: str) -> None:
        below = known_keys(path)
        for key in below:
            named = f"{shown}{key}"
            inner = [*path, key, "x"] if key in ("targets", "tokenizers") else [*path, key]
            if key in ("queries", "maintenance", "channels"):
                inner.append("0")
            if known_keys(inner):
                apart = key in ("targets", "queries", "health", "maintenance", "channels")
                walk(
                    inner, "" if apart else f"{named}." if inner[-1] != "x" else f'{named}."MODEL".'
                )
            elif path or key not in ("rules", "prices"):
                found.add(named)

    walk([], "")
    return found


def first_column(table: str) -> list[str]:
    return [row.split("`")[1] for row in TABLES[table]().splitlines()[2:]]


def test_the_page_is_what_the_schema_makes_of_it() -> None:
    assert rewritten(TEXT) == TEXT, COMMAND
    assert set(re.findall(r"<!-- table: (\w+) -->", TEXT)) == set(TABLES)


def test_every_key_of_the_file_has_a_row() -> None:
    rows = [
        name
        for table in ("target", "query", "expect", "health", "sections", "maintenance", "channel")
        for name in first_column(table)
    ]
    assert len(rows) > 50
    assert set(rows) == keys()
    assert {'tokenizers."MODEL".file', "storage.keep_raw", "prompt_tokens"} <= set(rows)
    sections = {*ConfigFile.model_fields, "expect"}  # the latter in a query
    assert sections >= {name.split(".")[0] for name in rows if "." in name}


def test_every_variable_has_a_row_with_its_meaning() -> None:
    assert first_column("environment") == [name for name, _ in documented()]
    assert sorted(first_column("environment")) == sorted(VARIABLES)
    nameless = [name for name, field in documented() if not field.description]
    assert not nameless, (
        f"give each a description, a variable of a notifier its meaning: {nameless}"
    )


def test_every_provider_account_has_a_row_in_the_prices() -> None:
    page = PAGE.with_name("prices.md").read_text(encoding="utf-8")
    [section] = re.findall(r"^## Accounts\n(.*?)^## ", page, re.S | re.M)
    keys = [account.key_variable for account in ACCOUNTS.values()]
    missing = [key for key in keys if not re.search(rf"^\| .*`{key}`", section, re.M)]
    assert missing == [], "add a row to the table in section Accounts of docs/prices.md"


def test_every_limit_of_a_rule_stands_with_its_default() -> None:
    assert dict(limits(RULES["spend"]))["limit_usd"] == '"2.00"'
    for name, rule in RULES.items():
        assert all(f"`{key} = {value}`" in TABLES["rules"]() for key, value in limits(rule)), name


@each(
    ("value", "text"),
    [
        (True, "true"), (3, "3"), (0.1, "0.1"), (Decimal("0.50"), '"0.50"'), (Decimal(4), "4"),
        (timedelta(minutes=90), '"1h30m"'), (timedelta(days=90), '"90d"'), (time(9), '"09:00"'),
        ("UTC", '"UTC"'), ([], "[]"), ((14, 3), "[14, 3]"), ({}, "{}"),
    ],
)  # fmt: skip
def test_a_default_is_written_as_in_toml(value: Any, text: str) -> None:
    assert written(value) == text
