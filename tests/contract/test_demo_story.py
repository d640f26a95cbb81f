"""The story with a stand-in for the worker: what it shows, how it ends, what it leaves behind."""

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from monitor.demo.live_rounds import ROUNDS
from monitor.demo.scenario import ACTS, PROBES, TRY
from monitor.demo.story import StorySettings, play
from monitor.simulator.answer_plan import PlaybackPace
from tests.example_data import LLAMA

ROOT = Path(__file__).parents[2]
STAND_IN = str(Path(__file__).with_name("fake_worker.py"))
QUICK = tuple(replace(act, answers=min(act.answers, 3), within_s=5) for act in ACTS)
DRIVER = """
import sys
from pathlib import Path
from rich.console import Console
from monitor.demo.story import StorySettings; from monitor.demo.story import play
from monitor.simulator.answer_plan import PlaybackPace
from tests.contract.test_demo_story import QUICK
command = (sys.executable, *sys.argv[3:])
staging = StorySettings(
    acts=QUICK, command=command, baseline=None, pace=PlaybackPace(0, 0)
)
sys.exit(play(Path(sys.argv[1]), keep=sys.argv[2] == "keep", show=Console(width=100),
              query=lambda sql: [], psql="psql -h here", staging=staging,
              page=lambda: Path("/home/me/day.html")))
"""


def played(home, mode, *, acts=QUICK, page=None):
    """Exit status and everything shown."""
    shown = io.StringIO()
    requested = []

    def query(sql):
        if sql == ROUNDS:
            return [
                (datetime.now(UTC), "hi", 1100.0, LLAMA, "expected", Decimal("0.000164"), None)
            ] * 3
        requested.append(sql)
        os.kill(int((home / "pid").read_text()), 0)  # the worker still lives
        return [(datetime.now(UTC), 1100.0, "expected", Decimal("0.000164"))] * 2

    status = play(
        home,
        keep=False,
        show=Console(file=shown, width=100),
        query=query,
        psql="psql -h here",
        page=page,
        staging=StorySettings(
            acts=acts,
            command=(sys.executable, STAND_IN, mode),
            baseline=None,
            pace=PlaybackPace(0, 0),
        ),
    )
    assert requested == ([] if status else [PROBES])
    return status, shown.getvalue()


def gone(home):
    """Whether the worker has ended, within a minute."""
    for _ in range(1200):
        with suppress(ProcessLookupError):
            os.kill(int((home / "pid").read_text()), 0)
            time.sleep(0.05)
            continue
        return True
    return False


def test_the_scenario_is_played_to_its_end(tmp_path):
    status, shown = played(tmp_path, "tells")
    assert status == 0
    assert gone(tmp_path)
    places = [shown.index(title) for title in (act.title for act in ACTS)]
    assert places == sorted(places)
    firing, resolved = shown.index("FIRING #1 fallback"), shown.index("RESOLVED #1 fallback")
    assert places[1] < firing < places[2] < resolved
    assert "3 > 2 [bold]of[/bold] them" in shown  # foreign words are no markup
    assert "↳ in its thread: RESOLVED #1 fallback" in shown
    assert not any(sql in shown for sql in TRY)  # the database is deleted
    assert "The database of the demo is deleted now. To query one: " in shown
    assert "demo --keep" in shown
    assert "key replaced │ 2      │ 1100 ms" in shown
    assert "0.05" in shown  # 333 x 0.000164


def test_the_numbers_of_each_round_are_shown_as_they_come(tmp_path):
    status, shown = played(tmp_path, "tells")
    assert status == 0
    assert "hi 1.10 s  hi 1.10 s  hi 1.10 s  $0.000492  Llama 4 Scout" in " ".join(
        shown.splitlines()
    )


def test_the_page_is_written_while_the_worker_lives_and_its_path_is_shown(tmp_path):
    def page():
        os.kill(int((tmp_path / "pid").read_text()), 0)
        return Path("/home/me/day.html")

    status, shown = played(tmp_path, "tells", page=page)
    assert status == 0
    assert "Report page: /home/me/day.html" in shown


def test_a_story_that_is_kept_writes_the_page_before_it_says_that_everything_runs(tmp_path):
    with driven(tmp_path, "keep", "tells") as process:
        seen = []
        for line in process.stdout:
            seen.append(line)
            if "control" in line:
                break
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    shown = "".join(seen)
    assert shown.index("Report page: /home/me/day.html") < shown.index("Everything keeps running")
    assert all(sql in shown for sql in TRY)
    assert "is deleted" not in shown


def test_a_message_that_does_not_come_ends_it_with_a_sentence(tmp_path):
    acts = (*QUICK[:1], replace(QUICK[1], within_s=0.5), *QUICK[2:])
    status, shown = played(tmp_path, "mute", acts=acts)
    assert status == 1
    assert gone(tmp_path)
    assert "FIRING fallback did not arrive within 0 s after" in " ".join(shown.split())
    assert "the stand-in begins" in shown


def test_a_worker_that_ends_by_itself_ends_the_story(tmp_path):
    status, shown = played(tmp_path, "dies")
    assert status == 1
    assert "The worker ended unexpectedly with status 3." in shown


def driven(home, keep, mode):
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(home), keep, STAND_IN, mode],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("keep", "mode", "mark", "number", "status"),
    [
        ("keep", "tells", "control", signal.SIGINT, 0),
        ("keep", "tells", "control", signal.SIGTERM, 0),
        ("end", "mute", "2. ", signal.SIGINT, 130),
        ("end", "mute", "2. ", signal.SIGTERM, 143),
        pytest.param(
            *("end", "mute", "2. ", signal.SIGKILL, -9),
            marks=pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part"),
        ),
    ],
)
def test_no_child_outlives_the_story_however_it_ends(tmp_path, keep, mode, mark, number, status):
    with driven(tmp_path, keep, mode) as process:
        for line in process.stdout:
            if mark in line:
                break
        process.send_signal(number)
        process.stdout.read()
    assert process.returncode == status
    assert gone(tmp_path)
