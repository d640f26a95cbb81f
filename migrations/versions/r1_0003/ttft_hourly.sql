CREATE VIEW report.ttft_hourly AS
SELECT
    l.hour, l.target, l.region, l.query,
    l.probes, l.good, l.bad, l.judged, l.degraded,
    l.ttft_min_ms, l.ttft_mean_ms, l.ttft_p50_ms, l.ttft_p90_ms, l.ttft_p95_ms, l.ttft_p99_ms, l.ttft_max_ms,
    l.ttft_histogram, l.rounds_expected, l.rounds_missed
FROM live_ttft_hours AS l;

COMMENT ON VIEW report.ttft_hourly IS 'TTFT by hour, region and canned query. Hours without samples are rows with NULL, for a week after the last sample';
COMMENT ON COLUMN report.ttft_hourly.hour IS 'Start of the hour, UTC';
COMMENT ON COLUMN report.ttft_hourly.target IS 'Name of the watched service';
COMMENT ON COLUMN report.ttft_hourly.region IS 'Where the probes were sent from';
COMMENT ON COLUMN report.ttft_hourly.query IS 'Id of the canned query';
COMMENT ON COLUMN report.ttft_hourly.probes IS 'Probes by schedule or on suspicion, count; 0: a gap';
COMMENT ON COLUMN report.ttft_hourly.good IS 'Probes that were answered, count';
COMMENT ON COLUMN report.ttft_hourly.bad IS 'Probes that failed, count; rate limits and our own shutdowns are neither good nor bad';
COMMENT ON COLUMN report.ttft_hourly.judged IS 'Samples the latencies are made of, count: with a TTFT, and stamps that are not degraded';
COMMENT ON COLUMN report.ttft_hourly.degraded IS 'Samples left out because their stamps are degraded, count';
COMMENT ON COLUMN report.ttft_hourly.ttft_min_ms IS 'Least TTFT, ms; NULL: no samples';
COMMENT ON COLUMN report.ttft_hourly.ttft_mean_ms IS 'Mean TTFT, ms; NULL: no samples';
COMMENT ON COLUMN report.ttft_hourly.ttft_p50_ms IS 'Median TTFT, ms, exact (percentile_cont over raw rows); NULL: no samples';
COMMENT ON COLUMN report.ttft_hourly.ttft_p90_ms IS '90th percentile of TTFT, ms, exact (percentile_cont over raw rows); NULL: no samples';
COMMENT ON COLUMN report.ttft_hourly.ttft_p95_ms IS '95th percentile of TTFT, ms, exact (percentile_cont over raw rows); NULL: no samples';
COMMENT ON COLUMN report.ttft_hourly.ttft_p99_ms IS '99th percentile of TTFT, ms, exact (percentile_cont over raw rows); NULL: no samples';
COMMENT ON COLUMN report.ttft_hourly.ttft_max_ms IS 'Greatest TTFT, ms; NULL: no samples';
COMMENT ON COLUMN report.ttft_hourly.ttft_histogram IS 'Samples by bucket of 2 %: add up with report.merge, read with report.percentile; NULL: no samples';
COMMENT ON COLUMN report.ttft_hourly.rounds_expected IS 'Rounds that were due, count; NULL: nobody said how often to ask. The same for every query';
COMMENT ON COLUMN report.ttft_hourly.rounds_missed IS 'Rounds not asked, or not asked whole, count; NULL: nobody can tell. The same for every query';
