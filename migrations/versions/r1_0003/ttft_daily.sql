CREATE VIEW report.ttft_daily AS
SELECT
    l.day, l.target, l.region, l.query,
    l.probes, l.good, l.bad, l.judged, l.degraded,
    l.ttft_min_ms, l.ttft_mean_ms, l.ttft_p50_ms, l.ttft_p90_ms, l.ttft_p95_ms, l.ttft_p99_ms, l.ttft_max_ms,
    l.ttft_histogram, l.rounds_expected, l.rounds_missed
FROM live_ttft_days AS l;

COMMENT ON VIEW report.ttft_daily IS 'TTFT by day, region and canned query. Percentiles come from merged histograms, never from averages';
COMMENT ON COLUMN report.ttft_daily.day IS 'Day in the configured zone';
COMMENT ON COLUMN report.ttft_daily.target IS 'Name of the watched service';
COMMENT ON COLUMN report.ttft_daily.region IS 'Where the probes were sent from';
COMMENT ON COLUMN report.ttft_daily.query IS 'Id of the canned query';
COMMENT ON COLUMN report.ttft_daily.probes IS 'Probes by schedule or on suspicion, count; 0: a gap';
COMMENT ON COLUMN report.ttft_daily.good IS 'Probes that were answered, count';
COMMENT ON COLUMN report.ttft_daily.bad IS 'Probes that failed, count; rate limits and our own shutdowns are neither good nor bad';
COMMENT ON COLUMN report.ttft_daily.judged IS 'Samples the latencies are made of, count: with a TTFT, and stamps that are not degraded';
COMMENT ON COLUMN report.ttft_daily.degraded IS 'Samples left out because their stamps are degraded, count';
COMMENT ON COLUMN report.ttft_daily.ttft_min_ms IS 'Least TTFT, ms; NULL: no samples';
COMMENT ON COLUMN report.ttft_daily.ttft_mean_ms IS 'Mean TTFT, ms; NULL: no samples';
COMMENT ON COLUMN report.ttft_daily.ttft_p50_ms IS 'Median TTFT, ms, within 1 % (merged histograms); NULL: no samples';
COMMENT ON COLUMN report.ttft_daily.ttft_p90_ms IS '90th percentile of TTFT, ms, within 1 % (merged histograms); NULL: no samples';
COMMENT ON COLUMN report.ttft_daily.ttft_p95_ms IS '95th percentile of TTFT, ms, within 1 % (merged histograms); NULL: no samples';
COMMENT ON COLUMN report.ttft_daily.ttft_p99_ms IS '99th percentile of TTFT, ms, within 1 % (merged histograms); NULL: no samples';
COMMENT ON COLUMN report.ttft_daily.ttft_max_ms IS 'Greatest TTFT, ms; NULL: no samples';
COMMENT ON COLUMN report.ttft_daily.ttft_histogram IS 'Samples by bucket of 2 %: add up with report.merge, read with report.percentile; NULL: no samples';
COMMENT ON COLUMN report.ttft_daily.rounds_expected IS 'Rounds that were due, count; NULL: nobody said how often to ask. The same for every query';
COMMENT ON COLUMN report.ttft_daily.rounds_missed IS 'Rounds not asked, or not asked whole, count; NULL: nobody can tell. The same for every query';
