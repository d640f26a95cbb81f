-- Histograms added up. The state is dense, from a microsecond to two days in 1,300 places: adding to it costs as
-- much as the histogram added is long, however much was added before.
CREATE FUNCTION report.merge_step(state integer[], histogram integer[]) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    place integer;
BEGIN
    IF histogram IS NULL THEN
        RETURN state;
    END IF;
    IF state IS NULL THEN
        state := array_fill(0, ARRAY[1300]);
    END IF;
    FOR i IN 1 .. array_length(histogram, 1) LOOP
        place := least(greatest(histogram[i][1] + 350, 1), 1300);
        state[place] := state[place] + histogram[i][2];
    END LOOP;
    RETURN state;
END $$;

CREATE FUNCTION report.merge_end(state integer[]) RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(ARRAY[place::integer - 350, samples] ORDER BY place)
    FROM unnest(state) WITH ORDINALITY AS dense (samples, place)
    WHERE samples > 0
$$;

CREATE AGGREGATE report.merge(histogram integer[]) (
    SFUNC = report.merge_step,
    STYPE = integer[],
    FINALFUNC = report.merge_end
);

COMMENT ON FUNCTION report.merge_step IS 'Part of the aggregate report.merge';
COMMENT ON FUNCTION report.merge_end IS 'Part of the aggregate report.merge';
COMMENT ON AGGREGATE report.merge(integer[]) IS
'Adds up histograms, exactly: the histogram of all their samples. NULL of none';
