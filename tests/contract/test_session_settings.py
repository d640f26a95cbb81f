"""Defaults that a database, a role or a user can change do not change what we do."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text

from monitor.storage import Database
from monitor.storage.report_queries import read_only_rows
from monitor.worker import account_polling, evaluation, probe_round, rollups
from tests.contract.open_context import deliver, open_context, settings
from tests.contract.test_workers import GOOD, nothing, turning
from tests.e2e.worker_process import command, rows
from tests.pooler import pooled

# Name, something that breaks who relies on the default, and what a transaction of ours has.
NASTY = [
    ("datestyle", "German", "ISO, MDY"),
    ("intervalstyle", "sql_standard", "postgres"),
    ("timezone", "Pacific/Apia", "UTC"),
    ("client_encoding", "LATIN1", "UTF8"),
    ("search_path", "pg_catalog", '"$user", public'),
    ("standard_conforming_strings", "off", "on"),
    ("bytea_output", "escape", "hex"),
    ("extra_float_digits", "-15", "1"),
    ("array_nulls", "off", "on"),
    ("transform_null_equals", "on", "off"),
    ("lc_numeric", "POSIX", "C"),
    ("lc_monetary", "POSIX", "C"),
    ("lc_time", "POSIX", "C"),
    ("row_security", "off", "on"),
    ("default_transaction_isolation", "serializable", None),
    ("statement_timeout", "200ms", "10s"),
    ("lock_timeout", "10ms", "5s"),
    ("idle_in_transaction_session_timeout", "2s", "10s"),
    ("idle_session_timeout", "1s", None),
    ("transaction_timeout", "1s", "0"),
    ("restrict_nonsystem_relation_kind", "view,foreign-table", ""),
]
LEVELS = ["DATABASE {name}", "ROLE {user} IN DATABASE {name}"]


def spoil(url: str, level: str) -> None:
    address = make_url(url)
    whose = level.format(name=f'"{address.database}"', user=address.username)
    for name, value in ((name, value) for name, value, _ in NASTY if name in known(url)):
        change(url, f"ALTER {whose} SET {name} = {_literal(name, value)}")


@cache
def known(url: str) -> frozenset[str]:
    """The settings of this server; older ones lack some."""
    names = ", ".join(f"'{name}'" for name, _, _ in NASTY)
    found = rows(url, f"SELECT lower(name) FROM pg_settings WHERE lower(name) IN ({names})")
    return frozenset(name for (name,) in found)


def _literal(name: str, value: str) -> str:
    return value if name == "search_path" else f"'{value}'"


def change(url: str, statement: str) -> None:
    plain = make_url(url).set(database="postgres", drivername="postgresql")
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as admin:
        admin.execute(statement)


@pytest.mark.parametrize("level", LEVELS)
async def test_migration_rounds_evaluation_and_reports_work_whatever_the_defaults_are(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    spoil(empty_url, level)
    settings(tmp_path)
    migrated = command(tmp_path, "migrate", DATABASE_URL=empty_url, SERVICE_KEY="k")
    assert migrated.returncode == 0, migrated.stderr
    database = Database(empty_url, writes=True)
    async with turning() as service:
        service.answer = GOOD
        given = settings(tmp_path, service.url)
        async with open_context(given, database) as context:
            slot = datetime.now(UTC).replace(microsecond=0)
            target = given.targets["rag"]
            assert len(await probe_round.run_round(context, target, slot, between=nothing)) == 2
            await evaluation.evaluate(context)
            await deliver(context)
            await account_polling.poll(context)
            await rollups.roll_up(context)
    await database.close()
    stored = "SELECT count(*) FROM public.observations"
    assert rows(empty_url, stored) == [(2,)]
    judged = "SELECT count(*) FROM public.leases WHERE name = 'evaluate'"
    assert rows(empty_url, judged) == [(1,)]
    report = command(tmp_path, "report", "--since", "1d", DATABASE_URL=empty_url, SERVICE_KEY="k")
    assert report.returncode == 0, report.stderr
    assert "rag" in report.stdout


async def shown(url: str) -> Mapping[str, Any]:
    database = Database(url)
    async with database.begin() as connection:
        values = (await connection.execute(text(f"SELECT {SHOWN}"))).one()
    await database.close()
    return dict(zip(NAMES, values, strict=True))


NAMES = [name for name, _, ours in NASTY if ours is not None] + ["transaction_isolation"]
SHOWN = ", ".join(f"current_setting('{name}', true)" for name in NAMES)


def expected_of(url: str) -> dict[str, str | None]:
    pinned = {name: value for name, _, value in NASTY if value is not None}
    held = {name: value if name in known(url) else None for name, value in pinned.items()}
    return held | {"transaction_isolation": "read committed"}


@pytest.mark.parametrize("level", LEVELS)
async def test_each_transaction_has_our_settings(empty_url: str, level: str) -> None:
    spoil(empty_url, level)
    expected = expected_of(empty_url)
    assert await shown(empty_url) == expected
    errand = dict(zip(NAMES, read_only_rows(empty_url, f"SELECT {SHOWN}")[0], strict=True))
    assert errand == expected | {"idle_in_transaction_session_timeout": "1min"}


async def test_each_transaction_has_our_settings_behind_a_pooler(empty_url: str) -> None:
    spoil(empty_url, LEVELS[0])
    async with pooled(empty_url) as url:
        assert await shown(url) == expected_of(empty_url)


async def test_a_schema_chosen_by_the_address_is_searched(empty_url: str) -> None:
    spoil(empty_url, LEVELS[0])
    url = make_url(empty_url).update_query_dict({"options": "-csearch_path=mon,public"})
    database = Database(url.render_as_string(hide_password=False))
    async with database.begin() as connection:
        assert await connection.scalar(text("SHOW search_path")) == "mon,public"
    await database.close()
