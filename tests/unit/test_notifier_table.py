"""The table of notifiers: what each carries, and that nothing about one was forgotten."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from monitor import notifications
from monitor.config.environment import Environment
from monitor.notifications import NOTIFIERS, Notifier

ROOT = Path(__file__).parents[2]
STANDS = "tests/contract/channels"
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<variables>[^|]*) \|", re.MULTILINE)

every_notifier = pytest.mark.parametrize("kind", NOTIFIERS, ids=lambda kind: kind.name)


def test_every_notifier_stands_in_the_table() -> None:
    for module in pkgutil.walk_packages(notifications.__path__, f"{notifications.__name__}."):
        importlib.import_module(module.name)
    ours = {
        kind for kind in Notifier.__subclasses__() if kind.__module__.startswith("monitor.")
    } - set(NOTIFIERS)
    assert not ours, f"add to NOTIFIERS in monitor/notifications/__init__.py: {ours}"


def test_names_are_unique() -> None:
    names = [kind.name for kind in NOTIFIERS]
    assert len(set(names)) == len(names)


def test_the_last_notifier_needs_no_configuration() -> None:
    unconfigured = [kind for kind in NOTIFIERS if kind.from_environment({}) is not None]
    assert unconfigured == [NOTIFIERS[-1]]


@every_notifier
def test_a_notifier_implements_what_it_promises(kind: type[Notifier]) -> None:
    missing = {"from_environment", "send", "check"} - vars(kind).keys()
    assert not missing, f"{kind.__name__} lacks {missing}"
    assert kind.attaches == ("attach" in vars(kind)), (
        f"{kind.__name__}: `attaches = True` and `attach` go together"
    )


@every_notifier
def test_the_variables_of_a_notifier_are_its_own(kind: type[Notifier]) -> None:
    own = {variable.name for variable in kind.variables}
    others = {item.name for other in NOTIFIERS if other is not kind for item in other.variables}
    taken = own & (others | {name.upper() for name in Environment.model_fields})
    assert not taken, f"{kind.__name__}: read by something else, too: {taken}"
    assert all(item.needs in own for item in kind.variables if item.needs)


@every_notifier
def test_a_notifier_runs_the_contract_suite(kind: type[Notifier]) -> None:
    path = f"{STANDS}/{kind.name}.py"
    assert (ROOT / path).exists(), f"add the far end of {kind.__name__} as {path}"


def test_the_documents_list_every_notifier_in_order_of_preference() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    section = page.partition("## Notifiers\n")[2].partition("\n## ")[0]
    documented = [
        (row["name"], re.findall(r"`(\w+)`", row["variables"])) for row in ROW.finditer(section)
    ]
    expected = [
        (kind.name, [item.name for item in kind.variables if item.required]) for kind in NOTIFIERS
    ]
    assert documented == expected, "docs/configuration.md, section Notifiers"
