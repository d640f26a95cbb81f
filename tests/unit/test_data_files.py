"""Tables that the package ships: every file is read, and a damaged one is named with its key."""

from importlib.resources import files
from pathlib import Path

import pytest

from monitor import data_files
from monitor.data_files import DataFileError, DataTable, data_file
from tests.case_tables import each

PACKAGE = Path(__file__).parents[2] / "monitor"
TABLE = DataTable(
    "monitor/x.toml",
    {"name": "a", "words": ["b", "c"], "on": True, "inner": {"k": "v"}, "row": [{"n": "1"}, 2]},
)


def test_entries_are_read_by_their_type() -> None:
    assert TABLE.text("name") == "a"
    assert TABLE.text("absent", "default") == "default"
    assert TABLE.texts("words") == ("b", "c")
    assert TABLE.words("absent", optional=True) == frozenset()
    assert TABLE.alternation("words") == "b|c"
    assert TABLE.flag("on", False)
    assert not TABLE.flag("absent", False)
    assert TABLE.table("inner").every_text() == {"k": "v"}


@each(
    ("read", "message"),
    [
        (lambda: TABLE.text("words"), "monitor/x.toml: words must be a text"),
        (lambda: TABLE.text("absent"), "absent must be a text, not None"),
        (lambda: TABLE.texts("absent"), "absent must be a list of texts, not None"),
        (lambda: TABLE.texts("name"), "name must be a list of texts, not 'a'"),
        (lambda: TABLE.flag("name", True), "name must be true or false, not 'a'"),
        (lambda: TABLE.table("name"), "monitor/x.toml, name: must be a table, not 'a'"),
        (lambda: TABLE.rows("row"), "monitor/x.toml, row 2: must be a table, not 2"),
        (lambda: TABLE.rows("absent"), r"\[\[absent\]\] is missing"),
        (lambda: TABLE.knows("name", "words", "on", "inner"), "unknown key row"),
        (lambda: data_file("monitor", "absent.toml"), "monitor/absent.toml: .*No such file"),
    ],
)
def test_a_damaged_table_is_named_with_its_key(read: object, message: str) -> None:
    with pytest.raises(DataFileError, match=message):
        read()  # type: ignore[operator]


def test_a_file_that_is_no_toml_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.toml").write_text("a = [")
    monkeypatch.setattr(data_files, "files", lambda room: tmp_path)
    with pytest.raises(DataFileError, match=r"monitor/dialects/broken\.toml: "):
        data_file("monitor.dialects", "broken.toml")


SHIPPED = sorted(PACKAGE.rglob("*.toml"))


def test_the_package_ships_its_tables() -> None:
    assert len(SHIPPED) > 10


@each("path", SHIPPED, ids=lambda path: path.name)
def test_every_table_can_be_read_and_is_read_by_the_code_of_its_room(path: Path) -> None:
    room = ".".join(("monitor", *path.relative_to(PACKAGE).parent.parts))
    assert data_file(room, path.name).entries
    assert files(room).joinpath(path.name).is_file()
    assert any(f'"{path.name}"' in code.read_text() for code in path.parent.glob("*.py"))
