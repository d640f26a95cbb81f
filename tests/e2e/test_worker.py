"""The worker as a process: what Slack received and what lies in the database is what counts."""

import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from monitor.embedded_postgres.process import socket_directory
from monitor.simulator.slack_channel import PostedMessage
from monitor.simulator.slack_server import SlackReplyStep, SlackServer
from tests.e2e.worker_process import (
    AT_ONCE,
    configuration,
    eventually,
    rows,
    run_command,
    service,
    slack,
    worker,
)

STARTED = "worker started"
STORED = "SELECT count(*) FROM observations"


def fired(notified: Sequence[PostedMessage]) -> list[PostedMessage]:
    """Messages about incidents: passing notices, such as of a first day, may come besides."""
    return [message for message in notified if message.text.startswith("FIRING")]


def all_due(url: str) -> None:
    """As if the lease of the killed worker, and every wait, were over."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("UPDATE outbox SET due_at = now() WHERE settled_at IS NULL")


def test_a_slow_stream_in_one_message_out_and_a_clean_exit(
    tmp_path: Path, database_url: str
) -> None:
    with service("slow", pace=1.0) as stage, SlackServer() as inbox:
        configuration(tmp_path, stage.url)
        with worker(tmp_path, DATABASE_URL=database_url, **slack(inbox)) as monitor:
            inbox.wait_for(fired, 240)
            time.sleep(5)
            assert monitor.stop(signal.SIGTERM) == 0, monitor.log()
        [message] = fired(inbox.messages)
        assert message.text.startswith("FIRING #1 ttft · rag: ")
        assert "limit 1200 ms" in message.text
        assert message.metadata["event_type"] == "monitor_incident"
    [(status, reference)] = rows(
        database_url, "SELECT result, reference FROM outbox WHERE incident IS NOT NULL"
    )
    assert status == "sent"
    assert reference
    # A busy machine may degrade single samples; the others carry kernel timestamps.
    stamps = rows(database_url, "SELECT DISTINCT stamp FROM observations WHERE ttft_ms > 0")
    assert ("kernel",) in stamps
    assert set(stamps) <= {("kernel",), ("degraded",)}
    assert rows(database_url, "SELECT rule FROM incidents WHERE resolved_at IS NULL") == [("ttft",)]


def test_killed_at_any_moment_it_goes_on_where_it_was_and_repeats_nothing(
    tmp_path: Path, database_url: str
) -> None:
    with service("slow") as stage, SlackServer() as inbox:
        configuration(tmp_path, stage.url, more=AT_ONCE)
        with worker(tmp_path, DATABASE_URL=database_url, **slack(inbox)) as monitor:
            inbox.wait_for(fired, 240)
            monitor.child.kill()
            monitor.child.wait(60)
        with worker(tmp_path, DATABASE_URL=database_url, **slack(inbox)) as monitor:
            before = rows(database_url, "SELECT count(*) FROM observations")[0][0]
            eventually(
                lambda: rows(database_url, "SELECT count(*) FROM observations")[0][0] > before + 4,
                120, "more observations after the restart",
            )  # fmt: skip
            assert monitor.stop() == 0
        assert len(fired(inbox.messages)) == 1
    doubled = "SELECT count(*) - count(DISTINCT (target, query, slot)) FROM observations"
    assert rows(database_url, doubled) == [(0,)]


def test_news_written_but_not_sent_is_reported_after_a_restart(
    tmp_path: Path, database_url: str
) -> None:
    with service("slow") as stage:
        configuration(tmp_path, stage.url, more=AT_ONCE)
        dead = {"SLACK_BOT_TOKEN": "xoxb-inbox", "SLACK_CHANNEL": "#alerts",
                "SLACK_API_BASE_URL": "http://127.0.0.1:9/api/"}  # fmt: skip
        with worker(tmp_path, DATABASE_URL=database_url, **dead) as monitor:
            tried = "SELECT 1 FROM outbox WHERE attempts > 0 AND incident > 0"
            eventually(lambda: rows(database_url, tried), 240, "a first try")
            monitor.child.kill()
            monitor.child.wait(60)
        all_due(database_url)
        with SlackServer() as inbox, worker(tmp_path, DATABASE_URL=database_url, **slack(inbox)):
            inbox.wait_for(fired, 240)
            assert fired(inbox.messages)[0].text.startswith("FIRING #1 ttft · rag: ")


def test_killed_after_slack_took_the_message_it_repeats_it_once_and_says_so(
    tmp_path: Path, database_url: str
) -> None:
    with service("slow") as stage, SlackServer() as inbox:
        configuration(tmp_path, stage.url, more=AT_ONCE)
        inbox.script([SlackReplyStep(late_s=25)] * 9)
        with worker(tmp_path, DATABASE_URL=database_url, **slack(inbox)) as monitor:
            inbox.wait_for(fired, 240)  # taken, and the reply is on its way
            monitor.child.kill()
            monitor.child.wait(60)
        inbox.script([])
        all_due(database_url)
        with worker(tmp_path, DATABASE_URL=database_url, **slack(inbox)):
            inbox.wait_for(lambda notified: len(fired(notified)) > 1, 240)
            time.sleep(3)
        first, again = fired(inbox.messages)
    assert {m.text.split(":")[0] for m in (first, again)} == {"FIRING #1 ttft · rag"}
    assert "You may see this message twice" not in first.text
    assert "You may see this message twice" in again.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_in_the_middle_of_a_probe(
    tmp_path: Path, database_url: str, number: int
) -> None:
    with service("hang") as stage:
        configuration(tmp_path, stage.url)
        with worker(tmp_path, DATABASE_URL=database_url) as monitor:
            eventually(lambda: rows(database_url, "SELECT 1 FROM slots"), 120, "a claimed slot")
            time.sleep(2)  # the slot is claimed before the probe is sent
            begun = time.monotonic()
            assert monitor.stop(number) == 0, monitor.log()
            assert time.monotonic() - begun < 30, "within fly.toml's kill_timeout"
    assert rows(database_url, "SELECT DISTINCT outcome FROM observations") == [("aborted",)]
    assert rows(database_url, "SELECT count(*) FROM incidents") == [(0,)]


def test_two_workers_on_one_database_ask_a_slot_once_and_report_once(
    tmp_path: Path, database_url: str
) -> None:
    with service("slow") as stage, SlackServer() as inbox:
        configuration(tmp_path, stage.url, more=AT_ONCE)
        given = {"DATABASE_URL": database_url, **slack(inbox)}
        with worker(tmp_path, **given) as one, worker(tmp_path, **given) as two:
            inbox.wait_for(fired, 240)
            time.sleep(5)
            assert one.stop() == 0
            assert two.stop() == 0
        assert len(fired(inbox.messages)) == 1
    workers = rows(database_url, "SELECT count(DISTINCT worker) FROM slots")
    assert workers[0][0] in (1, 2)
    doubled = "SELECT count(*) - count(DISTINCT (target, query, slot)) FROM observations"
    assert rows(database_url, doubled) == [(0,)]


def test_without_slack_news_goes_to_the_console(tmp_path: Path, database_url: str) -> None:
    with service("slow") as stage:
        configuration(tmp_path, stage.url, more=AT_ONCE)
        with worker(tmp_path, DATABASE_URL=database_url) as monitor:
            eventually(lambda: "FIRING #1 ttft · rag: " in monitor.log(), 240, "a message")
            assert monitor.stop() == 0


def test_the_embedded_database_serves_worker_and_command_at_once(tmp_path: Path) -> None:
    with service("healthy") as stage:
        configuration(tmp_path, stage.url)
        with worker(tmp_path) as monitor:
            eventually(lambda: STARTED in monitor.log(), 120, "the worker")
            listed = run_command(tmp_path, "incidents", "list")
            assert (listed.returncode, listed.stdout) == (0, "no incident\n"), listed.stderr
            assert monitor.stop() == 0


def test_a_worker_outlives_its_embedded_server_and_loses_nothing(tmp_path: Path) -> None:
    with service("healthy", pace=0.05) as stage:
        configuration(tmp_path, stage.url)
        with worker(tmp_path) as monitor:
            eventually(lambda: STARTED in monitor.log(), 120, "the worker")
            data = tmp_path / "state/postgres"
            url = f"postgresql://monitor@/monitor?host={socket_directory(data)}"
            eventually(lambda: rows(url, STORED)[0][0] >= 4, 120, "two rounds")
            os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
            eventually(lambda: "server restarted" in monitor.log(), 120, "its end to be seen")
            before = eventually(lambda: _stored(url), 120, "the new server")
            eventually(lambda: _stored(url) >= before + 8, 120, "four rounds more")
            assert rows(url, f"{STORED} WHERE outcome <> 'answered'") == [(0,)]
            assert monitor.stop() == 0


def _stored(url: str) -> int:
    """Observations stored; 0 while nobody answers."""
    with suppress(psycopg.OperationalError):
        return int(rows(url, STORED)[0][0])
    return 0


def test_a_muted_rule_reports_nothing_and_what_is_still_true_afterwards_is_reported(
    tmp_path: Path, database_url: str
) -> None:
    with service("slow") as stage, SlackServer() as inbox:
        configuration(tmp_path, stage.url, more=AT_ONCE)
        muted = run_command(
            tmp_path, "incidents", "mute", "--rule", "ttft", "--for", "1h", "--reason", "load test",
            DATABASE_URL=database_url,
        )  # fmt: skip
        assert muted.returncode == 0, muted.stderr
        with worker(tmp_path, DATABASE_URL=database_url, **slack(inbox)):
            eventually(lambda: rows(database_url, "SELECT 1 FROM incidents"), 240, "an incident")
            time.sleep(2)
            assert fired(inbox.messages) == []
            ended = run_command(tmp_path, "incidents", "unmute", "--rule", "ttft",
                                DATABASE_URL=database_url)  # fmt: skip
            assert ended.returncode == 0, ended.stderr
            inbox.wait_for(fired, 240)
            assert fired(inbox.messages)[0].text.startswith("FIRING #1 ttft · rag: ")


def test_what_four_answers_prove_is_reported_before_the_round_is_over(
    tmp_path: Path, database_url: str
) -> None:
    asking = "\n".join(
        f'[[targets.rag.queries]]\nid = "who{n}"\ntext = "Who are you? Which AI model are you?"'
        f"\nidentity = true\nprompt_tokens = 690"
        for n in range(7)
    )
    with service("key_rejected") as stage, SlackServer() as inbox:
        stage.play(candour={"haiku": 1.0})
        more = f"{asking}\n[rules.ttft]\nenabled = false"
        configuration(tmp_path, stage.url, every="45s", more=more)
        with worker(tmp_path, DATABASE_URL=database_url, **slack(inbox)) as monitor:
            inbox.wait_for(fired, 240)
            assert monitor.stop() == 0, monitor.log()
        [message] = fired(inbox.messages)
        assert message.text.startswith("FIRING #1 fallback · rag: 4 of the last 4 answers ")
    [(told_of, requested)] = rows(
        database_url,
        "SELECT cardinality(observations), (SELECT count(*) FROM observations "
        "WHERE started_at < opened_at AND identity = 'fallback') FROM incidents",
    )
    assert (told_of, requested) == (4, 4)


def test_systemd_hears_that_the_worker_is_ready_alive_and_stopping(
    tmp_path: Path, database_url: str
) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, service() as stage:
        manager.settimeout(120)
        manager.bind(address)
        configuration(tmp_path, stage.url)
        unit = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "600000"}
        with worker(tmp_path, DATABASE_URL=database_url, **unit) as monitor:
            heard = {manager.recv(500) for _ in range(2)}
            assert heard == {b"READY=1\nSTATUS=watching rag", b"WATCHDOG=1"}
            assert manager.recv(500) == b"WATCHDOG=1"
            assert monitor.stop(signal.SIGTERM) == 0, monitor.log()
        manager.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                heard.add(manager.recv(500))
        assert b"STOPPING=1" in heard
