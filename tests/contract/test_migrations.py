"""The schema from empty to head and back, under a lock, and what the worker makes of it."""

import re
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from monitor.storage import REVISION, Database, SchemaUnknown, schema
from tests.contract.cli import run
from tests.contract.open_context import CONFIGURATION
from tests.e2e.worker_process import rows

OURS = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"


def test_migrates_from_empty_to_head_and_back_and_again(empty_url: str) -> None:
    schema.migrate(empty_url)
    assert rows(empty_url, "SELECT version_num FROM monitor_alembic_version") == [(REVISION,)]
    schema.migrate(empty_url, to="base")
    assert rows(empty_url, OURS) == [(1,)], "only alembic's own table is left"
    schema.migrate(empty_url)
    assert rows(empty_url, "SELECT count(*) FROM observations") == [(0,)]


COLUMNS = """
    SELECT c.relnamespace::regnamespace || '.' || c.relname || '.' || a.attname FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'v')
        AND c.relnamespace::regnamespace::text IN ('public', 'report')
"""


def test_each_downgrade_removes_and_restores_what_its_upgrade_changed(empty_url: str) -> None:
    files = sorted(path.stem for path in schema.migrations().glob("versions/r*.py"))
    before = {}
    for revision in (name[:7] for name in files):
        before[revision] = set(rows(empty_url, COLUMNS))
        schema.migrate(empty_url, to=revision)
    for revision in reversed(list(before)[1:]):
        schema.migrate(empty_url, to="-1")
        found = set(rows(empty_url, COLUMNS))
        assert found - before[revision] == set(), f"downgrade() of {revision} must remove these"
        assert before[revision] - found == set(), f"downgrade() of {revision} must restore these"
    schema.migrate(empty_url)


def test_after_a_rollback_the_newer_schema_is_kept(database_url: str, tmp_path: Path) -> None:
    """Deployments run `monitor migrate` before they start the older version."""
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE monitor_alembic_version SET version_num = 'r1_9999'"))
    engine.dispose()
    (tmp_path / "monitor.toml").write_text(CONFIGURATION.format(url="http://127.0.0.1:1"))
    ended = run("migrate", home=tmp_path, DATABASE_URL=database_url, SERVICE_KEY="k")
    assert (ended.status, ended.out) == (
        0,
        f"schema is at revision r1_9999, newer than this version's ({REVISION}): kept\n",
    )
    assert rows(database_url, "SELECT version_num FROM monitor_alembic_version") == [("r1_9999",)]


