CREATE FUNCTION set_aside_observations(own_worker text, ahead interval, skew interval) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH future AS (
        SELECT o.slot, o.id FROM observations AS o
        WHERE o.slot > now() - interval '1 day'
            AND greatest(o.slot, o.started_at) > now() + greatest(ahead, interval '10 seconds')
            AND (
                o.worker = own_worker
                OR o.recorded_at > now() + interval '10 seconds'
                OR greatest(o.slot, o.started_at) > now() + greatest(skew, interval '10 seconds')
            )
    ), gone AS (
        DELETE FROM observations AS o USING future WHERE o.slot = future.slot AND o.id = future.id RETURNING o.*
    ), aside AS (
        INSERT INTO misdated_observations (id, target, started_at, noticed_at, observation)
        SELECT id, target, started_at, now(), to_jsonb(gone) - 'fallback' FROM gone
        ON CONFLICT (id) DO NOTHING
    )
    SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION set_aside_observations IS
    'Moves observations dated in the future to misdated_observations; returns how many';
REVOKE EXECUTE ON FUNCTION set_aside_observations FROM PUBLIC;
