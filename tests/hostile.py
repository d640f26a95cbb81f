"""Every fault in one process, one after another and then all at once: how much memory it took.

Run as `python -m tests.hostile`; prints the greatest resident size in MiB.
"""

import asyncio
import resource
from pathlib import Path

from monitor.wire import Wire
from tests.contract.test_wire_faults import FAULTS, Fault
from tests.scripted import scripted
from tests.wired import probed, watched


async def meet(wire: Wire, fault: Fault) -> None:
    async with scripted(*fault.script) as server:
        transcript = await probed(wire, watched(server.url, **fault.target))
        assert transcript.ending is fault.ending, fault.name


async def main() -> None:
    async with Wire("hostile") as wire:
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
