"""`monitor probe` as a bounded load run: what it asks, tells, keeps, and what a stop leaves."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

from monitor.dialects import dialect_of, read
from monitor.transcripts import recorded
from tests.e2e.worker_process import (
    command,
    configuration,
    environment,
    eventually,
    rows,
    run_command,
    service,
)
from tests.scripted_server import LAST, chunk, head, scripted_server
from tests.single_probe import target_at


def test_a_load_run_reports_records_and_stores_every_probe(
    tmp_path: Path, database_url: str
) -> None:
    transcripts = tmp_path / "transcripts.jsonl"
    with service(pace=0.1) as stage:
        configuration(tmp_path, stage.url)
        assert run_command(tmp_path, "migrate", DATABASE_URL=database_url).returncode == 0
        ended = run_command(
            tmp_path, "probe", "--count", "150", "--concurrency", "130", "--json", "--store",
            "--over-budget", "--record", str(transcripts), DATABASE_URL=database_url,
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    notified = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [seen["query"] for seen in notified].count("hi") == 75, "queries take turns"
    assert {seen["outcome"] for seen in notified} == {"answered"}
    kept = recorded(transcripts.read_text().splitlines())
    stored = {str(id) for (id,) in rows(database_url, "SELECT id FROM observations")}
    ids = {seen["id"] for seen in notified}
    assert ids == stored == {str(transcript.id) for transcript in kept}
    assert len(ids) == 150
    dialect = dialect_of(target_at("http://x"))
    answers = {str(t.id): len(read(dialect, t).text) for t in kept}
    assert answers == {seen["id"]: seen["answer_chars"] for seen in notified}


def test_a_table_of_percentiles_for_people(tmp_path: Path) -> None:
    with service(pace=0.1) as stage:
        configuration(tmp_path, stage.url)
        ended = run_command(tmp_path, "probe", "--count", "20", "--concurrency", "5", COLUMNS="160")
    assert ended.returncode == 0
    head, *lines = ended.stdout.splitlines()
    assert all(name in head for name in ("p50 ms", "p90", "p99", "max", "who answered"))
    assert [line.split()[:3] for line in lines[:2]] == [
        ["hi", "10", "answered"],
        ["who", "10", "answered"],
    ]
    assert any(line.startswith("timed by ") for line in lines)
    assert any(line.startswith("hi: “") for line in lines), "the first words of an answer"


def test_a_run_beyond_the_budget_is_refused_by_its_figure_unless_allowed(
    tmp_path: Path,
) -> None:
    with service(pace=0.1) as stage:
        configuration(tmp_path, stage.url, more='[probes]\ndaily_budget_usd = "0.000001"\n')
        refused = run_command(tmp_path, "probe", "--count", "2")
        allowed = run_command(tmp_path, "probe", "--count", "2", "--over-budget", "--json")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "daily probe budget of $0.000001" in refused.stderr
    assert "2 probes could cost $0.0" in refused.stderr
    assert (allowed.returncode, len(allowed.stdout.splitlines())) == (0, 2)


def test_a_record_that_cannot_be_written_is_found_before_anything_is_asked(tmp_path: Path) -> None:
    configuration(tmp_path, "http://127.0.0.1:9")
    ended = run_command(tmp_path, "probe", "--record", str(tmp_path / "no" / "where"), "--json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "does not exist: create it or correct the path" in ended.stderr


def test_an_interrupted_run_reports_what_came_back(tmp_path: Path) -> None:
    transcripts = tmp_path / "transcripts.jsonl"
    with service(pace=0.1) as stage:
        configuration(tmp_path, stage.url)
        child = subprocess.Popen(
            [sys.executable, "-m", "monitor", "probe", "--count", "100000", "--json",
             "--over-budget", "--record", str(transcripts)],
            env=environment(tmp_path), cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        eventually(lambda: transcripts.exists() and transcripts.stat().st_size, 120, "a transcript")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=120)
    notified = out.splitlines()
    assert child.returncode == 130
    assert len(notified) == len(transcripts.read_text().splitlines()) > 0
    assert err == f"monitor: interrupted after {len(notified)} of 100000 probes\n"


def test_on_a_terminal_a_bar_shows_how_far_it_is(tmp_path: Path) -> None:
    mine, theirs = pty.openpty()
    with service(pace=0.1) as stage:
        configuration(tmp_path, stage.url)
        with subprocess.Popen(
            [sys.executable, "-m", "monitor", "probe", "--count", "6", "--json"],
            env=environment(tmp_path, TERM="xterm"), cwd=tmp_path,
            stdout=subprocess.DEVNULL, stderr=theirs,
        ) as child:  # fmt: skip
            os.close(theirs)
            shown = b""
            try:
                while piece := os.read(mine, 4096):
                    shown += piece
            except OSError:
                pass  # the terminal's other end is closed
            assert child.wait(120) == 0
    os.close(mine)
    assert b"probing" in shown
    assert b"6/6" in shown


async def test_an_expression_that_finds_nothing_is_named_and_explained(tmp_path: Path) -> None:
    events = b'data: {"delta":"Sure! \x1b[31m"}\n\ndata: {"done":true}\n\n'
    async with scripted_server(head(), chunk(events), LAST) as server:
        (tmp_path / "monitor.toml").write_text(f"""
[targets.kb]
url = "{server.url}"
dialect = "custom"
[targets.kb.options]
query = {{ q = "{{query}}" }}
text = "deltas"
done = "done"
[[targets.kb.queries]]
id = "hi"
text = "Hi"
""")
        plain = await asyncio.to_thread(command, tmp_path, "probe", COLUMNS="160")
        explained = await asyncio.to_thread(command, tmp_path, "probe", "--explain")
    assert (plain.returncode, explained.returncode) == (1, 1), plain.stderr + explained.stderr
    notified = 'hi: first event: {"delta":"Sure! "}; text = "deltas" found nothing'
    assert notified in plain.stdout.splitlines()
    assert '       text = "deltas" found nothing' in explained.stdout.splitlines()
    assert "       read as: end" in explained.stdout.splitlines()
    assert "\x1b" not in plain.stdout + explained.stdout
