"""One answer played onto a connection: silences waited out, blocks cut into segments."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from monitor.demo.http1 import LAST_CHUNK, chunk
from monitor.demo.script import Asked, Beat, Says, Wait, block, script
from monitor.demo.situations import Course

_JOINED, _SPLIT = 0.2, 0.1  # shares of text blocks that share a segment, or take two
_SPLIT_S = 0.001


@dataclass(frozen=True, slots=True)
class Pace:
    """Factors on the waits for models and on the gaps between chunks; 0 is at once.

    A model that hangs does so in real time.
    """

    calls: float = 1.0
    chunks: float = 1.0

    def of(self, beat: Beat) -> float:
        """Seconds to wait before a beat."""
        factors = {Wait.CALL: self.calls, Wait.CHUNK: self.chunks, Wait.HANG: 1.0}
        return beat.after_s * factors[beat.wait]


REAL_TIME = Pace()


async def perform(
    writer: asyncio.StreamWriter,
    course: Course,
    *,
    asked: Asked,
    pace: Pace,
    clock: Callable[[], float],
) -> int:
    """Write the body of one answer; the number of characters of answer text written.

    The body is ended properly unless the process is to die. Beats keep to times planned
    from the start, so that small delays do not add up.
    """
    loop = asyncio.get_running_loop()
    began_s, due, number, characters, held = clock(), loop.time(), 0, 0, b""
    for beat in script(course, asked):
        due += pace.of(beat)
        await asyncio.sleep(max(0.0, due - loop.time()))
        if beat.says is Says.DEATH:
            writer.write(held)
            break
        if beat.says is Says.TEXT:
            number, characters = number + 1, characters + len(beat.text)
        framed = held + chunk(block(beat, number, now_s=clock(), began_s=began_s))
        held = b""
        fate = asked.draw.random() if beat.says is Says.TEXT and number > 1 else 1.0
        if fate < _JOINED:
            held = framed
            continue
        if fate < _JOINED + _SPLIT:
            cut = asked.draw.randrange(1, len(framed))
            writer.write(framed[:cut])
            await asyncio.sleep(_SPLIT_S * pace.chunks)
            framed = framed[cut:]
        writer.write(framed)
        await writer.drain()
    else:
        writer.write(LAST_CHUNK)
    await writer.drain()
    return characters
