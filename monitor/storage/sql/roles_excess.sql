-- What monitor_reader may besides reading, each with the remedy; no row where all is well, or where the role is missing.
WITH reader AS (SELECT oid, rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'monitor_reader')
SELECT 'is a superuser or may create roles or databases' AS may,
    'ALTER ROLE monitor_reader NOSUPERUSER NOCREATEROLE NOCREATEDB' AS remedy
FROM reader WHERE rolsuper OR rolcreaterole OR rolcreatedb
UNION ALL
SELECT 'belongs to role ' || r.rolname, format('REVOKE %I FROM monitor_reader', r.rolname)
FROM pg_auth_members AS m JOIN reader ON reader.oid = m.member JOIN pg_roles AS r ON r.oid = m.roleid
UNION ALL
SELECT 'may store large objects',
    'REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC (as a superuser)'
FROM reader WHERE has_function_privilege(reader.oid, 'pg_catalog.lo_create(oid)', 'EXECUTE')
    OR has_function_privilege(reader.oid, 'pg_catalog.lo_creat(integer)', 'EXECUTE')
    OR has_function_privilege(reader.oid, 'pg_catalog.lo_from_bytea(oid, bytea)', 'EXECUTE')
UNION ALL
SELECT 'may make temporary tables',
    format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC (as its owner)', current_database())
FROM reader WHERE has_database_privilege(reader.oid, current_database(), 'TEMPORARY')
UNION ALL
SELECT 'may make schemas', format('REVOKE CREATE ON DATABASE %I FROM PUBLIC, monitor_reader', current_database())
FROM reader WHERE has_database_privilege(reader.oid, current_database(), 'CREATE')
UNION ALL
SELECT 'may make tables in schema ' || n.nspname,
    format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC, monitor_reader (as its owner)', n.nspname)
FROM pg_namespace AS n, reader
WHERE n.nspname !~ '^pg_' AND has_schema_privilege(reader.oid, n.oid, 'CREATE')
UNION ALL
SELECT 'may write to ' || c.oid::regclass,
    format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON %s FROM PUBLIC, monitor_reader', c.oid::regclass)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace, reader
WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND has_table_privilege(reader.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
    AND NOT (SELECT rolsuper FROM reader)
ORDER BY 1