# SQLAlchemy passes on that a check was never validated under a name it does not know itself.
@pytest.mark.filterwarnings("ignore:Can't validate argument 'dialect_options'")
def test_tables_and_migrations_say_the_same(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": schema.NAME,
                "include_name": lambda name, kind, _: not (kind == "table" and "default" in name),
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


def test_no_comment_uses_the_private_vocabulary(database_url: str) -> None:
    private = r"\m(anew|asked|looks|nobody|of ours|told|whoever)\M"
    odd = "SELECT description FROM pg_description WHERE objoid >= 16384 AND description ~* "
    assert rows(database_url, f"{odd} '{private}'") == []


VIEWS = "SELECT viewname FROM pg_views WHERE schemaname = 'report'"
BEFORE_RANGES = (
    "GRANT SELECT ON ALL TABLES IN SCHEMA report TO PUBLIC",
    "INSERT INTO spend_days (day, probes_usd, traffic_usd, unpriced, spent_usd, at_least, meter, "
    "because, reckoned_at) VALUES ('2026-11-01', 1, 2, 0, 3, false, 'estimate', '', now())",
)


def test_ranges_come_to_what_is_there_and_keep_what_was_granted(empty_url: str) -> None:
    schema.migrate(empty_url, to="r1_0015")
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        for statement in BEFORE_RANGES:
            connection.execute(text(statement))
    engine.dispose()
    there = {name for (name,) in rows(empty_url, VIEWS)}
    assert len(there) == 10
    schema.migrate(empty_url)
    ends = "SELECT spent_usd, spent_high_usd FROM report.spend_daily"
    assert rows(empty_url, ends) == [(3, 3)]
    lost = """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'report'::regnamespace AND relkind = 'v'
            AND NOT coalesce(relacl::text LIKE '%{=r/%' OR relacl::text LIKE '%,=r/%', false)
    """
    assert there & {name for (name,) in rows(empty_url, lost)} == set()


def test_outcome_connect_is_admitted_by_old_and_new_months_and_leaves_with_its_revision(
    empty_url: str,
) -> None:
    (path,) = schema.migrations().glob("versions/*_connect.py")
    (below,) = re.findall(r'^down_revision = "(\w+)"', path.read_text(), flags=re.MULTILINE)
    schema.migrate(empty_url, to=below)
    engine = create_engine(empty_url.replace("postgresql://", "postgresql+psycopg://"))
    columns = rows(empty_url, """SELECT column_name, data_type FROM information_schema.columns
        WHERE table_name = 'observations' AND is_nullable = 'NO' AND column_default IS NULL
          AND is_generated = 'NEVER'""")  # fmt: skip
    filling = {"text": "'t'", "uuid": "gen_random_uuid()", "jsonb": "'{}'", "ARRAY": "'{}'",
               "timestamp with time zone": "'2026-11-23'", "boolean": "false"}  # fmt: skip
    fixed = {"origin": "'round'", "stamp": "'kernel'", "identity": "'unknown'",
             "outcome": "'connect'", "slot": ":slot"}  # fmt: skip
    values = ", ".join(fixed.get(str(n), filling.get(str(kind), "0")) for n, kind in columns)
    named = ", ".join(str(name) for name, _ in columns)
    add = text(f"INSERT INTO observations ({named}) VALUES ({values})")
    with engine.begin() as connection:
        connection.execute(text("SELECT make_month('2026-11-01')"))
    schema.migrate(empty_url)
    with engine.begin() as connection:
        connection.execute(text("SELECT make_month('2026-12-01')"))
        for slot in ("2026-11-23", "2026-12-24", "2027-06-01"):
            connection.execute(add, {"slot": slot})
    while rows(empty_url, "SELECT version_num FROM monitor_alembic_version") != [(below,)]:
        schema.migrate(empty_url, to="-1")
    assert rows(empty_url, "SELECT outcome FROM observations") == [("refused",)] * 3
    with pytest.raises(IntegrityError, match="ck_observations_outcome"), engine.begin() as again:
        again.execute(add, {"slot": "2026-11-24"})
    engine.dispose()


def test_migrating_twice_at_once_is_migrating_once(empty_url: str) -> None:
    troubles: list[BaseException] = []

    def migrate() -> None:
        try:
            schema.migrate(empty_url)
        except BaseException as error_reason:
            troubles.append(error_reason)

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert rows(empty_url, "SELECT version_num FROM monitor_alembic_version") == [(REVISION,)]


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
        connection.execute(text("UPDATE monitor_alembic_version SET version_num = 'deadbeef'"))
    engine.dispose()
    with pytest.raises(SchemaUnknown, match="deadbeef"):
        schema.migrate(empty_url)


OLDER = """
INSERT INTO incidents (rule, target, opened_at, resolved_at, last_breach_at, last_told_at, because,
                       observations, facts, part_of)
VALUES
  ('fallback', 'rag', now() - interval '9 hours', now() - interval '8 hours', now(), now(),
   '6 of the last 20 answers', ARRAY[gen_random_uuid()], '{}', NULL),
  ('ttft', 'rag', now() - interval '9 hours', now() - interval '8 hours', now(), now(),
   'the last round', '{}', '{}', 1),
  ('down', 'rag', now() - interval '1 hour', NULL, now(), now(), '3 of the last 3 failed',
   ARRAY[gen_random_uuid()], '{}', NULL);
INSERT INTO outbox (id, incident, status, notice, due_at, settled_at, result)
VALUES
  (gen_random_uuid(), 1, 'FIRING', '{"rule": "fallback", "sentence": "4 of the last 4 answers"}',
   now(), now() - interval '8 hours 59 minutes', 'sent'),
  (gen_random_uuid(), 1, 'FIRING', '{"rule": "fallback", "sentence": "an edit"}',
   now(), now() - interval '8 hours 50 minutes', 'sent'),
  (gen_random_uuid(), 3, 'FIRING', '{"rule": "down", "sentence": "5 of the last 6"}',
   now(), NULL, NULL);
"""  # the proof of #1 lies before its opening, that of #3 slid past it
PROOF = """
INSERT INTO observations (id, target, query, origin, region, worker, slot, started_at, outcome,
                          dialect, instrument, config_hash, stamp, pieces, chunk_lengths,
                          answer_chars, identity, confidence, evidence, claims, rates, faults)
SELECT observations[1], 'rag', 'hi', 'round', 'local', 'w1', opened_at + shift, opened_at + shift,
       'refused', 'bali_zero', 1, '', 'kernel', 0, '{}', 0, 'unknown', 0, '[]', '[]', '{}', '{}'
FROM incidents
JOIN (VALUES (1, interval '-5 minutes'), (3, interval '5 minutes')) AS s (number, shift)
    USING (number)
"""


def test_incidents_that_were_there_before_are_filled_in_as_far_as_rows_prove_it(
    empty_url: str,
) -> None:
    schema.migrate(empty_url, to="r1_0014")
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text(OLDER))
        connection.execute(text(PROOF))
    engine.dispose()
    schema.migrate(empty_url)
    assert rows(
        empty_url,
        "SELECT number, extract(epoch FROM opened_at - first_seen_at)::integer, opening_because, "
        "extract(epoch FROM told_at - opened_at)::integer, announced_as FROM incidents "
        "ORDER BY number",
    ) == [
        (1, 300, "4 of the last 4 answers", 60, None),
        (2, None, None, None, 1),  # told in messages of #1: by an edit, or aloud, nobody knows
        (3, None, "5 of the last 6", None, None),
    ]
    assert rows(empty_url, "SELECT incidents FROM outbox WHERE settled_at IS NULL") == [([3],)]
    seen = "SELECT detected_after_s, told_after_s FROM report.incidents WHERE number = 1"
    assert rows(empty_url, seen) == [(300, 360)]


