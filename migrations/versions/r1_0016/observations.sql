CREATE OR REPLACE VIEW report.observations AS
SELECT
    o.slot, o.started_at, o.recorded_at, o.target, o.query, o.region, o.origin, o.id,
    o.outcome,
    CASE WHEN o.outcome NOT IN ('rate_limited', 'aborted') THEN o.outcome = 'answered' END AS good,
    o.error, o.http_status,
    o.ttft_ms,
    CASE WHEN o.stamp <> 'degraded' THEN o.ttft_ms END AS ttft_judged_ms,
    o.ttft_any_ms, o.ttfb_ms, o.total_ms, o.tpot_ms, o.dns_ms, o.connect_ms, o.tls_ms,
    o.stamp, o.lag_ms,
    o.model_detected, o.identity, o.fallback, o.confidence, o.identity_reason,
    o.model_disclosed, o.evidence, o.claims,
    o.cost_usd, o.cost_source, o.cost_reason, o.rates,
    o.prompt_tokens, o.answer_tokens, o.reasoning_tokens, o.cached_tokens,
    o.pieces, o.answer_chars, o.answer_sha256, o.answer_excerpt, o.faults,
    o.dialect, o.instrument, o.worker, o.config_hash, o.cache_write_tokens,
    o.cost_low_usd, o.cost_high_usd
FROM observations AS o;

COMMENT ON COLUMN report.observations.cost_reason IS 'Why there is no cost, or only a range; NULL: there is a cost';
COMMENT ON COLUMN report.observations.cost_low_usd IS 'Low end of the cost of an answer of unknown model, USD: on the cheapest declared model; NULL: cost_usd is known, or there is no range';
COMMENT ON COLUMN report.observations.cost_high_usd IS 'Its high end, USD: on the most expensive declared model; NULL where cost_low_usd is';
