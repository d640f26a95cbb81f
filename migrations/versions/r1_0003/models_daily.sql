CREATE VIEW report.models_daily AS
SELECT
    m.day, m.target, m.model, m.identity, m.heard,
    m.heard::double precision / NULLIF(sum(m.heard) OVER (PARTITION BY m.day, m.target), 0) AS share,
    m.answered, m.ttft_p50_ms, m.ttft_p95_ms, m.ttft_histogram,
    (m.answered_usd / NULLIF(m.priced, 0))::numeric(20, 12) AS mean_usd
FROM live_models_days AS m
WHERE m.heard > 0;

COMMENT ON VIEW report.models_daily IS 'Who answered each day: one row a model and judgement of identity';
COMMENT ON COLUMN report.models_daily.day IS 'Day in the configured zone';
COMMENT ON COLUMN report.models_daily.target IS 'Name of the watched service';
COMMENT ON COLUMN report.models_daily.model IS 'Who answered; NULL: nobody can tell';
COMMENT ON COLUMN report.models_daily.identity IS 'expected, fallback, disputed, changed or unknown';
COMMENT ON COLUMN report.models_daily.heard IS 'Probes that brought answer text or a known identity, count; probes by hand left out';
COMMENT ON COLUMN report.models_daily.share IS 'Of everything heard of the target that day, 0 to 1';
COMMENT ON COLUMN report.models_daily.answered IS 'Probes answered whole, count; probes by hand included';
COMMENT ON COLUMN report.models_daily.ttft_p50_ms IS 'Median TTFT of this model, ms, within 1 %; NULL: no samples';
COMMENT ON COLUMN report.models_daily.ttft_p95_ms IS '95th percentile of this model''s TTFT, ms, within 1 %; NULL: no samples';
COMMENT ON COLUMN report.models_daily.ttft_histogram IS 'Samples by bucket of 2 %: add up with report.merge, read with report.percentile; NULL: no samples';
COMMENT ON COLUMN report.models_daily.mean_usd IS 'Mean cost of a whole answer by this model, USD; NULL: none has a price';
