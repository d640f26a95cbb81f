"""`monitor report`: files where they are asked for, tables otherwise, and clear refusals."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from monitor import identity
from monitor.cli.reporting import report, written
from monitor.pricing.book import price_book
from monitor.storage import Database, schema
from monitor.storage.engine import address
from monitor.worker import daily_spend
from tests.contract.open_context import settings
from tests.contract.past_day import one, row_at, store
from tests.example_history import seed_history


@pytest.fixture
def seeded(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fill() -> None:
        database = Database(database_url)
        await seed_history(database, hours=12)
        await database.close()

    asyncio.run(fill())
    configured(database_url, tmp_path, monkeypatch)


def configured(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings(home)
    monkeypatch.setenv("MONITOR_CONFIG", str(home / "monitor.toml"))
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("SERVICE_KEY", "canary-key-4711")


@pytest.mark.usefixtures("seeded")
def test_a_page_and_a_picture_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, picture = tmp_path / "r.html", tmp_path / "r.png"
    report("24h", page, picture)
    assert "median TTFT" in page.read_text(encoding="utf-8")
    assert "canary-key-4711" not in page.read_text(encoding="utf-8")
    assert picture.read_bytes().startswith(b"\x89PNG")
    reported = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in reported] == [f"wrote {page}", f"wrote {picture}"]


@pytest.mark.usefixtures("seeded")
def test_everything_a_database_holds_is_one_page(database_url: str, tmp_path: Path) -> None:
    written(database_url, tmp_path / "all.html", settings=settings(tmp_path))
    page = (tmp_path / "all.html").read_text(encoding="utf-8")
    assert " · 12 h 1" in page, "from the first round on, and one interval more"


@pytest.mark.usefixtures("seeded")
def test_without_files_there_are_tables(capsys: pytest.CaptureFixture[str]) -> None:
    report("7d", None, None)
    reported = capsys.readouterr().out
    assert "median TTFT" in reported
    assert "kbli" in reported
    assert "anthropic/claude-haiku-4-5" in reported


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(
    ("since", "says"),
    [("7", "--since 7: write a duration such as"), ("-1d", "write a duration"), ("0s", "--since")],
)
def test_a_span_that_is_none_is_refused(
    since: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        report(since, None, None)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.usefixtures("seeded")
def test_a_file_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        report("24h", tmp_path / "nowhere" / "r.html", None)
    folder = tmp_path / "nowhere"
    assert f"r.html: the folder {folder} does not exist: create it" in capsys.readouterr().err


@pytest.mark.usefixtures("seeded")
def test_a_role_that_may_only_read_reports_gets_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert schema.ensure(database_url) is None
    engine = create_engine(address(database_url))
    with engine.begin() as owner:
        owner.execute(text("ALTER ROLE monitor_reader PASSWORD 'x'"))
    engine.dispose()
    reader = make_url(address(database_url)).set(username="monitor_reader", password="x")
    monkeypatch.setenv("DATABASE_URL", reader.render_as_string(hide_password=False))
    report("24h", None, None)
    assert "anthropic/claude-haiku-4-5" in capsys.readouterr().out


@pytest.mark.usefixtures("seeded")
def test_spend_is_of_now_though_no_one_rolled_up(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def spent() -> tuple[datetime, tuple[object, ...]]:
        database, now = Database(database_url), datetime.now(UTC)
        await store(database, row_at(now, cost_usd=Decimal("0.7")))
        assert await daily_spend.compute_recent_days(
            database, settings(tmp_path), price_book({}, same=identity.same), now=now
        )
        found = await one(
            database,
            "SELECT sum(probes_usd) >= 0.7, max(known_until) FROM report.spend_daily "
            "WHERE day = :today",
            today=now.date(),
        )
        await database.close()
        return now, found

    now, found = asyncio.run(spent())
    assert found == (True, now)
    report("24h", None, None)
    assert "no day has been computed yet" not in capsys.readouterr().out


def test_a_database_no_one_migrated_is_named(
    empty_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configured(empty_url, tmp_path, monkeypatch)
    with pytest.raises(SystemExit) as ended:
        report("24h", None, None)
    assert ended.value.code == 1
    assert "run `monitor migrate`" in capsys.readouterr().err
