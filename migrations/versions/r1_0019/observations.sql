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
    o.cost_low_usd, o.cost_high_usd,
    o.finish, o.source_count, o.source_best_score, o.source_newest_at
FROM observations AS o;

COMMENT ON COLUMN report.observations.finish IS 'Why the answer ended: stop, length, content_filter, tool_calls, error or other; NULL: the stream says nothing';
COMMENT ON COLUMN report.observations.source_count IS 'Retrieved sources that the stream lists; NULL: the protocol lists none';
COMMENT ON COLUMN report.observations.source_best_score IS 'Best score of these, in the service''s own measure; NULL: none has a score';
COMMENT ON COLUMN report.observations.source_newest_at IS 'Newest date of these; NULL: none has a date';
