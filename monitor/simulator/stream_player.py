"""One answer played onto a connection: silences waited out, blocks cut into segments."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from monitor.simulator.answer_plan import (
    AnswerRequest,
    BlockKind,
    StreamStep,
    WaitKind,
    block,
    script,
)
from monitor.simulator.http_messages import LAST_CHUNK, http_chunk
from monitor.simulator.situations import AnswerCourse

_JOINED, _SPLIT = 0.2, 0.1  # shares of text blocks that share a segment, or take two
_SPLIT_S = 0.001


@dataclass(frozen=True, slots=True)
class PlaybackPace:
    """Factors on the waits for models and on the gaps between chunks; 0 is at once.

    A model that hangs does so in real time.
    """

    calls: float = 1.0
    chunks: float = 1.0

    def of(self, step: StreamStep) -> float:
        """Seconds to wait before a beat."""
        factors = {WaitKind.CALL: self.calls, WaitKind.CHUNK: self.chunks, WaitKind.HANG: 1.0}
        return step.after_s * factors[step.wait]


REAL_TIME = PlaybackPace()


async def play_stream(
    writer: asyncio.StreamWriter,
    course: AnswerCourse,
    *,
    requested: AnswerRequest,
    pace: PlaybackPace,
    clock: Callable[[], float],
) -> int:
    """Write the body of one answer; the number of characters of answer text written.

    The body is ended properly unless the process is to die. Beats keep to times planned
    from the start, so that small delays do not add up.
    """
    loop = asyncio.get_running_loop()
    began_s, due, number, characters, held = clock(), loop.time(), 0, 0, b""
    for step in script(course, requested):
        due += pace.of(step)
        await asyncio.sleep(max(0.0, due - loop.time()))
        if step.says is BlockKind.DEATH:
            writer.write(held)
            break
        if step.says is BlockKind.TEXT:
            number, characters = number + 1, characters + len(step.text)
        framed = held + http_chunk(block(step, number, now_s=clock(), began_s=began_s))
        held = b""
        fate = requested.draw.random() if step.says is BlockKind.TEXT and number > 1 else 1.0
        if fate < _JOINED:
            held = framed
            continue
        if fate < _JOINED + _SPLIT:
            cut = requested.draw.randrange(1, len(framed))
            writer.write(framed[:cut])
            await asyncio.sleep(_SPLIT_S * pace.chunks)
            framed = framed[cut:]
        writer.write(framed)
        await writer.drain()
    else:
        writer.write(LAST_CHUNK)
    await writer.drain()
    return characters
