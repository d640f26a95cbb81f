-- The latency a bucket stands for: no value in the bucket is further away than 1 %.
CREATE FUNCTION report.bucket_ms(bucket integer) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 1.01 * (1.01::double precision / 0.99) ^ (bucket - 1);

COMMENT ON FUNCTION report.bucket_ms IS 'Latency in ms that a bucket of a histogram stands for, within 1 %';
