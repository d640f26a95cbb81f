"""An idle worker loads only what it uses: its limit is 95 MiB, and one library can take six."""

import subprocess
import sys
from pathlib import Path

import pytest

# What other commands, optional features or a child process use.
NOT_LOADED = {
    "sqlalchemy.orm": "6 MiB: monitor/storage/async_core.py imports the engine without it",
    "alembic": "migrations of the embedded database run in a process of their own",
    "mako": "comes with alembic",
    "genai_prices": "`check` compares prices with it",
    "rich": "typer uses it for a markup that is switched off",
    "monitor.reports": "charts and pages are drawn when one is due",
    "monitor.simulator": "demo and tests",
    "monitor.demo": "demo",
    "monitor.backtest": "backtest",
    "apprise": "20 MiB: only with a channel of kind apprise, at its first message",
    "PIL": "pictures are drawn when one is due",
    "tiktoken": "only with [tokenizers]",
    "pyarrow": "export to Parquet",
    "slack_sdk": "2 MiB: only where a channel is Slack",
    "jinja2": "pages are drawn when one is due",
}
LIMIT_MIB = 84  # after the imports; a worker at rest needs 8 more

PROGRAM = """
import sys
import monitor.__main__, monitor.cli.run
from monitor import identity
from monitor.storage import Database
Database("postgresql://localhost/monitor")
identity.prepare()
status = dict(line.split(":", 1) for line in open("/proc/self/status")) if {linux} else {{}}
print(status.get("VmRSS", "0 kB").split()[0], *sys.modules)
"""


@pytest.fixture(scope="module")
def loaded() -> tuple[float, set[str]]:
    """Resident MiB (0 where unknown) and the modules of a process that is ready to work."""
    program = PROGRAM.format(linux=sys.platform == "linux")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    kib, *modules = done.stdout.split()
    return int(kib) / 1024, set(modules)


@pytest.mark.parametrize("module", NOT_LOADED)
def test_a_worker_does_not_load(loaded: tuple[float, set[str]], module: str) -> None:
    assert "apscheduler.schedulers.asyncio" in loaded[1], "the worker itself was not loaded"
    assert module not in loaded[1], NOT_LOADED[module]


def test_what_a_worker_loads_leaves_room_below_its_limit(loaded: tuple[float, set[str]]) -> None:
    assert loaded[0] < LIMIT_MIB
