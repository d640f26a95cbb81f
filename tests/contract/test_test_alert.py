"""`monitor test-alert`: whether a message reaches people, and what its success changes."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.storage import Database, outbox
from tests.contract.cli import run
from tests.contract.http_sink import http_sink
from tests.contract.test_check import BROKEN, CONFIGURATION, stored
from tests.scripted_server import full_reply, scripted_server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "monitor.toml").write_text(CONFIGURATION)
    return tmp_path


def test_without_slack_nothing_is_sent_and_the_status_says_so(home: Path) -> None:
    ended = run("test-alert", home=home, DATABASE_URL=None)
    assert ended.status == 1
    assert "NOTICE test" in ended.out
    assert "nothing was sent: set SLACK_BOT_TOKEN and SLACK_CHANNEL, or SLACK_WEBHOOK_URL" in (
        ended.err
    )
    assert not (home / "state").exists(), "no database is made for it"


async def test_a_channel_that_refused_for_good_is_tried_again_at_once(
    home: Path, database: Database, database_url: str
) -> None:
    await stored(database, lambda c: c.execute(BROKEN))
    async with scripted_server(full_reply(200, b"ok")) as slack:
        given = {"DATABASE_URL": database_url, "SLACK_WEBHOOK_URL": slack.url}
        ended = await asyncio.to_thread(run, "test-alert", home=home, **given)
        again = await asyncio.to_thread(run, "test-alert", home=home, **given)
    assert ended.out == (
        "sent through slack\nit had refused all messages: waiting messages are sent now\n"
    ), ended.said
    assert again.out == "sent through slack\n"
    async with database.begin() as connection:
        assert (await outbox.backlog(connection, "slack")).broken_since is None
        paused = await connection.scalar(text("SELECT paused_until FROM channels"))
    assert paused is None


async def test_a_refused_message_leaves_the_channel_as_it_was(
    home: Path, database: Database, database_url: str
) -> None:
    await stored(database, lambda c: c.execute(BROKEN))
    async with scripted_server(full_reply(404, b"no_team")) as slack:
        ended = await asyncio.to_thread(run, "test-alert", home=home, DATABASE_URL=database_url,
                                        SLACK_WEBHOOK_URL=slack.url)  # fmt: skip
    assert ended.status == 1
    async with database.begin() as connection:
        assert (await outbox.backlog(connection, "slack")).broken_since is not None


async def test_a_database_that_takes_no_writes_makes_no_failure_of_it(
    home: Path, database: Database, database_url: str
) -> None:
    await stored(database, lambda c: c.execute(BROKEN))
    read_only = f"{database_url}{'&' if '?' in database_url else '?'}options="
    async with scripted_server(full_reply(200, b"ok")) as slack:
        ended = await asyncio.to_thread(
            run, "test-alert", home=home, SLACK_WEBHOOK_URL=slack.url,
            DATABASE_URL=f"{read_only}-cdefault_transaction_read_only%3Don",
        )  # fmt: skip
    assert ended.status == 0
    assert "tried again within an hour: " in ended.err


@pytest.mark.parametrize("address", ["postgresql://u:s3cretword@127.0.0.1:1/d", None])
async def test_a_message_that_arrived_is_a_success_whatever_the_database(
    home: Path, address: str | None
) -> None:
    (home / "state").mkdir()
    (home / "state" / "postgres").write_text("no directory")
    async with scripted_server(full_reply(200, b"ok")) as slack:
        ended = await asyncio.to_thread(run, "test-alert", home=home, DATABASE_URL=address,
                                        SLACK_WEBHOOK_URL=slack.url)  # fmt: skip
    assert ended.status == 0
    assert ended.out == "sent through slack\n"
    assert "tried again within an hour" in ended.err
    assert "s3cretword" not in ended.err


TWO = """
[[channels]]
name = "ops"
kind = "webhook"
url = "${OPS_URL}"
secret = "${OPS_SECRET}"
severity = ["page"]
rules = ["down"]
[[channels]]
name = "screen"
kind = "console"
rules = ["down"]
"""
OPS_SECRET = "canary-signing-key"


def test_each_channel_is_tested_or_the_one_that_is_named(home: Path) -> None:
    (home / "monitor.toml").write_text(CONFIGURATION + TWO)
    with http_sink() as sink:
        given = {"DATABASE_URL": None, "OPS_URL": sink.url, "OPS_SECRET": OPS_SECRET}
        both = run("test-alert", home=home, **given)
        assert both.status == 0, both.said
        assert "NOTICE test" in both.out, "printed by the console"
        assert "sent through ops\n" in both.out
        one = run("test-alert", "--channel", "ops", home=home, **given)
        assert one.out == "sent through ops\n"
        sink.script.append(401)
        refused = run("test-alert", "--channel", "ops", home=home, **given)
        unknown = run("test-alert", "--channel", "op", home=home, **given)
    assert [item.json["rule"] for item in sink.taken] == ["test", "test"]
    assert refused.status == 1
    assert "ops did not take it: the receiver answered HTTP 401" in refused.err
    assert unknown.status == 2
    assert 'unknown channel "op"; known: ops, screen' in unknown.err
    assert OPS_SECRET not in both.said + refused.said


async def test_check_shows_each_channel_and_the_rules_that_none_takes(
    home: Path, database: Database, database_url: str
) -> None:
    (home / "monitor.toml").write_text(CONFIGURATION + TWO)
    given = {"OPS_URL": "http://127.0.0.1:9/canaryhook4be7a2", "OPS_SECRET": OPS_SECRET}
    sent = text("INSERT INTO channels (channel, last_sent_at) VALUES ('ops', '2026-11-30 05:25Z')")
    await stored(database, lambda c: c.execute(sent))
    ended = await asyncio.to_thread(run, "check", home=home, DATABASE_URL=database_url, **given)
    assert "channel ops (webhook): a webhook cannot be checked without a message" in ended.out
    assert "takes rules down; severity page" in ended.out
    assert "channel screen (console): " in ended.out
    assert "delivery to ops: no message is waiting, last success 2026-11-30 05:25 UTC" in ended.out
    assert "delivery to screen: no message is waiting, nothing was sent yet" in ended.out
    assert "warning channels: no channel takes answer_check, calendar, " in ended.out
    assert "canary" not in ended.said
