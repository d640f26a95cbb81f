"""Exports: every row once, exact, streamed, and harmless in a spreadsheet."""

import csv
import io
import json
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from monitor.cli import exporting as command
from monitor.cli.startup import sentence
from monitor.storage import Database
from monitor.storage.report_queries import PAGE, observed
from tests.contract.past_day import EIGHT, TODAY, failed, row_at, store

ALL = timedelta(days=400)


def written(url: str, form: command.Format, since: timedelta = ALL) -> bytes:
    file = io.BytesIO()
    write = command._WRITERS[form]()
    with observed(url, since) as stream:
        write(stream, file)
    return file.getvalue()


def table(url: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written(url, "csv").decode(), newline="")))


async def test_csv_holds_every_row_with_exact_money_and_empty_cells_for_null(
    database: Database, database_url: str
) -> None:
    await store(database, row_at(EIGHT, cost_usd=Decimal("0.000000000001")), failed(EIGHT, "kbli"))
    first, second = sorted(table(database_url), key=lambda row: row["query"])
    assert (first["ttft_ms"], first["cost_usd"], first["fallback"]) == ("600.0", "0.000000000001",
                                                                        "false")  # fmt: skip
    assert (second["ttft_ms"], second["cost_usd"], second["fallback"]) == ("", "", "")
    assert first["slot"] == EIGHT.isoformat()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "＝", "\u00a0@"])
async def test_what_looks_like_a_formula_is_text(
    database: Database, database_url: str, start: str
) -> None:
    evil = f"{start}HYPERLINK(0)"
    await store(database, row_at(EIGHT, answer_excerpt=evil, model_disclosed=evil, error=evil))
    [row] = table(database_url)
    assert {row[name] for name in ("answer_excerpt", "model_disclosed", "error")} == {f"'{evil}"}


async def test_numbers_are_not_mistaken_for_formulas() -> None:
    assert command._cell(-1.5) == "-1.5"
    assert command._cell(Decimal("-0.10")) == "-0.10"


async def test_jsonl_holds_one_observation_a_line_under_its_column_names(
    database: Database, database_url: str
) -> None:
    await store(database, row_at(EIGHT), row_at(EIGHT + timedelta(minutes=5)))
    lines = [json.loads(line) for line in written(database_url, "jsonl").splitlines()]
    assert [line["slot"] for line in lines] == [
        EIGHT.isoformat(), (EIGHT + timedelta(minutes=5)).isoformat()
    ]  # fmt: skip
    assert lines[0]["cost_usd"] == "0.000200000000", "text: JSON has no exact numbers"
    assert lines[0]["evidence"][0]["kind"] == "field"


async def test_more_than_a_page_is_streamed_page_by_page(
    database: Database, database_url: str
) -> None:
    await store(database, *(row_at(EIGHT, f"q{n}") for n in range(700)))
    await store(database, *(row_at(EIGHT, f"q{n}") for n in range(700, 1400)))
    with observed(database_url, ALL) as stream:
        assert [len(page) for page in stream.pages] == [PAGE, 1400 - PAGE]


async def test_older_rows_stay_out(database: Database, database_url: str) -> None:
    await store(database, row_at(EIGHT), row_at(TODAY - timedelta(days=30)))
    assert len(written(database_url, "jsonl", timedelta(days=7)).splitlines()) == 1


async def test_parquet_holds_the_same_with_types(database: Database, database_url: str) -> None:
    await store(database, row_at(EIGHT), failed(EIGHT, "kbli"))
    found: list[dict[str, Any]] = parquet.read_table(
        io.BytesIO(written(database_url, "parquet"))).to_pylist()  # fmt: skip
    first, second = sorted(found, key=lambda row: row["query"])
    assert (first["slot"], first["cost_usd"], first["good"]) == (EIGHT, Decimal("0.0002"), True)
    assert (second["ttft_ms"], second["cost_usd"], second["good"]) == (None, None, False)


def test_parquet_without_pyarrow_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SystemExit) as ended:
        command.export(ALL, "parquet", Path("never.parquet"))
    assert ended.value.code == 2
    assert 'pip install "rag-monitor[parquet]"' in capsys.readouterr().err


async def test_the_command_writes_a_file(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "monitor.toml"
    configuration.write_text(
        '[targets.rag]\nurl = "http://localhost:1"\ndialect = "bali_zero"\n'
        '[[targets.rag.queries]]\nid = "hi"\ntext = "Hi"\n'
    )
    monkeypatch.setenv("MONITOR_CONFIG", str(configuration))
    monkeypatch.setenv("DATABASE_URL", database_url.replace("+psycopg", ""))
    await store(database, row_at(EIGHT))
    command.export(ALL, "csv", tmp_path / "probes.csv")
    assert len((tmp_path / "probes.csv").read_text().splitlines()) == 2


def test_a_file_that_broke_off_is_not_there(tmp_path: Path) -> None:
    def broken() -> None:
        with command._opened(tmp_path / "broken.csv") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_a_folder_that_is_missing_is_named_as_written(tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "x.csv"
    with pytest.raises(OSError) as raised, command._opened(file):
        raise AssertionError
    folder = f"the folder {file.parent} does not exist: create it or correct the path"
    assert sentence(raised.value) == f"{file}: {folder}"
