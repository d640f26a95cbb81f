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
ALTER ROLE monitor_reader SET default_transaction_read_only = on;
ALTER ROLE monitor_reader SET statement_timeout = '30s';
ALTER ROLE monitor_reader SET idle_in_transaction_session_timeout = '5min';
ALTER ROLE monitor_reader SET search_path = report;
ALTER ROLE monitor_writer SET search_path = {schema};
