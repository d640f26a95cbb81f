-- Who answered, and for how much, by hour, straight from raw rows.
CREATE FUNCTION report.answers_hours(since timestamptz, until timestamptz) RETURNS TABLE (
    hour timestamptz, target text, query text, model text, identity text,
    heard integer, answered integer, priced integer, answered_usd numeric,
    probes integer, usd numeric, unpriced integer,
    counted integer, prompt_tokens bigint, answer_tokens bigint, ttft_histogram integer[]
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
WITH settings AS MATERIALIZED (
    SELECT zone FROM report_state
), seen AS MATERIALIZED (
    SELECT
        date_trunc('hour', o.slot, (SELECT zone FROM settings)) AS hour,
        o.target, o.query, o.model_detected AS model, o.identity, o.cost_usd,
        o.outcome = 'answered' AS whole,
        o.origin <> 'manual' AND (o.pieces > 0 OR o.identity <> 'unknown') AS heard,
        o.pieces > 0 AS spoke,
        o.prompt_tokens, o.answer_tokens,
        CASE WHEN o.stamp <> 'degraded' AND o.origin <> 'manual' THEN o.ttft_ms END AS ttft_ms
    FROM observations AS o
    WHERE o.slot >= since AND o.slot < until
), histograms AS (
    SELECT b.hour, b.target, b.query, b.model, b.identity,
        array_agg(ARRAY[b.bucket, b.samples] ORDER BY b.bucket) AS histogram
    FROM (
        SELECT s.hour, s.target, s.query, s.model, s.identity,
            report.bucket(s.ttft_ms) AS bucket, count(*)::integer AS samples
        FROM seen AS s
        WHERE s.ttft_ms IS NOT NULL
        GROUP BY 1, 2, 3, 4, 5, 6
    ) AS b
    GROUP BY b.hour, b.target, b.query, b.model, b.identity
), figures AS (
    SELECT
        s.hour, s.target, s.query, s.model, s.identity,
        count(*) FILTER (WHERE s.heard)::integer AS heard,
        count(*) FILTER (WHERE s.whole)::integer AS answered,
        count(s.cost_usd) FILTER (WHERE s.whole)::integer AS priced,
        coalesce(sum(s.cost_usd) FILTER (WHERE s.whole), 0) AS answered_usd,
        count(*)::integer AS probes,
        coalesce(sum(s.cost_usd), 0) AS usd,
        count(*) FILTER (WHERE s.cost_usd IS NULL AND s.spoke)::integer AS unpriced,
        count(*) FILTER (WHERE s.whole AND s.prompt_tokens IS NOT NULL AND s.answer_tokens IS NOT NULL)::integer
            AS counted,
        coalesce(sum(s.prompt_tokens) FILTER (WHERE s.whole AND s.answer_tokens IS NOT NULL), 0) AS prompt_tokens,
        coalesce(sum(s.answer_tokens) FILTER (WHERE s.whole AND s.prompt_tokens IS NOT NULL), 0) AS answer_tokens
    FROM seen AS s
    GROUP BY s.hour, s.target, s.query, s.model, s.identity
)
SELECT f.*, g.histogram
FROM figures AS f
LEFT JOIN histograms AS g
    ON g.hour = f.hour AND g.target = f.target AND g.query = f.query
    AND g.identity = f.identity AND g.model IS NOT DISTINCT FROM f.model
$$;

COMMENT ON FUNCTION report.answers_hours IS
'Answers and costs by hour, query and model between two instants, straight from raw rows';
