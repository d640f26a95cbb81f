-- How many of a histogram's samples lie above a limit. Samples in the limit's own bucket cannot be told apart.
CREATE FUNCTION report.share_above(histogram integer[], limit_ms double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT (sum(histogram[i][2]) FILTER (WHERE report.bucket_ms(histogram[i][1]) > limit_ms))::double precision
        / NULLIF(sum(histogram[i][2]), 0)
    FROM generate_subscripts(histogram, 1) AS i
$$;

COMMENT ON FUNCTION report.share_above IS
'Share, 0 to 1, of a histogram''s samples above a latency in ms; samples within 1 % of it may count on either side';
