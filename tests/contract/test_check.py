"""`monitor check` over a real database: what it says of delivery, of `psql`, of stored claims.

The warnings that need no database are in tests/unit/test_check_warnings.py.
"""

import asyncio
import re
import shlex
import subprocess
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.domain import Outcome, StampSource
from monitor.embedded_postgres import running
from monitor.storage import Database, observations
from tests.contract.cli import run
from tests.example_data import observation

CONFIGURATION = """
[targets.rag]
url = "http://127.0.0.1:9"
dialect = "bali_zero"
expected_models = ["meta-llama/llama-4-scout"]
untrusted = ["ai_usde"]
[[targets.rag.queries]]
id = "hi"
text = "Hi"
"""
NOTICE = text(
    "INSERT INTO outbox (id, incident, notice, status, created_at, due_at, attempts) VALUES "
    "(gen_random_uuid(), NULL, '{}', 'NOTICE', now() - interval '5 minutes', now(), 0)"
)
BROKEN = text(
    "INSERT INTO channels (channel, broken_since, broken_why, paused_until) VALUES "
    "('slack', now(), 'Slack error no_team', now() + interval '1 hour')"
)
LATELY = datetime.now(UTC) - timedelta(minutes=5)
SEEN = observation(started_at=LATELY, slot=LATELY)
WEBHOOK = "http://127.0.0.1:9/services/x"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "monitor.toml").write_text(CONFIGURATION)
    return tmp_path


async def stored(database: Database, work: Callable[[AsyncConnection], Awaitable[object]]) -> None:
    async with database.begin() as connection:
        await work(connection)


async def test_what_does_not_arrive_is_said(
    home: Path, database: Database, database_url: str
) -> None:
    await stored(
        database, lambda c: observations.add(c, [observation(started_at=LATELY, slot=LATELY)])
    )
    given = {"DATABASE_URL": database_url, "SLACK_WEBHOOK_URL": WEBHOOK}
    first = await asyncio.to_thread(run, "check", home=home, **given)
    assert "ok      delivery to slack: no message is waiting, nothing was sent yet" in first.out
    assert 'warning untrusted of rag: no answer of the last 7 days has the source "ai_usde"' in (
        first.out
    )
    assert "ttft of rag" not in first.out
    held_back = [
        observation(started_at=at, slot=at, stamp=StampSource.DEGRADED)
        for at in (LATELY - timedelta(seconds=30), LATELY - timedelta(seconds=60))
    ]
    await stored(database, lambda c: observations.add(c, held_back))
    await stored(database, lambda c: c.execute(NOTICE))
    second = await asyncio.to_thread(run, "check", home=home, **given)
    assert "warning ttft of rag: 2 of 3 answers of the last 24 h arrived in one piece" in second.out
    assert "warning delivery to slack: 1 messages are waiting, the oldest for 5 min" in second.out
    alike = [
        observation(started_at=at, slot=at, query="cached", answer_chars=60)
        for at in (LATELY - timedelta(minutes=minute) for minute in range(10))
    ]
    await stored(database, lambda c: observations.add(c, alike))
    await stored(database, lambda c: c.execute(BROKEN))
    third = await asyncio.to_thread(run, "check", home=home, **given)
    assert "FAULT   delivery to slack: the channel has refused everything since" in third.out
    same = "warning answers of rag: all 10 answers of the last 7 days to cached are identical"
    assert same in third.out
    assert same not in second.out
    assert third.status == 1


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"MONITOR_HOME": "/proc/nowhere"}, "warning spool: MONITOR_HOME = /proc/nowhere cannot be "
         "written (No such file or directory): observations that wait for the database are kept in "
         "memory only and lost when the process ends"),
        ({"MONITOR_TARGETS__RAG__CA_FILE": "/nope.pem"}, "FAULT   target rag: url = "
         "http://127.0.0.1:9: CA file /nope.pem cannot be used: No such file or directory. Correct "
         "targets.rag.ca_file"),
        ({"MONITOR_TARGETS__RAG__PROXY": "http://127.0.0.1:9"}, "FAULT   target rag: url = "
         "http://127.0.0.1:9: no connection through the proxy (proxy): Connection refused. Correct "
         "targets.rag.proxy or targets.rag.url, or start the proxy and the service"),
    ],
)  # fmt: skip
def test_a_line_names_the_key_to_correct(home: Path, more: dict[str, str], line: str) -> None:
    ended = run("check", home=home, **{"DATABASE_URL": "postgresql://u@127.0.0.1:1/d", **more})
    assert line in ended.out.splitlines(), ended.out


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("incidents mute", ("--reason", " "), "--reason is empty"),
        ("incidents mute", ("--for", "0s"), "must be greater than zero"),
        ("export", ("--since", "0s"), "must be greater than zero"),
        ("export", ("--since", "99999999d"), "a duration is at most 36500d"),
    ],
)
def test_an_argument_without_effect_is_refused(
    home: Path, command: str, arguments: tuple[str, ...], sentence: str
) -> None:
    ended = run(command, *arguments, home=home, DATABASE_URL="postgresql://u@127.0.0.1:1/d")
    assert ended.status == 2
    assert sentence in ended.err


