SELECT a.pid, coalesce(a.usename, '?') AS role, coalesce(a.application_name, '') AS program,
    extract(epoch FROM clock_timestamp() - min(a.xact_start))::double precision AS since_s
FROM pg_locks AS l
JOIN pg_stat_activity AS a USING (pid)
JOIN pg_class AS c ON c.oid = l.relation
WHERE l.locktype = 'relation' AND l.granted AND a.pid <> pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND c.relnamespace IN (SELECT oid FROM pg_namespace
                           WHERE nspname IN ('report', current_schema()))
GROUP BY a.pid, a.usename, a.application_name
ORDER BY a.pid
