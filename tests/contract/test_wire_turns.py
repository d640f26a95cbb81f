"""However fast one stream comes, others get their turn."""

import asyncio
from dataclasses import replace
from uuid import uuid4

from monitor.dialects import dialect_of
from monitor.domain import Ending, Event, Heard, Query
from monitor.wire import Wire, exchange
from monitor.wire.caps import SLICE_BYTES
from tests.scripted import LAST, chunk, head, scripted
from tests.wired import DONE, says, watched

TINY = b"data: {}\n\n"
BLOCKS, BLOCK = 20, 1_000


async def test_a_stream_at_line_speed_leaves_a_turn_after_every_slice() -> None:
    script = [chunk(TINY * BLOCK)] * BLOCKS
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    query = Query(id="hi", text="Hi")
    async with (
        Wire("0") as wire,
        scripted(head(), *script, chunk(says(DONE)), LAST) as server,
    ):
        target = watched(server.url)
        dialect = dialect_of(target)
        worked: list[int] = []  # turns of the loop at each event

        def hear(event: Event) -> Heard:
            worked.append(turns)
            return dialect.hear(event)

        counting = asyncio.create_task(count())
        try:
            transcript = await exchange(
                dialect.ask(query, target), dialect=replace(dialect, hear=hear, stateful=None),
                target=target,
                query=query, probe=uuid4(), http=wire, raw=False,
            )  # fmt: skip
        finally:
            counting.cancel()
    assert transcript.ending is Ending.END
    assert len(worked) == BLOCKS * BLOCK + 1
    most = max(worked.count(turn) for turn in set(worked))
    assert most <= SLICE_BYTES // len(TINY) + 1
