"""The monitor under load, by the path that every probe takes.

The whole worker is imported first, so that what is resident here is what is resident there.
"""

from uuid import UUID

from benchmarks.truth.load import Job, Ran, Sample, job_given, load, tell
from monitor import __version__
from monitor.cli.run import run_async
from monitor.dialects import dialect_of, read
from monitor.domain import Query, StampSource, Target
from monitor.probing.client import ProbeClient, exchange
from monitor.probing.garbage_collection import gc_paused
from monitor.probing.timing import timing


async def probed(job: Job) -> Ran:
    """The job done by `exchange`, read by the dialect and timed by `timing`."""
    query = Query(id="hi", text="Hi")
    target = Target(name="truth", url=job.url, dialect="openai_chat", model="truth",
                    queries=(query,), ca_file=job.ca_file)  # fmt: skip
    dialect = dialect_of(target)
    async with ProbeClient(__version__) as wire:

        async def ask(id: str) -> Sample:
            transcript = await exchange(
                dialect.build_request(query, target), dialect=dialect, target=target, query=query,
                probe=UUID(id), http=wire,
            )  # fmt: skip
            times = timing(transcript, read(dialect, transcript))
            return Sample(
                id=id,
                ttft_ms=times.ttft_ms,
                start_ns=transcript.sent_ns,
                degraded=times.stamp is StampSource.DEGRADED,
            )

        with gc_paused():
            return await load(job, ask)


async def main() -> None:
    tell(await probed(job_given()))


if __name__ == "__main__":
    run_async(main())