def test_the_psql_and_pg_dump_lines_work_as_printed(home: Path) -> None:
    with running(home / "state"):
        ended = run("check", home=home, DATABASE_URL=None)
        lines = {line.split(": ")[0].split()[-1]: line for line in ended.out.splitlines()}
        psql = lines["database"].rpartition("runs: ")[2]
        (dump,) = re.findall("`(.*)`", lines["retention"])
        for line in (f"{psql} -Atc 'SELECT 41 + 1'", f"{dump} --schema-only"):
            made = subprocess.run(shlex.split(line), capture_output=True, text=True, timeout=60)
            assert made.returncode == 0, made.stderr
            assert "42" in made.stdout or "PostgreSQL database dump" in made.stdout


def test_targets_are_asked_at_the_same_time(tmp_path: Path) -> None:
    """Each answers only once all of them have been asked."""
    count = 5
    all_asked = threading.Barrier(count)

    class Patient(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            all_asked.wait(60)
            self.send_response(405)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Patient) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        several = [
            CONFIGURATION.replace("targets.rag", f"targets.rag{n}").replace(
                "http://127.0.0.1:9", f"{url}/{n}"
            )
            for n in range(count)
        ]
        (tmp_path / "monitor.toml").write_text("".join(several))
        ended = run("check", home=tmp_path, DATABASE_URL="postgresql://u@127.0.0.1:1/d")
        server.shutdown()
    answers = re.findall(r"^ok +target (\w+): .* is reachable", ended.out, re.MULTILINE)
    assert answers == [f"rag{n}" for n in range(count)], ended.said


@pytest.mark.parametrize(
    ("status", "latest", "line"),
    [
        (404, None, "ok      target rag: .* is reachable .HTTP 404 without a question"),
        (501, Outcome.HTTP_STATUS, "ok      target rag: .* is reachable .HTTP 501 without a que"),
        (
            404,
            Outcome.ANSWERED,
            "ok      target rag: .* is reachable; the probe of .* was answered",
        ),
        (
            302,
            Outcome.ANSWERED,
            "ok      target rag: .* is reachable; the probe of .* was answered",
        ),
        (302, Outcome.HTTP_STATUS, "warning target rag: .* it redirects"),
    ],
)
async def test_what_a_chat_answers_without_a_question_is_no_warning_every_day(
    status: int,
    latest: Outcome | None,
    line: str,
    database: Database,
    database_url: str,
    tmp_path: Path,
) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    if latest is not None:
        earlier = LATELY - timedelta(minutes=5)
        other = Outcome.ANSWERED if latest is not Outcome.ANSWERED else Outcome.HTTP_STATUS
        for at, outcome in ((earlier, other), (LATELY, latest)):
            one = observation(started_at=at, slot=at, outcome=outcome)
            await stored(database, partial(observations.add, new=[one]))
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        (tmp_path / "monitor.toml").write_text(CONFIGURATION.replace("http://127.0.0.1:9", url))
        ended = await asyncio.to_thread(run, "check", home=tmp_path, DATABASE_URL=database_url)
        server.shutdown()
    assert re.search(f"^{line}", ended.out, re.MULTILINE), ended.said
