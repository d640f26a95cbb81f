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
    o.finish, o.source_count, o.source_best_score, o.source_newest_at,
    (o.cost_usd * 1000 / NULLIF(o.prompt_tokens::bigint + o.answer_tokens, 0))::numeric(20, 12)
        AS cost_per_1k_tokens_usd,
    (report.rate(o.rates, 'input') / 1000)::numeric(20, 12) AS list_input_per_1k_tokens_usd,
    (report.rate(o.rates, 'output') / 1000)::numeric(20, 12) AS list_output_per_1k_tokens_usd,
    report.list_cost(o.rates, o.prompt_tokens, o.answer_tokens, o.cached_tokens, o.cache_write_tokens,
        o.reasoning_tokens)::numeric(20, 12) AS list_cost_usd,
    (report.list_cost(o.rates, o.prompt_tokens, o.answer_tokens, o.cached_tokens, o.cache_write_tokens,
        o.reasoning_tokens) * 1000 / NULLIF(o.prompt_tokens::bigint + o.answer_tokens, 0))::numeric(20, 12)
        AS list_cost_per_1k_tokens_usd,
    o.derived_at,
    o.check_passed, o.check_failed
FROM observations AS o;

COMMENT ON COLUMN report.observations.check_passed IS 'Whether the answer met the expectations of its query; NULL: not checked';
COMMENT ON COLUMN report.observations.check_failed IS 'First failed check: its name and what is wrong; where check_passed is NULL: why there is no result; NULL: none failed';
