"""Every fault in one process, one after another and then all at once: how much memory it took.

Run as `python -m tests.hostile`; prints the greatest resident size in MiB.
"""

import asyncio
import resource
import sys

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
    unit = 1024 if sys.platform == "linux" else 1024 * 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


if __name__ == "__main__":
    asyncio.run(main())
