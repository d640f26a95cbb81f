-- Who answered and how fast, by hour, straight from raw rows.
CREATE FUNCTION report.models_hours(since timestamptz, until timestamptz) RETURNS TABLE (
    hour timestamptz, target text, model text, identity text,
    heard integer, answered integer, priced integer, answered_usd numeric,
    ttft_histogram integer[], ttft_p50_ms double precision, ttft_p95_ms double precision,
    priced_with_tokens integer, priced_with_tokens_usd numeric,
    priced_prompt_tokens bigint, priced_answer_tokens bigint, listed_tokens bigint, list_usd numeric
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET jit = off AS $$
WITH settings AS MATERIALIZED (
    SELECT zone FROM report_state
), seen AS MATERIALIZED (
    SELECT
        report.hour_of(o.slot, (SELECT zone FROM settings)) AS hour,
        o.target, o.model_detected AS model, o.identity, o.cost_usd,
        o.cost_usd IS NOT NULL AND o.prompt_tokens::bigint + o.answer_tokens > 0 AS with_tokens,
        CASE WHEN o.cost_usd IS NOT NULL AND o.prompt_tokens::bigint + o.answer_tokens > 0 THEN
            report.list_cost(o.rates, o.prompt_tokens, o.answer_tokens, o.cached_tokens, o.cache_write_tokens,
                o.reasoning_tokens)
        END AS list_usd,
        o.prompt_tokens, o.answer_tokens,
        o.outcome = 'answered' AS whole,
        o.origin <> 'manual' AND (o.pieces > 0 OR o.identity <> 'unknown') AS heard,
        CASE WHEN o.stamp <> 'degraded' AND o.origin <> 'manual' THEN o.ttft_ms END AS ttft_ms
    FROM observations AS o
    WHERE o.slot >= since AND o.slot < until
), histograms AS (
    SELECT b.hour, b.target, b.model, b.identity,
        array_agg(ARRAY[b.bucket, b.samples] ORDER BY b.bucket) AS histogram
    FROM (
        SELECT s.hour, s.target, s.model, s.identity,
            report.bucket(s.ttft_ms) AS bucket, count(*)::integer AS samples
        FROM seen AS s
        WHERE s.ttft_ms IS NOT NULL
        GROUP BY 1, 2, 3, 4, 5
    ) AS b
    GROUP BY b.hour, b.target, b.model, b.identity
), figures AS (
    SELECT
        s.hour, s.target, s.model, s.identity,
        count(*) FILTER (WHERE s.heard)::integer AS heard,
        count(*) FILTER (WHERE s.whole)::integer AS answered,
        count(s.cost_usd) FILTER (WHERE s.whole)::integer AS priced,
        coalesce(sum(s.cost_usd) FILTER (WHERE s.whole), 0) AS answered_usd,
        count(*) FILTER (WHERE s.with_tokens)::integer AS priced_with_tokens,
        coalesce(sum(s.cost_usd) FILTER (WHERE s.with_tokens), 0) AS priced_with_tokens_usd,
        coalesce(sum(s.prompt_tokens) FILTER (WHERE s.with_tokens), 0) AS priced_prompt_tokens,
        coalesce(sum(s.answer_tokens) FILTER (WHERE s.with_tokens), 0) AS priced_answer_tokens,
        coalesce(sum(s.prompt_tokens::bigint + s.answer_tokens) FILTER (WHERE s.list_usd IS NOT NULL), 0)::bigint AS listed_tokens,
        coalesce(sum(s.list_usd), 0) AS list_usd
    FROM seen AS s
    GROUP BY s.hour, s.target, s.model, s.identity
)
SELECT
    f.hour, f.target, f.model, f.identity, f.heard, f.answered, f.priced, f.answered_usd,
    g.histogram, report.percentile(g.histogram, 0.5), report.percentile(g.histogram, 0.95),
    f.priced_with_tokens, f.priced_with_tokens_usd, f.priced_prompt_tokens, f.priced_answer_tokens,
    f.listed_tokens, f.list_usd
FROM figures AS f
LEFT JOIN histograms AS g
    ON g.hour = f.hour AND g.target = f.target AND g.identity = f.identity AND g.model IS NOT DISTINCT FROM f.model
$$;

COMMENT ON FUNCTION report.models_hours IS
'Answers and latencies by hour and model between two instants, straight from raw rows';
