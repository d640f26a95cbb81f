"""Bad input ends a command with a status and one message: what, where, how to mend it."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.e2e.worker_process import (
    configuration,
    eventually,
    rows,
    run_command,
    service,
    worker,
)

NOWHERE = "postgresql://me:canary@127.0.0.1:1/nothing"


@pytest.mark.parametrize("verb", ["run", "check", "migrate", "probe", "test-alert", "incidents"])
def test_every_command_reports_all_configuration_faults_at_once(tmp_path: Path, verb: str) -> None:
    (tmp_path / "monitor.toml").write_text('[targets.rag]\nurl = "ftp://x"\n[rules.tfft]\n')
    ended = run_command(tmp_path, verb, LOG_LEVEL="LOUD")
    assert ended.returncode == 2
    assert ended.stdout == ""
    first, *faults = ended.stderr.splitlines()
    assert first == "monitor: 5 configuration errors:"
    assert [fault.split(":")[0].split(" = ")[0].strip() for fault in faults] == [
        "LOG_LEVEL",
        "targets.rag.url",
        "targets.rag.dialect",
        "targets.rag.queries",
        "rules.tfft",
    ]


def test_a_configuration_file_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    ended = run_command(tmp_path, "check")
    assert ended.returncode == 2
    assert "no such file: correct MONITOR_CONFIG. Create one with `monitor init`" in ended.stderr


@pytest.mark.parametrize("verb", ["migrate", "check", "incidents"])
def test_an_unreachable_database_is_named_without_its_password(tmp_path: Path, verb: str) -> None:
    with service() as stage:
        configuration(tmp_path, stage.url)
        ended = run_command(tmp_path, verb, DATABASE_URL=NOWHERE)
    reported = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert "DATABASE_URL = postgresql://me:***@127.0.0.1:1/nothing" in reported
    assert "Start the server or correct the address" in reported
    assert "canary" not in reported
    assert "Traceback" not in reported


@pytest.mark.parametrize("as_process_1", [False, True])
def test_a_signal_ends_a_worker_that_waits_for_its_schema_at_once(
    tmp_path: Path, empty_url: str, as_process_1: bool
) -> None:
    configuration(tmp_path, "http://127.0.0.1:9")
    apart = ["unshare", "--pid", "--fork", "--kill-child"] if as_process_1 else []
    if (
        as_process_1
        and subprocess.run([*apart, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no right to make a process namespace")
    with worker(tmp_path, *apart, DATABASE_URL=empty_url) as process:
        eventually(lambda: "waiting up to 120 s" in process.log() or None, 60, "the wait")
        outer = process.child.pid
        children = Path(f"/proc/{outer}/task/{outer}/children")
        os.kill(int(children.read_text()) if as_process_1 else outer, signal.SIGTERM)
        assert process.child.wait(60) == 0, "it gives up with status 1 after 120 s"
        assert "start cancelled" in process.log()
        assert "monitor migrate" not in process.log().splitlines()[-1]


def test_a_worker_runs_without_standard_streams(tmp_path: Path, database_url: str) -> None:
    configuration(tmp_path, "http://127.0.0.1:9")
    apart = ["sh", "-c", 'exec "$@" <&- 1>&- 2>&-', "sh"]
    with worker(tmp_path, *apart, DATABASE_URL=database_url) as process:
        stored = "SELECT 1 FROM observations LIMIT 1"

        found = eventually(
            lambda: rows(database_url, stored) or process.child.poll(), 60, "a probe"
        )
        assert found == [(1,)], "the process ended"
        numbers = [Path(f"/proc/{process.child.pid}/fd/{n}").readlink() for n in range(3)]
        assert numbers == [Path("/dev/null")] * 3
        os.kill(process.child.pid, signal.SIGTERM)
        assert process.child.wait(60) == 0


def test_a_reload_during_the_start_is_none(tmp_path: Path, empty_url: str) -> None:
    configuration(tmp_path, "http://127.0.0.1:9")
    with worker(tmp_path, DATABASE_URL=empty_url) as process:
        eventually(lambda: "waiting up to 120 s" in process.log() or None, 60, "the wait")
        os.kill(process.child.pid, signal.SIGHUP)
        os.kill(process.child.pid, signal.SIGTERM)
        assert process.child.wait(60) == 0, "SIGHUP ends a process that does not handle it"


def test_a_database_that_does_not_exist_ends_the_worker_at_once(
    tmp_path: Path, server_url: str
) -> None:
    configuration(tmp_path, "http://127.0.0.1:9")
    url = make_url(server_url).set(database="no_such").render_as_string(hide_password=False)
    ended = run_command(tmp_path, "run", DATABASE_URL=url)
    assert ended.returncode == 1
    assert 'database "no_such" does not exist' in ended.stderr
    assert "waiting" not in ended.stderr


def test_a_wrong_kind_of_address_is_a_configuration_fault(tmp_path: Path) -> None:
    configuration(tmp_path, "http://127.0.0.1:9")
    ended = run_command(tmp_path, "run", DATABASE_URL="mysql://u:canary@h/d")
    assert ended.returncode == 2
    assert "DATABASE_URL" in ended.stderr
    assert "postgresql://user:password@host:5432/database" in ended.stderr
    assert "canary" not in ended.stderr


def test_a_foreign_schema_is_refused_by_worker_and_migration(
    tmp_path: Path, database_url: str
) -> None:
    configuration(tmp_path, "http://127.0.0.1:9")
    import psycopg

    plain = database_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain) as connection:
        connection.execute("UPDATE monitor_alembic_version SET version_num = 'deadbeef'")
    for verb, status in (("run", 1), ("migrate", 2)):
        ended = run_command(tmp_path, verb, DATABASE_URL=database_url)
        assert ended.returncode == status
        assert "deadbeef" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_worker_waits_for_its_revision_and_runs_once_it_is_there(
    tmp_path: Path, empty_url: str
) -> None:
    with service() as stage:
        configuration(tmp_path, stage.url)
        with worker(tmp_path, DATABASE_URL=empty_url) as monitor:
            eventually(lambda: "revision none, this program needs" in monitor.log(), 120, "a word")
            assert run_command(tmp_path, "migrate", DATABASE_URL=empty_url).returncode == 0
            eventually(lambda: "worker started" in monitor.log(), 120, "the worker")
            assert monitor.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("probe", "nosuch"), 'unknown target "nosuch"; known: rag'),
        (("probe", "rag", "--query", "no"), 'target "rag" has no query "no"; known: hi, who'),
        (("probe", "--count", "100000"), "could cost"),
        (("incidents", "show", "99"), "there is no incident #99"),
        (("incidents", "mute", "--rule", "no", "--for", "1h", "--reason", "x"),
         'unknown rule "no"'),
        (("incidents", "mute", "--rule", "ttft", "--target", "rga", "--for", "1h", "--reason", "x"),
         'unknown target "rga"; known: all, rag, openrouter, anthropic, openai, console'),
        (("incidents", "list", "--since", "long"), "write a duration"),
    ],
)  # fmt: skip
def test_a_wrong_argument_says_what_is_known(
    tmp_path: Path, database_url: str, arguments: tuple[str, ...], text: str
) -> None:
    configuration(tmp_path, "http://127.0.0.1:9")
    ended = run_command(tmp_path, *arguments, DATABASE_URL=database_url)
    assert ended.returncode == 2
    assert text in ended.stderr
    assert rows(database_url, "SELECT count(*) FROM observations") == [(0,)]


def test_a_target_that_refuses_fails_the_check_by_name(tmp_path: Path, database_url: str) -> None:
    configuration(tmp_path, "http://127.0.0.1:9")
    ended = run_command(tmp_path, "check", DATABASE_URL=database_url)
    assert ended.returncode == 1
    assert "FAULT   target rag: url = http://127.0.0.1:9" in ended.stdout


def test_a_sound_setting_passes_the_check_with_a_projection(
    tmp_path: Path, database_url: str
) -> None:
    with service() as stage:
        configuration(tmp_path, stage.url, every="5m")
        ended = run_command(tmp_path, "check", DATABASE_URL=database_url)
    assert ended.returncode == 0, ended.stdout
    assert "projected spend of rag" in ended.stdout
    assert "expected meta-llama/llama-4-scout: probes $" in ended.stdout
    assert "fallback anthropic/claude-haiku-4-5: probes $" in ended.stdout


def test_a_failed_probe_is_an_observation_and_no_crash(tmp_path: Path) -> None:
    configuration(tmp_path, "http://127.0.0.1:9")
    ended = run_command(tmp_path, "probe", "--json")
    assert ended.returncode == 1
    assert '"outcome": "refused"' in ended.stdout
