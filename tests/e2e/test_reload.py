"""A running worker takes a changed configuration, or refuses it and says so once."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e.worker_process import configuration, environment, eventually, rows, service, worker

PROBED = "SELECT count(*) FROM observations WHERE target = '{}'"
NOTICES = "SELECT notice->>'sentence' FROM outbox WHERE notice->>'rule' = 'configuration'"


def events(log: str, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def test_a_worker_applies_a_changed_file_and_refuses_a_broken_one(
    tmp_path: Path, database_url: str
) -> None:
    with service(pace=0.1) as stage:
        configuration(tmp_path, stage.url)
        path = tmp_path / "monitor.toml"
        first = path.read_text()
        with worker(tmp_path, DATABASE_URL=database_url) as monitor:
            eventually(
                lambda: rows(database_url, PROBED.format("rag"))[0][0], 120, "a probe of rag"
            )
            path.write_text(first.replace("[targets.rag", "[targets.other"))
            eventually(
                lambda: rows(database_url, PROBED.format("other"))[0][0], 120, "a probe of other"
            )
            [applied] = events(monitor.log(), "configuration applied")
            assert {"target other added", "target rag removed"} <= set(applied["changes"])
            path.write_text("targets = 3\n[nonsense]\n")
            monitor.child.send_signal(signal.SIGHUP)
            eventually(lambda: rows(database_url, NOTICES), 120, "a notice")
            before = rows(database_url, PROBED.format("other"))[0][0]
            eventually(
                lambda: rows(database_url, PROBED.format("other"))[0][0] > before,
                120,
                "a probe by the earlier configuration",
            )
            monitor.child.send_signal(signal.SIGHUP)
            eventually(
                lambda: len(events(monitor.log(), "configuration refused")) > 1, 120, "a refusal"
            )
            assert monitor.stop() == 0, monitor.log()
        [refused, *_] = events(monitor.log(), "configuration refused")
        assert len(refused["faults"]) == 2
        [(sentence,)] = rows(database_url, NOTICES)
        assert sentence.endswith("2 errors. The earlier configuration stays in force.")
        assert events(monitor.log(), "round probed")[0]["target"] == "rag"
        assert not events(monitor.log(), "job failed")


def test_on_a_terminal_each_round_is_a_line(tmp_path: Path, database_url: str) -> None:
    mine, theirs = pty.openpty()
    with service(pace=0.1) as stage:
        configuration(tmp_path, stage.url)
        with subprocess.Popen(
            [sys.executable, "-m", "monitor", "run"],
            env=environment(tmp_path, TERM="xterm", NO_COLOR="1", DATABASE_URL=database_url),
            cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        ) as child:  # fmt: skip
            os.close(theirs)
            shown = ""
            while "  rag  hi " not in shown or not shown.endswith("\n"):
                shown += os.read(mine, 4096).decode(errors="replace")
            child.terminate()
            try:
                while piece := os.read(mine, 4096):
                    shown += piece.decode(errors="replace")
            except OSError:
                pass  # the terminal's other end is closed
            assert child.wait(120) == 0
    os.close(mine)
    line = next(line for line in shown.splitlines() if "  rag  hi " in line)
    assert " ms" in line
    assert '{"at"' not in shown
