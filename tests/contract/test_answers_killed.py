"""A worker killed by the kernel while it answers people: nothing is lost, nothing is repeated.

What the channel may have taken before the kill is the exception: it comes again and says so.
"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.storage import Database
from tests.contract.incident_answers import (
    ANA,
    BELL,
    CHART,
    EYES,
    AnsweredSlackIncident,
    local_slack,
    slack_bot,
)
from tests.contract.open_context import open_context, settings

PROCESS = """
import asyncio, importlib, os, signal, sys
from pathlib import Path
from monitor.notifications.slack.bot import SlackBot
from monitor.storage import Database
from monitor.worker import delivery_job
from monitor.worker.reaction_polling import ReactionPolling
from tests.contract.open_context import settings, open_context

url, api, token, home, module, name, when = sys.argv[1:]
module = importlib.import_module(module)
whole = getattr(module, name)

async def killing(*arguments, **named):
    if when == "after":
        await whole(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(module, name, killing)

async def main():
    bot = SlackBot(token, "#alerts", base_url=api, timeout_s=60)
    database = Database(url)
    async with open_context(settings(Path(home)), database, bot) as context:
        channel = context.channels["slack"]
        polling = ReactionPolling(context, channel)
        while True:
            await polling.poll()
            await delivery_job.deliver(context, channel)

asyncio.run(main())
"""

STORAGE = "monitor.storage"
AGAIN = " (may be a duplicate)"
# Where it dies, and which charts and how many replies people find in the end.
PLACES: list[tuple[tuple[str, str, str], list[str], int]] = [
    ((f"{STORAGE}.incident_actions", "add", "after"), [""], 2),
    ((f"{STORAGE}.incident_rows", "add", "after"), [""], 2),
    ((f"{STORAGE}.outbox", "add", "after"), [""], 2),
    (("monitor.worker.delivery_job", "deliver", "before"), [""], 2),
    ((f"{STORAGE}.outbox", "settle", "before"), [""], 3),
    (("monitor.worker.delivery_job", "post_chart", "before"), [AGAIN], 2),
    (("monitor.worker.delivery_job", "post_chart", "after"), ["", AGAIN], 2),
]


def killed(*given: str) -> int:
    """Run a worker that kills itself; its exit status."""
    return subprocess.run(
        [sys.executable, "-c", PROCESS, *given], cwd=Path.cwd(), timeout=120, check=False
    ).returncode


@pytest.mark.parametrize(
    ("place", "charts", "count"), PLACES, ids=[f"{when} {name}" for (_, name, when), *_ in PLACES]
)
async def test_killed_at_this_place_an_answer_is_neither_lost_nor_repeated(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    place: tuple[str, str, str], charts: list[str], count: int,
) -> None:  # fmt: skip
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with local_slack() as slack:
        async with open_context(settings(tmp_path), database, slack_bot(slack)) as context:
            found = AnsweredSlackIncident(context, slack)
            await found.judge("+ttft")
            for emoji in (EYES, BELL, CHART):
                slack.react(ANA, emoji)
            given = (database_url, slack.api_url, slack.token, str(tmp_path), *place)
            assert killed(*given) == -signal.SIGKILL
            await found.run("UPDATE outbox SET due_at = now() WHERE settled_at IS NULL")
            for _ in range(4):
                await found.poll()

            assert await found.rows(
                "SELECT action, nth, name FROM incident_actions ORDER BY action"
            ) == [("acknowledge", 1, "ana"), ("chart", 1, "ana"), ("mute", 1, "ana")]
            assert await found.rows("SELECT rule, target FROM mutes") == [("ttft", "rag")]
            told = "SELECT count(*) FROM outbox WHERE (notice ->> 'in_thread')::boolean"
            assert await found.rows(told) == [(2,)]
            assert [name.partition(" 6 h")[2] for name, _ in found.posted().files] == charts
            replies = found.replies()
            assert len(replies) == count
            assert {text.split(";")[0].split(" until ")[0] for text in replies} == {
                "Acknowledged by @ana",
                "Muted by @ana",
            }
            assert sum("You may see this message twice" in text for text in replies) == count - 2
