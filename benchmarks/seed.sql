-- One day of observations and rounds, made in the database: ten targets, four queries, one region. One answer in
-- twenty is the fallback's, one probe in two hundred fails, latencies are lognormal around 900 ms. Rows older than
-- 90 days, which no measured range reads, carry no evidence, claims, rates and chunk lengths: half as much disk.
WITH probe AS (
    SELECT s.slot, 'target-' || t.n AS target, q.id AS query,
        random() < 0.05 AS fell, random() < 0.005 AS failed, s.slot > now() - interval '91 days' AS recent,
        exp(ln(900) + 0.3 * random_normal()) AS ttft
    FROM generate_series(%(starts_at)s::timestamptz, %(ends_at)s::timestamptz - interval '1 microsecond',
            %(every)s::interval) AS s (slot),
        generate_series(1, 10) AS t (n),
        unnest(ARRAY['hello', 'hi', 'kbli', 'who']) AS q (id)
), rounds AS (
    INSERT INTO slots (target, region, slot, worker, claimed_at, finished_at)
    SELECT DISTINCT target, 'local', slot, 'w1', slot, slot + interval '8 seconds' FROM probe
    ON CONFLICT DO NOTHING
)
INSERT INTO observations (
    id, target, query, origin, region, worker, slot, started_at, recorded_at, outcome, error, http_status,
    dialect, instrument, config_hash, stamp, lag_ms, connect_ms, ttfb_ms, ttft_ms, ttft_any_ms, total_ms, tpot_ms,
    pieces, chunk_lengths, answer_chars, answer_sha256, answer_excerpt, prompt_tokens, answer_tokens,
    model_detected, identity, confidence, identity_reason, evidence, claims, cost_usd, cost_source, rates, faults
)
SELECT
    gen_random_uuid(), target, query, 'round', 'local', 'w1', slot, slot + interval '1 second',
    slot + interval '4 seconds',
    CASE WHEN failed THEN 'truncated' ELSE 'answered' END,
    CASE WHEN failed THEN 'the connection ended without the end' END, 200,
    'bali_zero', 1, '0123456789ab', 'kernel', 0.1, 12, 90,
    CASE WHEN NOT failed THEN ttft END, CASE WHEN NOT failed THEN ttft END, CASE WHEN NOT failed THEN ttft + 700 END, 12.5,
    CASE WHEN failed THEN 0 ELSE 9 END, CASE WHEN recent THEN '{12,9,14,11,8,13,10,9,12}'::int[] ELSE '{}' END, 98,
    CASE WHEN recent THEN repeat('f', 64) END,
    CASE WHEN slot > now() - interval '7 days' THEN repeat('An answer of some words. ', 4) END, 690, 60,
    CASE WHEN failed THEN NULL WHEN fell THEN 'anthropic/claude-haiku-4-5' ELSE 'meta-llama/llama-4-scout' END,
    CASE WHEN failed THEN 'unknown' WHEN fell THEN 'fallback' ELSE 'expected' END, 0.98,
    'the response names its model',
    CASE WHEN recent
        THEN '[{"kind": "field", "nats": -4.6, "claim": "meta-llama/llama-4-scout", "detail": "model"}]'::jsonb
        ELSE '[]' END,
    CASE WHEN recent THEN '[{"kind": "field", "value": "meta-llama/llama-4-scout", "source": "model"}]'::jsonb ELSE '[]' END,
    CASE WHEN failed THEN NULL WHEN fell THEN 0.00099 ELSE 0.00015 END,
    CASE WHEN NOT failed THEN 'reported' END,
    CASE WHEN recent
        THEN '{"input": "0.20", "output": "0.20", "model": "meta-llama/llama-4-scout", "source": "operators"}'::jsonb ELSE '{}' END,
    '{}'
FROM probe
