"""The status page over real HTTP: what it shows, what it refuses, and how little it asks."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.storage import Database, incident_rows, observations, report_data
from monitor.worker import status_pages
from monitor.worker.status_pages import StatusPages
from tests.contract.cli import call
from tests.contract.open_context import open_context, settings
from tests.example_data import HAIKU, observation
from tests.probe_notation import incident

HOSTILE = "</title><script>alert(1)</script>"


@asynccontextmanager
async def served(database: Database, home: Path) -> AsyncIterator[str]:
    async with open_context(settings(home), database) as context:
        pages = StatusPages(context)
        async with context.metrics.serving("127.0.0.1", 0, pages.answer) as port:
            yield f"http://127.0.0.1:{port}"
        await pages.close()


@pytest.fixture
async def url(database: Database, tmp_path: Path) -> AsyncIterator[str]:
    async with served(database, tmp_path) as found:
        yield found


async def get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.get(url)


async def stored(database: Database, **changes: Any) -> None:
    """A round two minutes ago whose second probe is as given, and an open incident."""
    at = datetime.now(UTC) - timedelta(minutes=2)
    bad = {"query": "kbli", "identity": "fallback", "model_detected": HAIKU, **changes}
    broken = incident("fallback", opened_at=at, number=None, because=f"{HOSTILE} fell back.")
    async with database.begin() as connection:
        await observations.add(connection, [
            observation(slot=at, started_at=at), observation(slot=at, started_at=at, **bad)
        ])  # fmt: skip
        await incident_rows.save(connection, [broken], [])


async def test_the_page_shows_how_things_are_without_a_script(url: str, database: Database) -> None:
    await stored(database)
    reply = await get(url)
    assert reply.status_code == 200
    assert "Claude Haiku 4.5 answers rag since" in reply.text
    assert "2 min ago" in reply.text
    assert f"{HAIKU} (fallback)" in reply.text
    assert ">#1<" in reply.text and ">10 %<" in reply.text
    assert '<meta http-equiv="refresh" content="30">' in reply.text
    assert "<script" not in reply.text.lower()
    assert "&lt;script&gt;alert(1)" in reply.text, "foreign text stays text"


async def test_nothing_may_run_or_be_loaded_and_the_style_is_admitted_by_its_hash(
    url: str,
) -> None:
    reply = await get(url)
    policy = reply.headers["content-security-policy"]
    assert re.fullmatch(
        r"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        r"style-src 'sha256-[\w+/=]{44}'",
        policy,
    )
    assert reply.headers["x-content-type-options"] == "nosniff"
    for path in ("/status.json", "/metrics", "/nowhere"):
        assert (
            (await get(url + path))
            .headers["content-security-policy"]
            .startswith("default-src 'none'")
        )


async def test_the_json_has_a_version_and_the_same_figures(url: str, database: Database) -> None:
    await stored(database)
    found = (await get(f"{url}/status.json")).json()
    assert (found["version"], found["well"]) == (1, False)
    [target] = found["targets"]
    assert (target["name"], target["every_s"], target["overdue"]) == ("rag", 600.0, False)
    assert [(p["query"], p["identity"], p["good"]) for p in target["probes"]] == [
        ("hi", "expected", True), ("kbli", "fallback", True)]  # fmt: skip
    [notified] = found["incidents"]
    assert (notified["rule"], notified["scope"], notified["limit"]) == ("fallback", "rag", 0.1)
    assert found["sentences"][0].startswith("Claude Haiku 4.5 answers rag since")


async def test_what_the_json_holds_is_what_the_documents_say(url: str, database: Database) -> None:
    await stored(database)
    found = (await get(f"{url}/status.json")).json()
    page = (Path(__file__).parents[2] / "docs" / "metrics-endpoint.md").read_text(encoding="utf-8")
    section = page[page.index("## Status page") :].split("\n## ")[0]
    listed = set(re.findall(r"`([a-z_]+)`", section))

    def keys(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value) | set().union(*map(keys, value.values()))
        return set().union(*map(keys, value)) if isinstance(value, list) else set()

    spend = {"day", "usd", "usd_at_most", "at_least", "limit_usd"}
    assert keys(found) | spend <= listed


@pytest.mark.parametrize(
    ("path", "status"),
    [("/badge/rag.svg", 200), ("/badge/other.svg", 404), ("/badge/rag", 404), ("/badge/", 404),
     ("/../etc/passwd", 404), ("/status.json?x=1", 200), ("/index.html", 404)],
)  # fmt: skip
async def test_only_known_paths_are_answered(url: str, path: str, status: int) -> None:
    assert (await get(url + path)).status_code == status


async def test_a_badge_names_the_rule_that_is_in_breach(url: str, database: Database) -> None:
    await stored(database)
    reply = await get(f"{url}/badge/rag.svg")
    assert reply.headers["content-type"].startswith("image/svg+xml")
    assert 'aria-label="rag: fallback"' in reply.text


async def test_a_badge_of_a_target_that_is_well_shows_its_ttft(
    url: str, database: Database
) -> None:
    at = datetime.now(UTC) - timedelta(minutes=2)
    async with database.begin() as connection:
        await observations.add(connection, [observation(slot=at, started_at=at, ttft_ms=842.0)])
    assert 'aria-label="rag: well, 842 ms"' in (await get(f"{url}/badge/rag.svg")).text


async def test_before_the_first_round_the_page_says_so(url: str) -> None:
    reply = await get(url)
    assert "rag has not been probed yet." in reply.text
    assert "No incident is open." in reply.text
    assert 'aria-label="rag: no data"' in (await get(f"{url}/badge/rag.svg")).text


async def test_many_requests_cost_one_reading(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    readings, found = [], report_data.found

    async def counted(*arguments: Any, **options: Any) -> Any:
        readings.append(1)
        return await found(*arguments, **options)

    monkeypatch.setattr(report_data, "found", counted)
    monkeypatch.setattr(status_pages, "FRESH_S", 600.0)
    paths = ("", "/status.json", "/badge/rag.svg") * 8
    replies = await asyncio.gather(*(get(url + path) for path in paths))
    assert {reply.status_code for reply in replies} == {200}
    assert len(readings) == 1


async def test_without_a_database_the_page_says_so_and_metrics_go_on(tmp_path: Path) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/none")
    try:
        async with served(away, tmp_path) as url:
            reply = await get(url)
            assert reply.status_code == 503
            assert "The database is unavailable." in reply.text
            assert (await get(f"{url}/status.json")).json()["well"] is False
            assert 'aria-label="rag: unknown"' in (await get(f"{url}/badge/rag.svg")).text
            assert (await get(f"{url}/metrics")).status_code == 200
            assert (await get(f"{url}/healthz")).status_code == 200
    finally:
        await away.close()


async def test_a_reading_that_hangs_shows_the_earlier_state(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(database)
    assert (await get(url)).status_code == 200
    release = asyncio.Event()

    async def hangs(*_: Any, **__: Any) -> Any:
        await release.wait()
        raise RuntimeError("the page was closed")

    monkeypatch.setattr(report_data, "found", hangs)
    monkeypatch.setattr(status_pages, "FRESH_S", -1.0)
    monkeypatch.setattr(status_pages, "PATIENCE_S", 0.05)
    reply = await get(url)
    release.set()
    assert reply.status_code == 503
    assert "The database did not answer in time. This is an earlier state." in reply.text
    assert f"{HAIKU} (fallback)" in reply.text


def test_the_port_is_bound_to_loopback_unless_told_otherwise(tmp_path: Path) -> None:
    assert settings(tmp_path).file.metrics.host == "127.0.0.1"
    assert settings(tmp_path).file.metrics.port is None
    told = settings(tmp_path, MONITOR_METRICS__HOST="::", MONITOR_METRICS__PORT="9091")
    assert (told.file.metrics.host, told.file.metrics.port) == ("::", 9091)


async def test_the_terminal_shows_the_same(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "monitor.toml").write_text(
        '[targets.rag]\nurl = "http://127.0.0.1:9"\ndialect = "bali_zero"\n'
        '[[targets.rag.queries]]\nid = "hi"\ntext = "Hi"\n'
    )
    await stored(database)
    ended = await asyncio.to_thread(
        call, ("watch", "--once"), home=tmp_path, DATABASE_URL=database_url
    )
    assert (ended.status, ended.err) == (0, "")
    assert "Claude Haiku 4.5 answers rag since" in ended.out
    assert "hi 900 ms · kbli 900 ms" in ended.out
    assert "#1" in ended.out
    assert "\x1b" not in ended.out
