"""What the story is played on: the real worker as a child, and ears for what it tells Slack."""

import asyncio
import ctypes
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from monitor.domain import NoticeStatus

MONITOR = (sys.executable, "-m", "monitor")
WORKER = (*MONITOR, "run")
_LEAVE_S = 30.0  # a worker may drain this long
_PR_SET_PDEATHSIG = 1
_OURS = re.compile(
    r"(MONITOR|SLACK|OPENROUTER|ANTHROPIC|OPENAI|FLY|HEARTBEAT|DATABASE)_|LOG_LEVEL$"
)
_FIRST_LINE = re.compile(rf"({'|'.join(NoticeStatus)})(?: #\d+)? (\w+) · ")

MessageSeen = tuple[str, str]  # status and rule of a message


class StoryUnfinished(Exception):
    """The story cannot go on, in one sentence."""


@asynccontextmanager
async def worker(
    command: Sequence[str], home: Path, settings: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker of our own, from its start to its clean end; it does not outlive us.

    It inherits the environment except what configures a monitor: that is `settings` alone.
    Its output goes to `home/worker.log`.
    """
    tie = None
    if sys.platform == "linux":  # the kernel asks it to end when we are killed
        prctl = ctypes.CDLL(None).prctl
        tie = partial(prctl, _PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    with (home / "worker.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment(settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=tie,
        )
    try:
        yield process
    finally:
        await _end(process)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours, without anything that configures a monitor, and `settings`."""
    inherited = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
    return {**inherited, "NO_PROXY": "127.0.0.1", **settings}


async def command(
    text: Sequence[str], settings: Mapping[str, str], *, within_s: float = 60.0
) -> None:
    """Run a command to its end. Raises Unfinished with its last words where it fails."""
    process = await asyncio.create_subprocess_exec(
        *text,
        env=environment(settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(within_s):
            reported, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise StoryUnfinished(reported.decode(errors="replace").strip()[-500:])


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask it to end; where asking does not help, or we are hurried, make it."""
    try:
        process.terminate()
        await asyncio.wait_for(process.wait(), _LEAVE_S)
    except ProcessLookupError:
        pass  # it has ended by itself
    except (TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()


async def alive(
    process: asyncio.subprocess.Process, waiting: Coroutine[Any, Any, None], within_s: float
) -> bool:
    """Wait for something the worker brings about; False where it took too long.

    Raises Unfinished if the worker ends meanwhile.
    """
    coming, death = asyncio.ensure_future(waiting), asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait((coming, death), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if not coming.done() and death.done():
            raise StoryUnfinished(f"The worker ended by itself, with status {death.result()}.")
        return coming.done()
    finally:
        for task in (coming, death):
            task.cancel()
        await asyncio.gather(coming, death, return_exceptions=True)


class SlackListener:
    """Listens to the channel; `show` is called in our own thread, once for every change."""

    def __init__(self, show: Callable[[Mapping[str, Any]], None]) -> None:
        self._show = show
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self.told: list[MessageSeen] = []

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take a change of the channel, from any thread."""
        self._loop.call_soon_threadsafe(self._note, event)

    def _note(self, event: Mapping[str, Any]) -> None:
        if event["event"] != "attached" and (first := _FIRST_LINE.match(event["text"])):
            self.told.append((first[1].removeprefix("STILL "), first[2]))
        self._show(event)
        self._news.set()

    async def until(self, awaited: Collection[MessageSeen], *, since: int) -> None:
        """Wait until all of these were told after the first `since` messages."""
        while self.missing(awaited, since=since):
            self._news.clear()
            await self._news.wait()

    def missing(self, awaited: Collection[MessageSeen], *, since: int) -> list[MessageSeen]:
        """Those that were not told since, each as often as it is awaited."""
        return list((Counter(awaited) - Counter(self.told[since:])).elements())
