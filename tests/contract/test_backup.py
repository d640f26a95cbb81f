"""A backup holds everything, and after a restore nothing is announced twice."""

import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from monitor.domain import GiveUp, Notice, TryLater
from monitor.notifications import ConsoleNotifier
from monitor.notifications.slack.bot import SlackBot
from monitor.simulator.slack_server import SlackServer
from monitor.storage import Database, backup_file
from monitor.worker import evaluation
from tests.contract.cli import Ended, call
from tests.contract.open_context import CONFIGURATION, deliver, open_context, settings
from tests.contract.test_answered import seen
from tests.e2e.worker_process import rows

TABLES = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = " \
         "'public'::regnamespace ORDER BY relname"  # fmt: skip
SLOW = {"ttft_ms": 3000.0}
NEXT = timedelta(minutes=10)


class Unavailable(ConsoleNotifier):
    """A channel that cannot be reached."""

    async def send(self, notice: Notice, **_: object) -> TryLater | GiveUp:
        return TryLater("no route")


def monitor(home: Path, url: str, *arguments: str) -> Ended:
    (home / "monitor.toml").write_text(CONFIGURATION.format(url="http://127.0.0.1:1"))
    return call(arguments, home=home, DATABASE_URL=url, SERVICE_KEY="canary-key-4711")


def moved(home: Path, source: str, target: str) -> str:
    """Back up one database and fill the other; returns what `restore` printed."""
    file = home / "monitor.dump"
    saved = monitor(home, source, "backup", str(file))
    assert saved.status == 0, saved.said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in home.glob("*.part")] == []
    filled = monitor(home, target, "restore", str(file))
    assert filled.status == 0, filled.said
    return filled.out


def held(url: str) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    return {
        table: sorted(row for (row,) in rows(url, f'SELECT t::text FROM "{table}" AS t'))
        for (table,) in rows(url, TABLES)
    }


async def test_after_a_restore_all_is_there_and_nothing_is_announced_twice(
    database: Database, database_url: str, empty_url: str, tmp_path: Path
) -> None:
    with SlackServer() as inbox:
        configured = settings(tmp_path)
        bot = SlackBot(inbox.token, "#alerts", base_url=inbox.api_url)
        async with open_context(configured, database, bot) as context:
            await seen(context, NEXT, *[{"ttft_ms": 600.0}] * 3, *[SLOW] * 6)
            await evaluation.evaluate(context)
            await deliver(context)
        sent = [message.text for message in inbox.messages]
        assert [message.split(" ·")[0] for message in sent] == ["FIRING #1 ttft"]

        before = held(database_url)
        assert "restored 18 observations and 1 open incidents\n" in moved(
            tmp_path, database_url, empty_url
        )
        assert held(empty_url) == before

        restored = Database(empty_url)
        async with open_context(configured, restored, bot) as context:
            for _ in range(2):
                await seen(context, NEXT, SLOW)
                await evaluation.evaluate(context)
                await deliver(context)
        await restored.close()
        assert [message.text for message in inbox.messages] == sent
    again = monitor(tmp_path, empty_url, "restore", str(tmp_path / "monitor.dump"))
    assert again.status == 2
    assert "holds data of rag-monitor already. Restore into an empty database" in again.err


async def test_a_notice_that_may_have_been_sent_since_says_so(
    database: Database, database_url: str, empty_url: str, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path), database, Unavailable()) as context:
        await seen(context, NEXT, *[SLOW] * 6)
        await evaluation.evaluate(context)
        await deliver(context)
    assert "1 notices were not sent when the backup was made" in moved(
        tmp_path, database_url, empty_url
    )
    assert rows(empty_url, "SELECT maybe_sent FROM outbox") == [(True,)]


def test_a_restored_database_has_the_privileges_of_the_roles(
    database_url: str, empty_url: str, tmp_path: Path
) -> None:
    assert monitor(tmp_path, database_url, "migrate").status == 0
    moved(tmp_path, database_url, empty_url)
    granted = (
        "SELECT grantee, table_name, privilege_type FROM information_schema.table_privileges "
        "WHERE grantee LIKE 'monitor\\_%' ORDER BY 1, 2, 3"
    )
    found = rows(empty_url, granted)
    assert len(found) > 20
    assert found == rows(database_url, granted)


def test_from_the_embedded_database_to_a_server(empty_url: str, tmp_path: Path) -> None:
    """Two commands: the backup of one is restored into the other."""
    (tmp_path / "monitor.toml").write_text(CONFIGURATION.format(url="http://127.0.0.1:1"))

    def embedded(*arguments: str) -> Ended:
        return call(arguments, home=tmp_path, SERVICE_KEY="canary-key-4711")

    assert embedded("migrate").status == 0
    muted = embedded("incidents", "mute", "--reason", "moving house", "--for", "1h")
    assert muted.status == 0, muted.said
    file = str(tmp_path / "monitor.dump")
    assert embedded("backup", file).status == 0
    assert monitor(tmp_path, empty_url, "restore", file).status == 0
    assert "moving house" in monitor(tmp_path, empty_url, "incidents", "list").out


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_backup_leaves_an_empty_database(
    database_url: str, empty_url: str, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "monitor.dump"
    assert monitor(tmp_path, database_url, "backup", str(file)).status == 0
    if damage == "cut":
        os.truncate(file, file.stat().st_size * 2 // 3)
    else:
        file.write_bytes(b"a report of last week\n" * 100)
    ended = monitor(tmp_path, empty_url, "restore", str(file))
    assert ended.status == 1
    assert ended.err.startswith("monitor: restore failed, nothing was written: pg_restore")
    assert not backup_file.in_use(empty_url)


def test_a_database_that_refuses_a_statement_is_left_as_it_was(
    database_url: str, empty_url: str, tmp_path: Path
) -> None:
    """Another program has a table of one of our names."""
    file = tmp_path / "monitor.dump"
    assert monitor(tmp_path, database_url, "backup", str(file)).status == 0
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE account_readings (mine int)"))
    engine.dispose()
    ended = monitor(tmp_path, empty_url, "restore", str(file))
    assert (ended.status, ended.error) == (1, None)
    assert ended.err.startswith("monitor: restore failed, nothing was written: ")
    assert 'relation "account_readings" already exists' in ended.err
    assert rows(empty_url, TABLES) == [("account_readings",)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("backup", "nowhere/x.dump"), "nowhere/x.dump: the folder nowhere does not exist"),
        (("backup", "."), ". is a folder: name a file"),
        (("restore", "x.dump"), "x.dump: no such file; name a file that `monitor backup` wrote"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], sentence: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    ended = monitor(tmp_path, database_url, *arguments)
    assert ended.status
    assert sentence in ended.err


def test_an_empty_database_is_no_backup(empty_url: str, tmp_path: Path) -> None:
    ended = monitor(tmp_path, empty_url, "backup", str(tmp_path / "x"))
    assert (ended.status, list(tmp_path.glob("*x*"))) == (2, [])
    assert "holds no data of rag-monitor" in ended.err
