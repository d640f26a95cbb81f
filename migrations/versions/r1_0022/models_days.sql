-- Answers and latencies of hours added up to days of the zone.
CREATE FUNCTION report.models_days(since date, until date) RETURNS TABLE (
    day date, target text, model text, identity text,
    heard integer, answered integer, priced integer, answered_usd numeric,
    ttft_histogram integer[], ttft_p50_ms double precision, ttft_p95_ms double precision,
    priced_with_tokens integer, priced_with_tokens_usd numeric,
    priced_prompt_tokens bigint, priced_answer_tokens bigint, listed_tokens bigint, list_usd numeric
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET jit = off AS $$
WITH settings AS MATERIALIZED (
    SELECT zone, since::timestamp AT TIME ZONE zone AS starts_at, until::timestamp AT TIME ZONE zone AS ends_at
    FROM report_state
), days AS MATERIALIZED (
    SELECT
        (h.hour AT TIME ZONE (SELECT zone FROM settings))::date AS day, h.target, h.model, h.identity,
        sum(h.heard)::integer AS heard, sum(h.answered)::integer AS answered, sum(h.priced)::integer AS priced,
        sum(h.answered_usd) AS answered_usd, report.merge(h.ttft_histogram) AS histogram,
        sum(h.priced_with_tokens)::integer AS priced_with_tokens, sum(h.priced_with_tokens_usd) AS priced_with_tokens_usd,
        sum(h.priced_prompt_tokens)::bigint AS priced_prompt_tokens, sum(h.priced_answer_tokens)::bigint AS priced_answer_tokens,
        sum(h.listed_tokens)::bigint AS listed_tokens, sum(h.list_usd) AS list_usd
    FROM live_models_hours AS h
    WHERE h.hour >= (SELECT starts_at FROM settings) AND h.hour < (SELECT ends_at FROM settings)
    GROUP BY 1, 2, 3, 4
)
SELECT
    d.day, d.target, d.model, d.identity, d.heard, d.answered, d.priced, d.answered_usd,
    d.histogram, report.percentile(d.histogram, 0.5), report.percentile(d.histogram, 0.95),
    d.priced_with_tokens, d.priced_with_tokens_usd, d.priced_prompt_tokens, d.priced_answer_tokens,
    d.listed_tokens, d.list_usd
FROM days AS d
$$;

COMMENT ON FUNCTION report.models_days IS
'Answers and latencies by day and model from one day up to another, added up from hours';
