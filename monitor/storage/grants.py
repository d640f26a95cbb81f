"""Grants outlive a migration: a view that is dropped and made again keeps who may read it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

# One row for each grant on a table, a view, a column or a function, as SQL to repeat it.
_GRANTS = text("""
WITH ours AS (
    SELECT n.oid FROM pg_namespace AS n WHERE n.nspname IN ('report', current_schema())
),
named AS (
    SELECT format('%s ON %I.%I', a.privilege_type, n.nspname, c.relname) AS what,
        a.grantee, a.is_grantable, c.relowner AS owner
    FROM pg_class AS c JOIN ours ON ours.oid = c.relnamespace
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL aclexplode(c.relacl) AS a
    WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relacl IS NOT NULL
    UNION ALL
    SELECT format('%s (%I) ON %I.%I', a.privilege_type, t.attname, n.nspname, c.relname),
        a.grantee, a.is_grantable, c.relowner
    FROM pg_attribute AS t JOIN pg_class AS c ON c.oid = t.attrelid
    JOIN ours ON ours.oid = c.relnamespace
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL aclexplode(t.attacl) AS a
    WHERE t.attacl IS NOT NULL AND NOT t.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm')
    UNION ALL
    SELECT format('%s ON FUNCTION %I.%I(%s)', a.privilege_type, n.nspname, p.proname,
            pg_get_function_identity_arguments(p.oid)),
        a.grantee, a.is_grantable, p.proowner
    FROM pg_proc AS p JOIN ours ON ours.oid = p.pronamespace
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL aclexplode(p.proacl) AS a
    WHERE p.proacl IS NOT NULL
)
SELECT format('GRANT %s TO %s%s', what,
    CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM named WHERE grantee <> owner
""")


@contextmanager
def kept(connection: Connection) -> Iterator[None]:
    """Give back what the body took away by making something anew; nothing where it is gone."""
    before = set(connection.scalars(_GRANTS))
    yield
    for grant in sorted(before - set(connection.scalars(_GRANTS))):
        connection.execute(_CHOSEN, {"grant": grant})
        connection.exec_driver_sql(_GRANT_WHERE_THERE)


# In a block of its own: an object that is gone for good must not end the migration.
_CHOSEN = text("SELECT set_config('monitor.grant', :grant, true)")
_GRANT_WHERE_THERE = """
DO $$ BEGIN
    EXECUTE current_setting('monitor.grant');
EXCEPTION WHEN undefined_table OR undefined_column OR undefined_function OR invalid_schema_name THEN
    NULL;
END $$
"""
