-- Run by a role that may create roles. Neither role has a password yet: nobody can log in over a
-- network before somebody sets one (\password monitor_reader).
DO $$
BEGIN
    IF to_regrole('monitor_writer') IS NULL THEN
        CREATE ROLE monitor_writer LOGIN;
    END IF;
    IF to_regrole('monitor_reader') IS NULL THEN
        CREATE ROLE monitor_reader LOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- somebody else migrates another database of this server
END $$;
-- Sessions of readers must not take the last connections of the server, on which workers and migrations depend. A limit
-- that somebody set stays; the reader cannot change it.
DO $$
BEGIN
    IF (SELECT rolconnlimit FROM pg_roles WHERE rolname = 'monitor_reader') = -1 THEN
        ALTER ROLE monitor_reader CONNECTION LIMIT 20;
    END IF;
END $$;
-- Whoever migrates ends sessions of readers that hold up a migration, and belongs to their role for that.
DO $$
BEGIN
    IF NOT pg_has_role('monitor_reader', 'USAGE') THEN
        EXECUTE 'GRANT monitor_reader TO ' || quote_ident(current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;  -- somebody else made the role: `monitor migrate` names the sessions then
END $$;
-- Sorting spills to disk. Only a superuser may limit that, and only a superuser may lift it.
DO $$
BEGIN
    ALTER ROLE monitor_reader SET temp_file_limit = '2GB';
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END $$;
ALTER ROLE monitor_reader SET default_transaction_read_only = on;
ALTER ROLE monitor_reader SET statement_timeout = '30s';
ALTER ROLE monitor_reader SET idle_in_transaction_session_timeout = '5min';
ALTER ROLE monitor_reader SET search_path = report;
ALTER ROLE monitor_writer SET search_path = {schema};
