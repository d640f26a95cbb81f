"""Every fault in one process with all that a worker loads: how much memory it took.

Run as `python -m tests.fault_memory`; prints the greatest resident size in MiB.
"""

import asyncio
import resource
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import monitor.cli.run  # noqa: F401  all that a worker loads
from monitor import identity
from monitor.dialects import dialect_of
from monitor.domain import Ending, Query
from monitor.pricing.book import price_book
from monitor.probing.client import ProbeClient, exchange
from monitor.probing.garbage_collection import gc_paused
from monitor.probing.observe import ProbeOccasion
from monitor.worker import probe_round
from tests.contract.test_wire_faults import FAULTS, Fault
from tests.scripted_server import LAST, chunk, head, scripted_server
from tests.single_probe import DONE, probe_once, sse, target_at


async def meet(wire: ProbeClient, fault: Fault) -> None:
    async with scripted_server(*fault.script) as server:
        transcript = await probe_once(wire, target_at(server.url, **fault.target))
        assert transcript.ending is fault.ending, fault.name


WIDE = "🙂" + "word " * 47_000  # one wide character makes all of them wide
AT_ONCE = 8


async def asked(wire: ProbeClient, url: str, dialect: str, large: asyncio.Lock) -> None:
    """One probe, from its request to its observation."""
    query = Query(id="hi", text="Hi")
    target = replace(target_at(url, dialect), queries=(query,), expected_models=("llama-4-scout",))
    spoken = dialect_of(target)
    with ExitStack() as held:
        transcript = await exchange(
            spoken.build_request(query, target), dialect=spoken, target=target, query=query,
            probe=uuid4(), http=wire, raw=False, held=held,
        )  # fmt: skip
        assert transcript.ending in (Ending.END, Ending.TOO_LARGE), transcript.detail
        occasion = ProbeOccasion(
            target=target, query=query, origin="round", slot=transcript.started_at, region="",
            worker="", config_hash="", secrets=("sk-live-0123456789",),
        )  # fmt: skip
        await probe_round.interpreted(
            transcript, occasion, dialect=spoken, book=price_book({}, same=identity.same),
            known=identity.IdentityContext(), large=large,
        )  # fmt: skip


async def oversized(wire: ProbeClient) -> None:
    """Several streams of the largest texts at once."""
    wide = chunk(sse({"text": WIDE}))
    letters = chunk(sse({"text": "a"}) * 1_000)
    large = asyncio.Lock()
    for script in ([wide] * 17, [letters] * 49):
        async with scripted_server(head(), *script, chunk(sse(DONE)), LAST) as server:
            probes = (asked(wire, server.url, "bali_zero", large) for _ in range(AT_ONCE))
            await asyncio.gather(*probes)


async def main() -> None:
    async with ProbeClient("hostile") as wire:
        with gc_paused():
            await oversized(wire)
        for fault in FAULTS:
            await meet(wire, fault)
        targets = [fault for fault in FAULTS if not fault.target]  # the loop is busy: no deadlines
        await asyncio.gather(*(meet(wire, fault) for fault in targets))
    print(peak_mib())


def peak_mib() -> float:
    """The greatest resident size; on Linux without what was inherited from the parent."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


if __name__ == "__main__":
    asyncio.run(main())
