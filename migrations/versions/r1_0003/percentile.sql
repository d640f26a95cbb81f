-- percentile_cont over a histogram: both neighbours of the rank are known within 1 %, so is what lies between.
CREATE FUNCTION report.percentile(histogram integer[], share double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    pair integer[];
    samples bigint := 0;
    passed bigint := 0;
    rank double precision;
    lower_ms double precision;
BEGIN
    IF share NOT BETWEEN 0 AND 1 THEN
        RAISE EXCEPTION 'a share lies between 0 and 1, not at %', share;
    END IF;
    FOREACH pair SLICE 1 IN ARRAY histogram LOOP
        samples := samples + pair[2];
    END LOOP;
    rank := share * (samples - 1);
    FOREACH pair SLICE 1 IN ARRAY histogram LOOP
        passed := passed + pair[2];
        IF lower_ms IS NULL AND passed > floor(rank) THEN
            lower_ms := report.bucket_ms(pair[1]);
        END IF;
        IF passed > ceil(rank) THEN
            RETURN lower_ms + (rank - floor(rank)) * (report.bucket_ms(pair[1]) - lower_ms);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION report.percentile IS
'Percentile in ms of a histogram, share from 0 to 1, within 1 % of percentile_cont over its samples; NULL of none';
