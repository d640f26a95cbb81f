"""The way of probes to the database: rounds share one read before and one transaction after."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import event, text

from monitor.domain import Query
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.tracker import TrackerState
from monitor.storage import Database, baseline_answers, fingerprints
from monitor.worker import admission, probe_round
from monitor.worker.context import WorkerContext
from tests.contract.open_context import open_context
from tests.contract.test_token_accounting import LLAMA, OURS, settings, stream
from tests.contract.test_workers import nothing
from tests.scripted_server import LAST, head, scripted_server
from tests.toy_tokenizers import prose

QUERIES = tuple(Query(id=f"q{n}", text=f"Question {n}?") for n in range(4))


async def summed(context: WorkerContext) -> None:
    """As after the start: today's cost of probes is known."""
    async with context.database.begin() as connection:
        assert await context.spent_today(connection) is not None


def counted(database: Database) -> Counter[str]:
    """Transactions and statements from now on."""
    found: Counter[str] = Counter()
    engine = database.engine.sync_engine
    event.listen(engine, "commit", lambda *_: found.update(["transactions"]))
    event.listen(engine, "before_cursor_execute", lambda *_: found.update(["statements"]))
    return found


async def baseline(database: Database) -> None:
    async with database.begin() as connection:
        epoch = await fingerprints.begin(connection, "rag", LLAMA, verified_by="operator")
        for query in QUERIES:
            texts = [prose(n) for n in range(10)]
            own = [AnswerText(query.id, each, OURS(each)) for each in texts]
            await baseline_answers.add(
                connection, epoch, query, own, model=LLAMA, verified_by="operator"
            )


async def test_a_round_takes_one_claim_and_a_read_and_a_write_for_each_probe(
    database: Database, tmp_path: Path
) -> None:
    await baseline(database)
    async with scripted_server(head(), stream(100, OURS), LAST) as server:
        configured = settings(tmp_path, server.url)
        target = replace(configured.targets["rag"], queries=QUERIES)
        async with open_context(configured, database) as context:
            await summed(context)
            found = counted(database)
            slot = datetime.now(UTC)
            assert len(await probe_round.run_round(context, target, slot, between=nothing)) == 4
            assert not len(context.state.spool)
    assert found["transactions"] == 1 + 4 * 2, "the end of the round is written with its last probe"
    assert found["statements"] <= 90, found
    async with database.begin() as connection:
        state = await connection.scalar(text("SELECT state FROM identity_states"))
        fits = await connection.scalar(text("SELECT count(*) FROM observations"))
        unfinished = await connection.scalar(
            text("SELECT count(*) - count(finished_at) FROM slots")
        )
    assert TrackerState.from_json(state).judged + fits > 4, "followed and stored"
    assert unfinished == 0


async def test_rounds_of_many_targets_share_their_transactions(
    database: Database, tmp_path: Path
) -> None:
    async with scripted_server(head(), stream(100, OURS), LAST) as server:
        configured = settings(tmp_path, server.url)
        one = replace(configured.targets["rag"], queries=QUERIES[:1])
        targets = {f"t{n}": replace(one, name=f"t{n}") for n in range(20)}
        async with open_context(replace(configured, targets=targets), database) as context:
            context.state.batch_s = 60  # a round waits for 1/120 of its interval at most
            await summed(context)
            found, slot = counted(database), datetime.now(UTC)
            admitted = await admission.admit(context, [(each, slot) for each in targets.values()])
            assert found["transactions"] == 2, "one claims all, one reads what is known of all"
            await asyncio.gather(
                *(probe_round.probe_admitted(context, each, between=nothing) for each in admitted)
            )
    assert found["transactions"] <= 4
    assert found["statements"] <= 40, found
    async with database.begin() as connection:
        probed = text("SELECT count(finished_at) FROM observations JOIN slots USING (target, slot)")
        assert await connection.scalar(probed) == 20
