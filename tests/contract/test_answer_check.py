"""What an answer contains: checked when it is interpreted, stored, and judged over rounds."""

import json
from datetime import UTC, datetime
from pathlib import Path

from monitor.config import Settings, load
from monitor.storage import Database
from monitor.worker import evaluation, probe_round
from monitor.worker.probe_round import CHECK_EXCEEDED
from tests.contract.cli import call
from tests.contract.open_context import open_context
from tests.contract.test_init import served, sse
from tests.contract.test_workers import nothing
from tests.e2e.worker_process import rows
from tests.scripted_server import LAST, chunk, head, scripted_server

CONFIGURATION = """
[targets.rag]
url = "{url}"
dialect = "{dialect}"
every = "10m"
[[targets.rag.queries]]
id = "visa"
text = "Which visa?"
expect = {{ {expect} }}
"""
STORED = "SELECT check_passed, check_failed, identity FROM report.observations ORDER BY started_at"


def configured(home: Path, url: str, expect: str, dialect: str = "bali_zero") -> Settings:
    path = home / "monitor.toml"
    path.write_text(CONFIGURATION.format(url=url, expect=expect, dialect=dialect))
    return load({"MONITOR_CONFIG": str(path)})


def stream(text: str, *more: object) -> tuple[bytes, ...]:
    events = [{"text": text, "sequenceNumber": 1}, *more, {"done": True, "sequenceNumber": 1}]
    return (head(), *(chunk(f"data: {json.dumps(each)}\n\n".encode()) for each in events), LAST)


async def test_failed_checks_are_stored_and_fire_after_three_rounds(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    script = stream("The visa is for the people who are in the country.")
    async with scripted_server(*script) as server:
        settings = configured(
            tmp_path, server.url, 'contains = ["visa"], sources_at_least = 1, language = "english"'
        )
        async with open_context(settings, database) as context:
            news = []
            for _ in range(3):
                await probe_round.run_round(
                    context, settings.targets["rag"], datetime.now(UTC), between=nothing
                )
                news.append(await evaluation.evaluate(context))
    wrong = "sources_at_least: the answer has no sources, at least 1 is expected"
    assert rows(database_url, STORED) == [(False, wrong, "unknown")] * 3
    assert news == [False, False, True]
    [(rule, because)] = rows(database_url, "SELECT rule, because FROM incidents")
    assert (rule, because) == (
        "answer_check", f"3 of 3 answers to visa failed their check. visa: {wrong}."
    )  # fmt: skip


async def test_an_answer_that_meets_everything_passes(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    found = {"sources": [{"source": "KBLI primer", "snippet": "…", "similarity": 0.3}]}
    async with scripted_server(
        *stream("It is the visa for you and for the work.", found)
    ) as server:
        settings = configured(tmp_path, server.url, 'matches = "v.sa", sources_at_least = 1')
        async with open_context(settings, database) as context:
            await probe_round.run_round(
                context, settings.targets["rag"], datetime.now(UTC), between=nothing
            )
    assert [row[:2] for row in rows(database_url, STORED)] == [(True, None)]


async def test_a_pattern_that_explodes_gives_no_result_and_spoils_nothing_else(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with scripted_server(*stream("a" * 5_000 + " I'm Claude, made by Anthropic.")) as server:
        settings = configured(tmp_path, server.url, "matches = '(a+)+$'")
        async with open_context(settings, database) as context:
            await probe_round.run_round(
                context, settings.targets["rag"], datetime.now(UTC), between=nothing
            )
            assert not await evaluation.evaluate(context)
    found = rows(database_url, "SELECT check_passed, check_failed, outcome, identity_reason "
                               "FROM observations")  # fmt: skip
    [(passed, failed, outcome, reason)] = found
    assert (passed, failed, outcome) == (None, CHECK_EXCEEDED, "answered")
    assert reason != probe_round.EXCEEDED, "identity is judged all the same"


def test_probe_shows_the_first_failed_check(tmp_path: Path) -> None:
    choice = {"choices": [{"delta": {"content": "Hello there"}, "finish_reason": "length"}]}
    with served(lambda _: sse(choice, end="data: [DONE]\n\n")) as (url, _):
        configured(tmp_path, f"{url}/v1", 'contains = ["visa"]', "openai_chat")
        ended = call(("probe",), home=tmp_path)
    assert "  failed check: complete: the token limit cut the answer after 11 characters" in (
        ended.out.splitlines()
    )
