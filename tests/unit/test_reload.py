"""What differs between two configurations, and what a terminal shows of the worker's log."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.cli.terminal_log import TerminalLine
from monitor.config import Settings, load
from monitor.domain import Identity, Outcome
from monitor.metrics import Metrics
from monitor.worker.reload import changes, file_state
from monitor.worker.round_log import log_round
from tests.example_data import HAIKU, NOON, observation

TARGET = """
[targets.{name}]
url = "https://{name}.example.com"
dialect = "bali_zero"
every = "{every}"
[targets.{name}.headers]
Authorization = "Bearer {key}"
[[targets.{name}.queries]]
id = "hi"
text = "Hi"
"""


def settings(folder: Path, *targets: str, more: str = "") -> Settings:
    path = folder / "monitor.toml"
    path.write_text("\n".join((*targets, more)))
    return load({"MONITOR_CONFIG": str(path)})


def target(name: str = "a", every: str = "5m", key: str = "s3cret-key-1") -> str:
    return TARGET.format(name=name, every=every, key=key)


@pytest.mark.parametrize(
    ("after", "lines"),
    [
        ((target(), ""), []),
        ((target(every="10m"), ""), ["target a: every changed"]),
        ((target(key="other-key-22"), ""), ["target a: headers changed"]),
        ((target() + target("b"), ""), ["target b added"]),
        ((target("b"), ""), ["target a removed", "target b added"]),
        (
            (target(), "[rules.ttft]\nlimit_ms = 900"),
            ["rule ttft: limit_ms 1200.0 → 900.0 changed"],
        ),
        ((target(), "[rules.ttft]\nenabled = false"), ["rule ttft removed"]),
        (
            (target(), "[probes]\nmax_per_day = 5"),
            ["rule probe_budget: limit_probes 20000 → 5 changed", "probes changed"],
        ),
        (
            (target(), "[metrics]\nport = 9"),
            ["metrics changed; it takes effect when the worker is restarted"],
        ),
    ],
)
def test_what_changed_is_named_without_secrets(
    after: tuple[str, str], lines: list[str], tmp_path: Path
) -> None:
    before = settings(tmp_path, target())
    told = changes(before, settings(tmp_path, after[0], more=after[1]))
    assert told == lines
    assert "key" not in str(told)


def test_a_written_file_has_another_state(tmp_path: Path) -> None:
    path = tmp_path / "monitor.toml"
    assert file_state(path) is None
    path.write_text("a")
    first = file_state(path)
    path.write_text("ab")
    assert first != file_state(path) is not None


def test_metrics_follow_the_targets(tmp_path: Path) -> None:
    one, two = settings(tmp_path, target()), settings(tmp_path, target("b"))
    metrics = Metrics(one.targets.values(), rules=one.rules, config_hash="1")
    metrics.configure(two.targets.values(), rules=two.rules, config_hash="2")
    page = metrics.page()[1].decode()
    assert 'target="a"' not in page
    assert 'target="b"' in page
    assert 'config_hash="2"' in page
    metrics.observed(observation(target="a"))  # of a round that was under way
    metrics.round("a", whole=True)
    metrics.cycle("a", NOON)
    assert 'target="a"' not in metrics.page()[1].decode()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """What the terminal shows of what was logged."""
    caplog.set_level(logging.INFO)

    def shown(colour: bool = False) -> list[str]:
        form = TerminalLine(["s3cret-key-1"], colour=colour)
        return [form.format(record) for record in caplog.records]

    return shown


class _Context:
    class state:  # noqa: N801
        breaches = {"rag": ("ttft",), "all": ("spend",)}


def test_a_round_is_one_line(lines: Callable[..., list[str]], tmp_path: Path) -> None:
    rag = settings(tmp_path, target("rag")).targets["rag"]
    seen = [
        observation(query="hi", ttft_ms=323.4),
        observation(query="who", ttft_ms=1240.0, identity=Identity.FALLBACK, model_detected=HAIKU),
        observation(query="kbli", outcome=Outcome.HTTP_STATUS, error="HTTP 500: no\x1b[2J index"),
    ]
    log_round(_Context, rag, NOON, seen)  # type: ignore[arg-type]
    [line] = lines()
    assert line[8:] == (
        "  rag  hi 323 ms · who 1.24 s · kbli ✗ HTTP 500: no index  "
        "Llama 4 Scout, Claude Haiku 4.5 (fallback)  $0.000021  ⚠ spend, ttft"
    )
    assert lines(colour=True)[0].startswith("\x1b[31m")


def test_other_events_are_short_lines_without_secrets(lines: Callable[..., list[str]]) -> None:
    log = logging.getLogger("monitor.x")
    log.info("worker started", extra={"targets": ["a", "b"], "worker": "w"})
    log.warning("database busy", extra={"reason": "s3cret-key-1\nline"})
    assert [line[8:] for line in lines()] == [
        "  worker started  targets=a, b  worker=w",
        "  warning: database busy  reason=*** line",
    ]
