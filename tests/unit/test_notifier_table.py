"""The table of kinds of channels: what each carries, and that nothing about one was forgotten."""

import importlib
import pkgutil
import re
from dataclasses import fields
from pathlib import Path

import pytest

from monitor import notifications
from monitor.config.environment import Environment
from monitor.config.file_schema import ChannelSection
from monitor.notifications import NOTIFIERS, ChannelOptions, Notifier
from tests.contract.channel_services import STANDS

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(?P<kind>\w+)` \| (?P<options>[^|]*) \|", re.MULTILINE)

every_kind = pytest.mark.parametrize("kind", NOTIFIERS.values(), ids=lambda kind: kind.kind)


def test_every_kind_stands_in_the_table() -> None:
    for module in pkgutil.walk_packages(notifications.__path__, f"{notifications.__name__}."):
        importlib.import_module(module.name)
    ours = {
        kind for kind in ChannelOptions.__subclasses__() if kind.__module__.startswith("monitor.")
    } - set(NOTIFIERS.values())
    assert not ours, f"add to NOTIFIERS in monitor/notifications/__init__.py: {ours}"


@pytest.mark.parametrize("kind", Notifier.__subclasses__(), ids=lambda kind: kind.__name__)
def test_a_notifier_implements_what_it_promises(kind: type[Notifier]) -> None:
    missing = {"send", "check"} - vars(kind).keys()
    assert not missing, f"{kind.__name__} lacks {missing}"
    assert kind.attaches == ("attach" in vars(kind)), (
        f"{kind.__name__}: `attaches = True` and `attach` go together"
    )


@every_kind
def test_the_options_of_a_kind_are_its_own(kind: type[ChannelOptions]) -> None:
    taken = kind.kinds().keys() & ChannelSection.model_fields.keys()
    assert not taken, f"{kind.__name__}: these keys belong to every channel: {taken}"
    unknown = {variable.option for variable in kind.variables} - kind.kinds().keys()
    assert not unknown, f"{kind.__name__}: variables for options that it does not have: {unknown}"


@every_kind
def test_the_variables_of_a_kind_are_its_own(kind: type[ChannelOptions]) -> None:
    own = {variable.name for variable in kind.variables}
    others = {
        item.name for other in NOTIFIERS.values() if other is not kind for item in other.variables
    }
    taken = own & (others | {name.upper() for name in Environment.model_fields})
    assert not taken, f"{kind.__name__}: read by something else, too: {taken}"
    assert all(item.needs in own for item in kind.variables if item.needs)


@every_kind
def test_a_kind_runs_the_contract_suite(kind: type[ChannelOptions]) -> None:
    assert kind.kind in STANDS.values(), (
        f"add the far end of {kind.__name__} to tests/contract/channels/"
    )


@every_kind
def test_no_secret_option_is_shown(kind: type[ChannelOptions]) -> None:
    assert not [item.name for item in fields(kind) if item.repr]


def test_the_documents_list_every_kind_with_its_options() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    section = page.partition("## Kinds of channels\n")[2].partition("\n## ")[0]
    documented = {
        row["kind"]: set(re.findall(r"`(\w+)`", row["options"]))
        for row in ROW.finditer(section.partition("| kind | ")[2])
    }
    stated = {kind: set(options.kinds()) for kind, options in NOTIFIERS.items()}
    differ = sorted(
        kind for kind in documented | stated if documented.get(kind) != stated.get(kind)
    )
    assert not differ, (
        "docs/configuration.md, Kinds of channels: the table has no row, or other options, for "
        f"{differ}"
    )
