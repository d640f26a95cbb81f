-- How many rounds of an interval are scheduled from one instant until before another: its multiples since 1970-01-01.
CREATE FUNCTION report.slots_between(since timestamptz, until timestamptz, every_s double precision) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT greatest(ceil(extract(epoch FROM until) / every_s) - ceil(extract(epoch FROM since) / every_s), 0)::bigint
$$;

COMMENT ON FUNCTION report.slots_between IS 'Scheduled rounds of an interval between two instants, count';
