"""One probe by hand: sent now, interpreted on its own, and not stored."""

from collections.abc import Sequence

from monitor.config import Settings
from monitor.dialects import dialect_of
from monitor.domain import Observation, Query, Target, Transcript
from monitor.pricing.book import PriceBook
from monitor.probing.client import ProbeClient, exchange
from monitor.probing.observe import ProbeOccasion
from monitor.probing.probe_ids import new_probe_id
from monitor.worker import probe_round


async def manual_probe(
    client: ProbeClient,
    settings: Settings,
    book: PriceBook,
    target: Target,
    query: Query,
    *,
    secrets: Sequence[str],
    raw: bool = False,
) -> tuple[Transcript, Observation]:
    """The transcript and the observation of one query. `raw`: the transcript keeps its events."""
    dialect = dialect_of(target)
    transcript = await exchange(
        dialect.build_request(query, target),
        dialect=dialect,
        target=target,
        query=query,
        probe=new_probe_id(),
        http=client,
        raw=raw,
    )
    occasion = ProbeOccasion(
        target=target,
        query=query,
        origin="manual",
        slot=transcript.started_at,
        region=settings.environment.fly_region,
        worker="by hand",
        config_hash=settings.config_hash,
        excerpt_chars=settings.file.storage.excerpt_chars,
        secrets=secrets,
    )
    made = await probe_round.interpreted(
        transcript, occasion, dialect=dialect, book=book, known=None
    )
    return transcript, made.observation
