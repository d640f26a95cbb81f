"""`monitor runbook`: the section of one rule, from the runbook of this version."""

import re
from pathlib import Path

import monitor
from monitor.cli.startup import BAD_INPUT, stop
from monitor.command_name import as_started
from monitor.rules import RULES

_LINK, _LABEL = re.compile(r"\[([^]]+)\]\([^)]+\)"), r"\1"


def show(rule: str) -> None:
    """Print what a rule means, the query to run, likely causes and first steps."""
    name = rule.strip().lower()
    if name not in RULES:
        stop(f'unknown rule "{rule}"; known: {", ".join(RULES)}', BAD_INPUT)
    try:
        page = runbook_file().read_text(encoding="utf-8")
    except OSError as error:
        stop(f"{runbook_file()} cannot be read: {error.strerror}; install the package again")
    print(as_started(section(page, name)))  # noqa: T201


def runbook_file() -> Path:
    """The runbook of the installed package, else of the source tree."""
    package = Path(monitor.__file__).parent
    installed = package / "runbook.md"
    return installed if installed.is_file() else package.parent / "docs" / "runbook.md"


def section(page: str, rule: str) -> str:
    """The section of a rule, without links to other pages, which a terminal cannot follow."""
    found = re.search(rf"^## {re.escape(rule)}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    text = found[1].strip() if found else "The runbook has no section of this rule."
    return f"{rule}\n\n{_LINK.sub(_LABEL, text)}"
