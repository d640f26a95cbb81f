"""Token accounting through a real wire and database: probes, restarts, and deriving again."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.cli.check import check
from monitor.config import Settings, load
from monitor.domain import ClaimKind, Identity, Observation
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.token_counts.counts import Counter
from monitor.storage import Connection, Database, baseline_answers, fingerprints, rederive
from monitor.worker import admission, probe_round
from monitor.worker.rederivation import derive
from tests.contract.open_context import open_context
from tests.example_data import HAIKU, LLAMA
from tests.scripted_server import LAST, chunk, head, scripted_server
from tests.toy_tokenizers import breaking, prose

OURS, THEIRS = breaking(5), breaking(4)
CONFIGURATION = """
[targets.rag]
url = "{url}"
dialect = "openai_chat"
expected_models = ["meta-llama/llama-4-scout"]
fallback_models = ["anthropic/claude-haiku-4-5"]
[[targets.rag.queries]]
id = "hi"
text = "Hi"
[[targets.rag.queries]]
id = "cut"
text = "Hi again"
stop_after_chars = 200
{more}
"""


def settings(home: Path, url: str, more: str = "") -> Settings:
    path = home / "monitor.toml"
    path.write_text(CONFIGURATION.format(url=url, more=more))
    return load({"MONITOR_CONFIG": str(path)})


def stream(seed: int, counter: Counter) -> bytes:
    """A completion that discloses nothing but what it took."""
    reported = prose(seed)
    events = [{"choices": [{"delta": {"content": reported}}]}]
    usage = {"prompt_tokens": 700, "completion_tokens": counter(reported)}
    lines = [*map(json.dumps, [*events, {"choices": [], "usage": usage}]), "[DONE]"]
    return chunk("".join(f"data: {line}\n\n" for line in lines).encode())


async def probed(
    home: Path, database: Database, seed: int, counter: Counter, *, query: int = 0,
    counters: dict[str, Counter] | None = None,
) -> Observation:  # fmt: skip
    """One probe by a worker that was just started, stored."""
    async with scripted_server(head(), stream(seed, counter), LAST) as server:
        configured = settings(home, server.url)
        async with open_context(configured, database) as opened:
            context = replace(opened, counters=counters or {})
            target = context.settings.targets["rag"]
            _, known = await admission.before_probe(context, target)
            made = await probe_round.probe(
                context, target, target.queries[query], slot=context.now(), known=known
            )
            await probe_round.keep_probe(context, made)
    return made.observation


async def baseline(home: Path, database: Database, answers: int = 30) -> None:
    target = settings(home, "http://127.0.0.1:1").targets["rag"]
    async with database.begin() as connection:
        epoch = await fingerprints.begin(connection, "rag", LLAMA, verified_by="operator")
        texts = [prose(n) for n in range(answers)]
        own = [AnswerText("hi", reported, OURS(reported)) for reported in texts]
        await baseline_answers.add(
            connection, epoch, target.queries[0], own, model=LLAMA, verified_by="operator"
        )


def weight(seen: Observation) -> list[float]:
    return [e.nats for e in seen.evidence if e.kind is ClaimKind.ACCOUNTING]


async def test_a_silent_fallback_is_reported_by_its_counts_across_restarts(
    tmp_path: Path, database: Database
) -> None:
    await baseline(tmp_path, database)
    good = [await probed(tmp_path, database, 100 + n, OURS) for n in range(3)]
    fell = [await probed(tmp_path, database, 200 + n, THEIRS) for n in range(6)]
    assert weight(good[1]) == [0.0]
    assert good[2].identity is Identity.EXPECTED
    assert (fell[-1].identity, fell[-1].model_detected) == (Identity.FALLBACK, HAIKU)
    assert weight(fell[-1]) == [7.0]
    assert "confirmed answers of meta-llama/llama-4-scout" in fell[-1].identity_reason
    back = await probed(tmp_path, database, 300, OURS)
    assert back.identity is not Identity.FALLBACK


async def test_deriving_again_says_what_was_said_and_what_was_learnt_since(
    tmp_path: Path, database: Database
) -> None:
    seen = [await probed(tmp_path, database, 200 + n, THEIRS) for n in range(4)]
    assert {one.identity for one in seen} == {Identity.UNKNOWN}
    assert "0 of 25 confirmed answers" in seen[-1].evidence[0].detail
    await baseline(tmp_path, database)  # the operator captures what was missing
    target = settings(tmp_path, "http://127.0.0.1:1").targets["rag"]
    async with open_context(settings(tmp_path, "http://127.0.0.1:1"), database) as context:
        for expected in (2, 0):
            async with database.begin() as connection:
                stored = await rederive.following(
                    connection, "rag", since=seen[0].slot, after=None, most=10
                )
                changed = await derive(connection, stored, target, context.book)
            assert sum(one.after.who.identity is Identity.FALLBACK for one in changed) == expected


async def test_a_tokenizer_must_have_fitted_before_it_may_cease_to_fit(
    tmp_path: Path, database: Database
) -> None:
    counters = {"Llama-4-Scout": OURS}
    edited = [
        await probed(tmp_path, database, 200 + n, THEIRS, counters=counters) for n in range(3)
    ]
    assert edited[-1].identity is Identity.UNKNOWN
    for n in range(3):
        fit = await probed(tmp_path, database, 100 + n, OURS, counters=counters)
    assert fit.identity is Identity.EXPECTED
    async with database.begin() as connection:
        rows = await connection.execute(
            text("SELECT target, model, query FROM identity_tokenizers")
        )
        assert [tuple(row) for row in rows] == [("rag", LLAMA, "hi")]
    for n in range(3):
        fell = await probed(tmp_path, database, 210 + n, THEIRS, counters=counters)
    assert fell.identity is Identity.FALLBACK
    assert "tokenizer of meta-llama/llama-4-scout" in fell.identity_reason


async def test_a_stream_we_left_has_no_count(tmp_path: Path, database: Database) -> None:
    cut = await probed(tmp_path, database, 1, OURS, query=1)
    assert weight(cut) == []
    assert not [c for c in cut.claims if c.kind is ClaimKind.ACCOUNTING]


async def test_confirmed_answers_keep_their_counts(tmp_path: Path, database: Database) -> None:
    await baseline(tmp_path, database, 2)
    async with database.begin() as connection:
        rows = await connection.execute(text("SELECT text, tokens FROM identity_answers"))
        assert [OURS(reported) == tokens for reported, tokens in rows] == [True, True]


async def newest(connection: Connection) -> tuple[int, int]:
    """What changes whenever other answers are confirmed."""
    state = await fingerprints.state(connection, "rag")
    assert state is not None
    captured = await baseline_answers.captured(connection, [state.epoch])
    return state.epoch.number, captured["rag"].newest


async def test_a_reverted_baseline_confirms_no_counts(tmp_path: Path, database: Database) -> None:
    await baseline(tmp_path, database, 3)
    await baseline(tmp_path, database, 5)
    queries = settings(tmp_path, "http://127.0.0.1:1").targets["rag"].queries
    async with database.begin() as connection:
        accepted = await newest(connection)
        assert len((await baseline_answers.confirmed(connection, "rag", queries))[LLAMA]) == 5
        first = (await fingerprints.epochs(connection, "rag"))[-1]
        await fingerprints.put_in_force(connection, first)
        assert len((await baseline_answers.confirmed(connection, "rag", queries))[LLAMA]) == 3
        assert await newest(connection) != accepted, "what is cached is old"


def test_check_reads_each_tokenizer(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    good = tmp_path / "tokenizer.model"
    pieces = (base64.b64encode(bytes([n])).decode() for n in range(256))
    good.write_text("\n".join(f"{piece} {n}" for n, piece in enumerate(pieces)))
    more = f"""
[tokenizers."llama-4-scout"]
file = "{good}"
[tokenizers."anthropic/claude-haiku-4-5"]
file = "{tmp_path}/none.model"
[tokenizers."gpt-4o"]
file = "{good}"
"""
    settings(tmp_path, "http://127.0.0.1:1", more)
    monkeypatch.setenv("MONITOR_CONFIG", str(tmp_path / "monitor.toml"))
    monkeypatch.setenv("DATABASE_URL", database_url)
    with pytest.raises(SystemExit):
        check()
    printed = capsys.readouterr().out
    assert f"tokenizer of llama-4-scout: {good}" in printed
    assert "none.model: No such file or directory" in printed
    assert "tokenizer of gpt-4o: no target declares this model: correct its name" in printed
