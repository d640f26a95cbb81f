-- Run by the owner of the schema, after every migration: what each role may, and nothing else.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA report TO monitor_reader, monitor_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA report TO monitor_reader, monitor_writer;
GRANT USAGE ON SCHEMA public TO monitor_writer;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO monitor_writer;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO monitor_writer;
-- Observations are added, and only through their table. What was observed never changes; what is derived from it may be
-- derived again. Which schema this is, the owner decides.
REVOKE UPDATE ON observations FROM monitor_writer;
GRANT UPDATE (identity, model_detected, confidence, identity_reason, evidence, cost_usd, cost_source, cost_reason, rates,
    cost_low_usd, cost_high_usd)
    ON observations TO monitor_writer;
DO $$
DECLARE
    month regclass;
BEGIN
    FOR month IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'observations'::regclass LOOP
        EXECUTE 'REVOKE ALL ON ' || month || ' FROM monitor_writer';
    END LOOP;
END $$;
REVOKE INSERT, UPDATE ON alembic_version FROM monitor_writer;
-- What is computed is computed again; rounds and read-outs go with the raw rows.
GRANT DELETE ON identity_answers, rollups_hourly, rollups_daily, answers_hourly, answers_daily, models_hourly,
    models_daily, rollups_due, spend_hourly, spend_days, spend_target_days, slots, account_readings, receipts,
    misdated_observations
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
