-- Run by the owner of the schema, after every migration: what each role may, and nothing else.
REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC;
GRANT USAGE ON SCHEMA report TO monitor_reader, monitor_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA report TO monitor_reader, monitor_writer;
-- Views that a migration recreates are readable at once, also before this is run again.
ALTER DEFAULT PRIVILEGES IN SCHEMA report GRANT SELECT ON TABLES TO monitor_reader, monitor_writer;
GRANT USAGE ON SCHEMA {schema} TO monitor_writer;
-- Our tables with their sequences, and the views over them. Other programs may have tables in this schema, too.
DO $$
DECLARE
    ours name[] := ARRAY[{tables}];
    one regclass;
BEGIN
    FOR one IN
        SELECT c.oid FROM pg_class AS c
        WHERE c.relnamespace = '{schema}'::regnamespace AND c.relname = ANY (ours)
    LOOP
        EXECUTE 'GRANT SELECT, INSERT, UPDATE ON ' || one || ' TO monitor_writer';
    END LOOP;
    FOR one IN
        SELECT DISTINCT s.oid FROM pg_class AS s
        JOIN pg_depend AS d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass
        JOIN pg_class AS t ON t.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
        WHERE s.relkind = 'S' AND d.deptype IN ('a', 'i')
            AND t.relnamespace = '{schema}'::regnamespace AND t.relname = ANY (ours)
    LOOP
        EXECUTE 'GRANT USAGE ON SEQUENCE ' || one || ' TO monitor_writer';
    END LOOP;
    FOR one IN
        SELECT DISTINCT v.oid FROM pg_class AS v
        JOIN pg_rewrite AS r ON r.ev_class = v.oid
        JOIN pg_depend AS d ON d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class AS t ON t.oid = d.refobjid
        WHERE v.relkind = 'v' AND v.relnamespace = '{schema}'::regnamespace
            AND t.relnamespace = '{schema}'::regnamespace AND t.relname = ANY (ours)
            AND pg_has_role(v.relowner, 'USAGE')
    LOOP
        EXECUTE 'GRANT SELECT ON ' || one || ' TO monitor_writer';
    END LOOP;
END $$;
-- Observations are added, and only through their table. What was observed never changes; what is derived from it may be
-- derived again. Which schema this is, the owner decides.
REVOKE UPDATE ON observations FROM monitor_writer;
GRANT UPDATE (identity, model_detected, confidence, identity_reason, evidence, cost_usd, cost_source, cost_reason, rates,
    cost_low_usd, cost_high_usd, derived_at)
    ON observations TO monitor_writer;
DO $$
DECLARE
    month regclass;
BEGIN
    FOR month IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'observations'::regclass LOOP
        EXECUTE 'REVOKE ALL ON ' || month || ' FROM monitor_writer';
    END LOOP;
END $$;
GRANT SELECT ON monitor_alembic_version TO monitor_writer;
-- What is computed is computed again; rounds and read-outs go with the raw rows.
GRANT DELETE ON identity_answers, rollups_hourly, rollups_daily, answers_hourly, answers_daily, models_hourly,
    models_daily, rollups_due, spend_hourly, spend_days, spend_target_days, slots, account_readings, receipts,
    model_statistics, model_list_doubts,
    misdated_observations, clock_readings
    TO monitor_writer;
GRANT EXECUTE ON FUNCTION make_month, drop_old_months, forget_observations, forget_excerpts, set_aside_observations
    TO monitor_writer;
-- Everybody may make temporary tables, by Postgres' default, and they fill the disk like others. Those who are here already
-- keep that right, which other programs may rely on; ours have no use for it.
DO $$
DECLARE
    other name;
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_database AS d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
        WHERE d.datname = current_database() AND a.grantee = 0 AND a.privilege_type = 'TEMPORARY'
            AND pg_has_role(d.datdba, 'USAGE')
    ) THEN
        RETURN;
    END IF;
    FOR other IN
        SELECT rolname FROM pg_roles
        WHERE rolname !~ '^pg_' AND NOT rolsuper AND rolname NOT IN ('monitor_reader', 'monitor_writer')
    LOOP
        EXECUTE 'GRANT TEMPORARY ON DATABASE ' || quote_ident(current_database()) || ' TO ' || quote_ident(other);
    END LOOP;
    EXECUTE 'REVOKE TEMPORARY ON DATABASE ' || quote_ident(current_database()) || ' FROM PUBLIC';
END $$;
-- Everybody may store large objects, and they fill the disk like others. Only a superuser can change that; where none
-- migrates, docs/sql.md says what to run. Those who are here already keep the right, as above.
DO $$
DECLARE
    maker regprocedure;
    other name;
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RETURN;
    END IF;
    FOR maker IN
        SELECT p.oid FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND a.grantee = 0
            AND p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_import')
    LOOP
        FOR other IN
            SELECT rolname FROM pg_roles
            WHERE rolname !~ '^pg_' AND NOT rolsuper AND rolname NOT IN ('monitor_reader', 'monitor_writer')
        LOOP
            EXECUTE 'GRANT EXECUTE ON FUNCTION ' || maker || ' TO ' || quote_ident(other);
        END LOOP;
        EXECUTE 'REVOKE EXECUTE ON FUNCTION ' || maker || ' FROM PUBLIC';
    END LOOP;
END $$;
