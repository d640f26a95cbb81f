"""Every kind of channel through kills and outages: nothing is lost, nothing overtakes, and what
comes twice says so.

A process delivers to the far end of a channel and is killed by the kernel, again and again, while
the service answers slowly, refuses, asks for patience or loses its reply.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from sqlalchemy import text

from monitor.domain import NoticeStatus
from monitor.notifications import Channel, apprise_address
from monitor.storage import Database, outbox
from monitor.worker import delivery_job
from tests.contract.channel_services import (
    STANDS,
    ChannelFailure,
    ChannelService,
    channel_service,
    notifier_for,
    services,
)
from tests.contract.open_context import open_context, settings
from tests.contract.test_outbox import opened
from tests.e2e.worker_process import rows
from tests.example_data import notice

NAME = "pager"
RULES = ("ttft", "down", "fallback")
STORY = (NoticeStatus.FIRING, NoticeStatus.STILL_FIRING, NoticeStatus.RESOLVED)
KILLS = 4
PASSING = [trouble for trouble in ChannelFailure if trouble is not ChannelFailure.REFUSAL]
HEAD = re.compile(r"(FIRING|STILL FIRING|RESOLVED) #(\d+) ")

PROCESS = """
import asyncio, json, sys
from pathlib import Path
from monitor.notifications import NOTIFIERS, Channel
from monitor.storage.engine import Database
from monitor.worker import delivery_job
from tests.contract.open_context import settings, open_context

async def main():
    url, home, kind, options = sys.argv[1:]
    options = NOTIFIERS[kind](**json.loads(options))
    channel = Channel(name="pager", notifier=options.notifier("pager"))
    async with open_context(settings(Path(home)), Database(url), None, channel) as context:
        print("begun", flush=True)
        while True:
            await delivery_job.deliver(context, channel)
            await asyncio.sleep(0.02)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(apprise_address, "SPACING_S", 0.0)


@pytest.fixture
def stand(name: str) -> Iterator[ChannelService]:
    with channel_service(name) as found:
        yield found


async def fill(database: Database) -> None:
    """Three incidents, each with its opening, a reminder and its end, all of them due."""
    numbers = [await opened(database, rule) for rule in RULES]
    for status in STORY:
        for number, rule in zip(numbers, RULES, strict=True):
            item = notice(id=uuid4(), status=status, rule=rule, number=number)
            async with database.begin() as connection:
                channels = {NAME: True}
                assert await outbox.add(connection, item, channels=channels, incident=number)


async def all_due(database: Database) -> None:
    """As if every lease, wait and pause were over."""
    async with database.begin() as connection:
        await connection.execute(text("UPDATE outbox SET due_at = now() WHERE settled_at IS NULL"))
        await connection.execute(text("UPDATE channels SET paused_until = NULL"))


def killed(url: str, home: Path, kind: str, options: Mapping[str, str], after_s: float) -> None:
    """Deliver in a process of its own and kill it."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, url, str(home), kind, json.dumps(options)],
        stdout=subprocess.PIPE, text=True, cwd=Path.cwd(),
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(after_s)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


async def until_sent(database: Database, home: Path, channel: Channel, url: str) -> None:
    async with (
        open_context(settings(home), database, None, channel) as context,
        asyncio.timeout(120),
    ):
        while rows(url, "SELECT 1 FROM outbox WHERE settled_at IS NULL"):
            await all_due(database)
            await delivery_job.deliver(context, channel)


@pytest.mark.parametrize("name", services())
async def test_nothing_is_lost_and_nothing_overtakes_through_kills_and_outages(
    name: str, stand: ChannelService, database: Database, database_url: str, tmp_path: Path
) -> None:
    await fill(database)
    chance, lost_replies = Random(name), 0
    for _ in range(KILLS):
        troubles = [*chance.choices(PASSING, k=2), ChannelFailure.SLOW]
        lost_replies += troubles.count(ChannelFailure.LOST_REPLY)
        for trouble in troubles:
            stand.meet(trouble)
        after_s = chance.uniform(0.02, 0.4)
        await asyncio.to_thread(
            killed, database_url, tmp_path, STANDS[name], stand.options, after_s
        )
        await all_due(database)
    await until_sent(
        database, tmp_path, Channel(name=NAME, notifier=notifier_for(name, stand)), database_url
    )

    results = "SELECT result, count(*) FROM outbox GROUP BY result"
    assert rows(database_url, results) == [("sent", len(RULES) * len(STORY))]
    seen: dict[str, list[str]] = defaultdict(list)
    copies = 0
    for arrived in stand.arrivals():
        found = HEAD.search(arrived)
        assert found is not None, arrived
        if found[1] in seen[found[2]]:
            copies += 1
            assert "You may see this message twice" in arrived or found[1] != seen[found[2]][-1]
        seen[found[2]].append(found[1])
    for number, statuses in seen.items():
        assert list(dict.fromkeys(statuses)) == list(STORY), number
    assert len(seen) == len(RULES)
    assert copies <= KILLS + lost_replies
