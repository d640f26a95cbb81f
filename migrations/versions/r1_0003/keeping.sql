-- What the worker's role may not do by itself: make and drop months, and delete what retention allows. Each of
-- these runs as the owner and does that one thing; nobody else deletes observations.

CREATE FUNCTION make_month(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    starts_at CONSTANT timestamptz := date_trunc('month', month::timestamp);
    ends_at CONSTANT timestamptz := starts_at + interval '1 month';
    name CONSTANT text := 'observations_' || to_char(starts_at, 'YYYY_MM');
    bounds CONSTANT text := format('FOR VALUES FROM (%L) TO (%L)', starts_at, ends_at);
    columns text;
BEGIN
    IF to_regclass('public.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    IF NOT EXISTS (SELECT FROM observations_default WHERE slot >= starts_at AND slot < ends_at) THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF observations %s', name, bounds);
        RETURN true;
    END IF;
    -- Rows came before their month was made: they move into it, or it could never be made.
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
    FROM pg_attribute
    WHERE attrelid = 'observations'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    ALTER TABLE observations DETACH PARTITION observations_default;
    EXECUTE format('CREATE TABLE %I PARTITION OF observations %s', name, bounds);
    EXECUTE format(
        'WITH moved AS (DELETE FROM observations_default WHERE slot >= $1 AND slot < $2 RETURNING *) '
        'INSERT INTO %I (%s) SELECT %s FROM moved', name, columns, columns) USING starts_at, ends_at;
    ALTER TABLE observations ATTACH PARTITION observations_default DEFAULT;
    RETURN true;
EXCEPTION WHEN duplicate_table THEN
    RETURN false;  -- another worker was quicker
END $$;

CREATE FUNCTION drop_old_months() RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    month text;
BEGIN
    FOR month IN
        SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid, report_state AS s
        WHERE i.inhparent = 'observations'::regclass AND c.relname ~ '^observations_\d{4}_\d{2}$'
            AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= s.raw_since
            AND s.raw_since < now() - interval '1 day'
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %I', month);
        RETURN NEXT month;
    END LOOP;
END $$;

CREATE FUNCTION forget_observations(most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH old AS (
        SELECT o.slot, o.id FROM observations AS o
        WHERE o.slot < (SELECT raw_since FROM report_state WHERE raw_since < now() - interval '1 day')
        LIMIT most
    ), gone AS (
        DELETE FROM observations AS o USING old WHERE o.slot = old.slot AND o.id = old.id RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

CREATE FUNCTION forget_excerpts(older_than interval, failed_older_than interval, most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH old AS (
        SELECT o.slot, o.id FROM observations AS o
        WHERE o.answer_excerpt IS NOT NULL AND o.slot < now() - older_than
            AND (o.outcome = 'answered' OR o.slot < now() - failed_older_than)
        LIMIT most
    ), gone AS (
        UPDATE observations AS o SET answer_excerpt = NULL FROM old
        WHERE o.slot = old.slot AND o.id = old.id RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

COMMENT ON FUNCTION make_month IS 'Makes the partition of a month, with its rows that lie in the default one; false: it is there';
COMMENT ON FUNCTION drop_old_months IS 'Drops months that lie wholly before report_state.raw_since; returns their names';
COMMENT ON FUNCTION forget_observations IS 'Deletes some observations before report_state.raw_since; returns how many';
COMMENT ON FUNCTION forget_excerpts IS 'Forgets some old answer excerpts, of failed probes later than of good ones; returns how many';

REVOKE EXECUTE ON FUNCTION make_month, drop_old_months, forget_observations, forget_excerpts FROM PUBLIC;
