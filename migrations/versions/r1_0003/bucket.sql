-- Which bucket of a histogram a latency falls into: bucket b holds (g^(b-1), g^b] ms, g = 1.01/0.99.
CREATE FUNCTION report.bucket(ms double precision) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ceil(ln(greatest(ms, 0.001)) / ln(1.01::double precision / 0.99))::integer;

COMMENT ON FUNCTION report.bucket IS
'Bucket of a latency in ms. Each spans 2 %; any value in it lies within 1 % of report.bucket_ms';
