"""However fast one stream comes, others get their turn."""

import asyncio
from dataclasses import replace
from uuid import uuid4

from monitor.dialects import dialect_of
from monitor.domain import Ending, ParsedEvent, Query, StreamEvent
from monitor.probing.client import ProbeClient, exchange
from monitor.probing.limits import SLICE_BYTES
from tests.scripted_server import LAST, chunk, head, scripted_server
from tests.single_probe import DONE, sse, target_at

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
        ProbeClient("0") as wire,
        scripted_server(head(), *script, chunk(sse(DONE)), LAST) as server,
    ):
        target = target_at(server.url)
        dialect = dialect_of(target)
        worked: list[int] = []  # turns of the loop at each event

        def parse_event(event: StreamEvent) -> ParsedEvent:
            worked.append(turns)
            return dialect.parse_event(event)

        counting = asyncio.create_task(count())
        try:
            transcript = await exchange(
                dialect.build_request(query, target),
                dialect=replace(dialect, parse_event=parse_event, stateful=None),
                target=target,
                query=query,
                probe=uuid4(),
                http=wire,
                raw=False,
            )
        finally:
            counting.cancel()
    assert transcript.ending is Ending.END
    assert len(worked) == BLOCKS * BLOCK + 1
    most = max(worked.count(turn) for turn in set(worked))
    assert most <= SLICE_BYTES // len(TINY) + 1
