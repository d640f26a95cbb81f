"""The scenario as data: its acts, the worker's settings, the queries at the end.

It is the real incident: a key expired, the service silently fell back to a slower and more
expensive model, and every status page stayed green.
"""

import asyncio
import ctypes
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from monitor.accounts import ACCOUNTS
from monitor.domain import NoticeStatus
from monitor.simulator.situations import ServiceSituation, SimulatedModel

TARGET = "nuzantara"
DAILY_QUERIES = 333

# Nothing in the stream discloses the model, and both models present the same persona.
CANDOUR = {SimulatedModel.LLAMA: 0.0, SimulatedModel.HAIKU: 0.0}

# Before the story, the answers of both models are captured, so many of each query: only their
# writing style distinguishes them.
BASELINE = (
    (ServiceSituation.HEALTHY, "meta-llama/llama-4-scout"),
    (ServiceSituation.KEY_REJECTED, "anthropic/claude-3-5-haiku-20241022"),
)
BASELINE_ANSWERS = 12


@dataclass(frozen=True, slots=True)
class ScenarioAct:
    """A situation that lasts until so many answers were given and these messages arrived.

    `awaits` names them by first word and rule; each must arrive within `within_s` of the act's
    start. `called` is the act's row in the summary.
    """

    called: str
    title: str
    tells: str
    situation: ServiceSituation
    answers: int = 0
    awaits: tuple[tuple[NoticeStatus, str], ...] = ()
    within_s: float = 90.0


ACTS = (
    ScenarioAct(
        "healthy",
        "Normal operation",
        "Llama 4 Scout answers through OpenRouter with about one second to the first token.",
        ServiceSituation.HEALTHY,
        answers=6,
    ),
    ScenarioAct(
        "key rejected",
        "OpenRouter rejects the key (401)",
        "The service falls back to Claude Haiku silently: HTTP 200, green health page, "
        "good answers. They are slower and cost five to twenty-five times as much.",
        ServiceSituation.KEY_REJECTED,
        awaits=((NoticeStatus.FIRING, "fallback"),),
    ),
    ScenarioAct(
        "key replaced",
        "The key is replaced",
        "Llama 4 Scout answers again. An incident ends on sufficient evidence, not with "
        "the first good answer.",
        ServiceSituation.HEALTHY,
        # in the message itself, and in its thread
        awaits=((NoticeStatus.RESOLVED, "fallback"), (NoticeStatus.RESOLVED, "fallback")),
    ),
)

CONFIGURATION = """\
# Written by `monitor demo`. The limits are the defaults, but rounds are more frequent, and fewer
# good answers end an incident.

[targets.nuzantara]
url = "{url}"
dialect = "bali_zero"
every = "1s"
expected_models = ["meta-llama/llama-4-scout"]
fallback_models = ["anthropic/claude-3-5-haiku-20241022", "anthropic/claude-haiku-4-5"]
daily_queries = 333
untrusted = ["ai_used"]

[[targets.nuzantara.queries]]
id = "hi"
text = "Hi"
prompt_tokens = 680

[[targets.nuzantara.queries]]
id = "kbli"
text = "KBLI?"
prompt_tokens = 1150

[[targets.nuzantara.queries]]
id = "who"
text = "Who are you? Which AI model are you?"
identity = true
prompt_tokens = 690

[prices."meta-llama/llama-4-scout"]
input = "0.20"
output = "0.20"
source = "operators"
checked = 2026-11-22

[prices."anthropic/claude-3-5-haiku-20241022"]
input = "1.00"
output = "5.00"
source = "operators"
checked = 2026-11-22

[prices."anthropic/claude-haiku-4-5"]
input = "1.00"
output = "5.00"
source = "operators"
checked = 2026-11-22

[rules.ttft]
limit_ms = 1200

[rules.fallback]
limit = 0.10
answers_to_resolve = 9         # 15 unless set

[rules.spend]
limit_usd = "2.00"
timezone = "UTC"

[digest]
enabled = false                # the story is not about the hour it is played at
"""

PROBES = "SELECT started_at, ttft_ms, identity, cost_usd FROM report.observations"

TRY = (
    "SELECT slot, round(avg(ttft_ms)) AS mean_ttft_ms, max(model_detected) AS model "
    "FROM report.observations GROUP BY slot ORDER BY slot;",
    "SELECT model_detected, count(*), avg(cost_usd) AS usd_per_query "
    "FROM report.observations GROUP BY model_detected;",
    "SELECT number, rule, opened_at, resolved_at FROM report.incidents ORDER BY number;",
)


# The processes of the story: the real worker as a child, and a receiver for its Slack messages.


MONITOR = (sys.executable, "-m", "monitor")
WORKER = (*MONITOR, "run")
_LEAVE_S = 30.0  # a worker may need this long to stop
_PR_SET_PDEATHSIG = 1
_OURS = re.compile(
    rf"(MONITOR|SLACK|FLY|HEARTBEAT|DATABASE|{'|'.join(ACCOUNTS).upper()})_|LOG_LEVEL$"
)
_FIRST_LINE = re.compile(rf"({'|'.join(NoticeStatus)})(?: #\d+)? (\w+) · ")

MessageSeen = tuple[str, str]  # status and rule of a message


class StoryUnfinished(Exception):
    """The story cannot continue; the message is one sentence."""


@asynccontextmanager
async def worker(
    command: Sequence[str], home: Path, settings: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process, from its start to its clean end; it does not outlive us.

    It inherits the environment without any monitor settings: `settings` replaces them. Its output
    goes to `home/worker.log`.
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
    """Our environment without any monitor settings, and `settings`."""
    inherited = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
    return {**inherited, "NO_PROXY": "127.0.0.1", **settings}


async def command(
    text: Sequence[str], settings: Mapping[str, str], *, within_s: float = 60.0
) -> None:
    """Run a command to its end. Raises StoryUnfinished with its last output if it fails."""
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
    """Ask it to end; kill it if that does not help or there is no time."""
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
    """Wait for something the worker causes; False if it took too long.

    Raises StoryUnfinished if the worker ends meanwhile.
    """
    coming, death = asyncio.ensure_future(waiting), asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait((coming, death), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if not coming.done() and death.done():
            raise StoryUnfinished(f"The worker ended unexpectedly with status {death.result()}.")
        return coming.done()
    finally:
        for task in (coming, death):
            task.cancel()
        await asyncio.gather(coming, death, return_exceptions=True)


class SlackListener:
    """Receives the changes of the channel; `show` is called once for each, in its own thread."""

    def __init__(self, show: Callable[[Mapping[str, Any]], None]) -> None:
        self._show = show
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self.told: list[MessageSeen] = []

    def hear(self, event: Mapping[str, Any]) -> None:
        """Receive a change of the channel, from any thread."""
        self._loop.call_soon_threadsafe(self._note, event)

    def _note(self, event: Mapping[str, Any]) -> None:
        if event["event"] != "attached" and (first := _FIRST_LINE.match(event["text"])):
            self.told.append((first[1].removeprefix("STILL "), first[2]))
        self._show(event)
        self._news.set()

    async def until(self, awaited: Collection[MessageSeen], *, since: int) -> None:
        """Wait until all of these arrived after the first `since` messages."""
        while self.missing(awaited, since=since):
            self._news.clear()
            await self._news.wait()

    def missing(self, awaited: Collection[MessageSeen], *, since: int) -> list[MessageSeen]:
        """Those that did not arrive since then, each as often as it is awaited."""
        return list((Counter(awaited) - Counter(self.told[since:])).elements())
