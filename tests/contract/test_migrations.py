"""The schema from empty to head and back, under a lock, and what the worker makes of it."""

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from monitor.store import REVISION, Database, SchemaUnknown, schema
from tests.e2e.rig import rows

OURS = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"


def test_migrates_from_empty_to_head_and_back_and_again(empty_url: str) -> None:
    schema.migrate(empty_url)
    assert rows(empty_url, "SELECT version_num FROM alembic_version") == [(REVISION,)]
    schema.migrate(empty_url, to="base")
    assert rows(empty_url, OURS) == [(1,)], "only alembic's own table is left"
    schema.migrate(empty_url)
    assert rows(empty_url, "SELECT count(*) FROM observations") == [(0,)]


def test_tables_and_migrations_say_the_same(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_name": lambda name, kind, _: not (kind == "table" and "default" in name)
            },
        )
        assert compare_metadata(context, schema.every_table()) == []
    engine.dispose()


def test_every_column_of_every_table_people_query_is_commented(database_url: str) -> None:
    bare = """
        SELECT c.relname || '.' || a.attname FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relname = 'observations' AND col_description(c.oid, a.attnum) IS NULL
    """
    assert rows(database_url, bare) == []


def test_migrating_twice_at_once_is_migrating_once(empty_url: str) -> None:
    troubles: list[BaseException] = []

    def migrate() -> None:
        try:
            schema.migrate(empty_url)
        except BaseException as trouble:
            troubles.append(trouble)

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert rows(empty_url, "SELECT version_num FROM alembic_version") == [(REVISION,)]


@pytest.mark.parametrize(
    ("found", "fits"),
    [(None, False), ("r1_0000", False), (REVISION, True), ("r1_9999", True)],
)
def test_newer_serials_of_our_major_fit_and_older_ones_do_not(
    found: str | None, fits: bool
) -> None:
    assert schema.fits(found) is fits


@pytest.mark.parametrize("found", ["r2_0001", "deadbeef", ""])
def test_an_unknown_schema_is_refused_by_name(found: str) -> None:
    with pytest.raises(SchemaUnknown, match=f"at revision {found}, this program knows {REVISION}"):
        schema.fits(found)


async def test_the_revision_of_a_database_is_found(empty_url: str, database: Database) -> None:
    empty = Database(empty_url)
    assert await schema.revision(empty) is None
    await empty.close()
    assert await schema.revision(database) == REVISION


def test_a_foreign_revision_is_not_migrated(empty_url: str) -> None:
    schema.migrate(empty_url)
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'deadbeef'"))
    engine.dispose()
    with pytest.raises(SchemaUnknown, match="deadbeef"):
        schema.migrate(empty_url)
