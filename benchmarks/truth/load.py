"""The load every client gets: a closed loop of requests, and what it cost the client.

Standard library only: it also runs in the other clients' environment, without the monitor.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from uuid import uuid4

LAG_S = 0.01  # a sleep this long, again and again: what it oversleeps is the loop's lag


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one run is to do: `requests` in all, `streams` of them at a time."""

    client: str
    url: str
    streams: int
    requests: int
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a client says of one request. `ttft_ms` None: it failed.

    `start_ns` is when its clock began, by CLOCK_MONOTONIC; None where it does not tell.
    """

    id: str
    ttft_ms: float | None = None
    start_ns: int | None = None
    degraded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a run left behind: its samples, and what they cost the client's process."""

    samples: tuple[Sample, ...]
    wall_s: float
    cpu_s: float
    rss_mib: float  # the most that was resident
    lag_ms: tuple[float, ...] = ()  # of the event loop, sorted


Ask = Callable[[str], Awaitable[Sample]]


async def load(job: Job, ask: Ask) -> Ran:
    """Ask until the job is done, `streams` at a time from the first moment on.

    `ask` takes the request's id and must not raise.
    """
    samples: list[Sample] = []
    turns = iter(range(job.requests))

    async def lane() -> None:
        for _ in turns:
            samples.append(await ask(str(uuid4())))  # noqa: PERF401  other lanes append too

    lags: list[float] = []
    felt = asyncio.create_task(_feel(lags))
    wall, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*(lane() for _ in range(job.streams)))
    wall_s, cpu_s = time.monotonic() - wall, time.process_time() - cpu
    felt.cancel()
    return Ran(
        samples=tuple(samples),
        wall_s=wall_s,
        cpu_s=cpu_s,
        rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        lag_ms=tuple(sorted(lags)),
    )


async def _feel(lags: list[float]) -> None:
    while True:
        due = time.monotonic() + LAG_S
        await asyncio.sleep(LAG_S)
        lags.append((time.monotonic() - due) * 1e3)


def job_given() -> Job:
    """The job on the command line."""
    return Job(**json.loads(sys.argv[1]))


def tell(ran: Ran) -> None:
    """Write what a run left behind to standard output, for `told` to read."""
    json.dump(asdict(ran), sys.stdout)


def told(text: str) -> Ran:
    """What `tell` wrote."""
    reported = json.loads(text)
    samples = tuple(Sample(**sample) for sample in reported.pop("samples"))
    return Ran(samples=samples, **reported | {"lag_ms": tuple(reported["lag_ms"])})
