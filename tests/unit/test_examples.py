"""Each file in examples/ is a whole configuration, and a new user finds what to change in it."""

import re
from pathlib import Path

import pytest

from monitor.config import Settings, load
from monitor.config.environment import REFERENCE
from monitor.dialects import DIALECTS

FOLDER = Path(__file__).parents[2] / "examples"
FILES = sorted(FOLDER.glob("*.toml"))
OWN = "nuzantara.toml"  # watches one real service
every_example = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def configured(path: Path) -> Settings:
    """The example, with a value for each variable that its headers name."""
    keys = dict.fromkeys(REFERENCE.findall(path.read_text(encoding="utf-8")), "key-123456789")
    return load({"MONITOR_CONFIG": str(path), **keys})


@every_example
def test_an_example_is_a_whole_configuration(path: Path) -> None:
    settings = configured(path)
    (target,) = settings.targets.values()
    assert len(target.queries) > 1
    assert any(query.identity for query in target.queries)
    assert target.expected_models


@every_example
def test_an_example_holds_no_key_and_marks_what_to_change(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b(sk|xox[bp]|AIza)[-_\w]{8}", text)
    assert path.name == OWN or text.count("# CHANGE") >= 2
    assert max(map(len, text.splitlines())) <= 120


def test_the_shipped_example_watches_every_five_minutes() -> None:
    target = configured(FOLDER / OWN).targets["nuzantara"]
    assert [query.id for query in target.queries] == ["hi", "kbli", "hello", "who"]
    assert target.every.total_seconds() == 300


def test_the_usual_services_have_an_example() -> None:
    shown = {next(iter(configured(path).targets.values())).dialect for path in FILES}
    wanted = {"openai_chat", "gemini", "vercel_ai", "langgraph", "dify", "ragflow", "custom"}
    assert wanted <= shown <= DIALECTS.keys()
