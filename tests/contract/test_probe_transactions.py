"""The way of a canned query to the database: one read before it, one transaction after it."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import event, text

from monitor.domain import Query
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.tracker import TrackerState
from monitor.storage import Database, baseline_answers, fingerprints
from monitor.worker import probe_round
from tests.contract.open_context import open_context
from tests.contract.test_probe_budget import nothing
from tests.contract.test_token_accounting import LLAMA, OURS, settings, stream
from tests.scripted_server import LAST, head, scripted_server
from tests.toy_tokenizers import prose

QUERIES = tuple(Query(id=f"q{n}", text=f"Question {n}?") for n in range(4))


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


async def test_a_probe_takes_one_read_before_it_and_one_transaction_after_it(
    database: Database, tmp_path: Path
) -> None:
    await baseline(database)
    async with scripted_server(head(), stream(100, OURS), LAST) as server:
        configured = settings(tmp_path, server.url)
        target = replace(configured.targets["rag"], queries=QUERIES)
        async with open_context(configured, database) as context:
            found = counted(database)
            slot = datetime.now(UTC)
            assert len(await probe_round.run_round(context, target, slot, between=nothing)) == 4
            assert not len(context.state.spool)
    assert found["transactions"] == 1 + 4 * 2 + 1, "the slot, its probes, the slot again"
    assert found["statements"] <= 80, found
    async with database.begin() as connection:
        state = await connection.scalar(text("SELECT state FROM identity_states"))
        fits = await connection.scalar(text("SELECT count(*) FROM observations"))
    assert TrackerState.from_json(state).judged + fits > 4, "followed and stored"