BEFORE_CHANNELS = """
INSERT INTO outbox (id, status, notice, due_at, settled_at, result, channel, reference) VALUES
  (gen_random_uuid(), 'FIRING', '{}', now(), now(), 'sent', 'bot', 'C1:1.0'),
  (gen_random_uuid(), 'FIRING', '{}', now(), now(), 'sent', 'webhook', NULL),
  (gen_random_uuid(), 'FIRING', '{}', now(), now(), 'sent', 'console', NULL),
  (gen_random_uuid(), 'FIRING', '{}', now(), now(), 'dead', NULL, NULL),
  (gen_random_uuid(), 'FIRING', '{}', now(), NULL, NULL, NULL, NULL);
INSERT INTO channels (channel, broken_since, broken_why, last_sent_at) VALUES
  ('bot', now() - interval '9 days', 'invalid_auth', now() - interval '10 days'),
  ('webhook', NULL, NULL, now());
INSERT INTO incidents (rule, target, opened_at, last_breach_at, last_told_at, because, observations,
    facts) VALUES ('delivery', 'webhook', now(), now(), now(), 'refused', '{}', '{}');
"""
OF_EACH = "SELECT channel, result FROM outbox ORDER BY sequence"


def test_what_was_for_the_bot_or_the_webhook_is_for_the_default_channel_and_back(
    empty_url: str,
) -> None:
    (path,) = schema.migrations().glob("versions/*_channels.py")
    (below,) = re.findall(r'^down_revision = "(\w+)"', path.read_text(), flags=re.MULTILINE)
    schema.migrate(empty_url, to=below)
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text(BEFORE_CHANNELS))
    schema.migrate(empty_url)
    assert rows(empty_url, OF_EACH) == [
        ("slack", "sent"), ("slack", "sent"), ("console", "sent"), ("slack", "dead"),
        ("slack", None),
    ]  # fmt: skip
    assert rows(empty_url, "SELECT channel, broken_why FROM channels") == [("slack", None)]
    assert rows(empty_url, "SELECT target FROM incidents") == [("slack",)]
    with engine.begin() as connection:  # a notice in two channels, and one that nobody takes
        connection.execute(text(
            "INSERT INTO outbox (id, news, channel, status, notice, due_at) SELECT "
            "gen_random_uuid(), id, 'pager', status, notice, due_at FROM outbox "
            "WHERE settled_at IS NULL; "
            "INSERT INTO outbox (id, channel, status, notice, due_at, settled_at, result) VALUES "
            "(gen_random_uuid(), '', 'NOTICE', '{}', now(), now(), 'closed')"
        ))  # fmt: skip
    engine.dispose()
    while rows(empty_url, "SELECT version_num FROM monitor_alembic_version") != [(below,)]:
        schema.migrate(empty_url, to="-1")
    assert rows(empty_url, OF_EACH) == [
        ("bot", "sent"), ("bot", "sent"), ("console", "sent"), ("bot", "dead"), (None, None),
        (None, "dead"),
    ]  # fmt: skip
    assert rows(empty_url, "SELECT target FROM incidents") == [("bot",)]


def test_rows_that_wait_stay_with_the_console_where_it_was_used_last(empty_url: str) -> None:
    (path,) = schema.migrations().glob("versions/*_channels.py")
    (below,) = re.findall(r'^down_revision = "(\w+)"', path.read_text(), flags=re.MULTILINE)
    schema.migrate(empty_url, to=below)
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text(BEFORE_CHANNELS))
        connection.execute(text("INSERT INTO channels (channel, last_sent_at) "
                                "VALUES ('console', now() + interval '1 second')"))  # fmt: skip
    engine.dispose()
    schema.migrate(empty_url)
    assert rows(empty_url, OF_EACH)[-1] == ("console", None)
