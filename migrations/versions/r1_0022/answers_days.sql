-- Answers and costs of hours added up to days of the zone.
CREATE FUNCTION report.answers_days(since date, until date) RETURNS TABLE (
    day date, target text, query text, model text, identity text,
    heard integer, answered integer, priced integer, answered_usd numeric,
    probes integer, usd numeric, unpriced integer,
    counted integer, prompt_tokens bigint, answer_tokens bigint,
    ranged integer, low_usd numeric, high_usd numeric,
    answered_ranged integer, answered_low_usd numeric, answered_high_usd numeric,
    region text, priced_with_tokens integer, priced_with_tokens_usd numeric,
    priced_prompt_tokens bigint, priced_answer_tokens bigint, listed_tokens bigint, list_usd numeric
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET jit = off AS $$
WITH settings AS MATERIALIZED (
    SELECT zone, since::timestamp AT TIME ZONE zone AS starts_at, until::timestamp AT TIME ZONE zone AS ends_at
    FROM report_state
)
SELECT
    (h.hour AT TIME ZONE (SELECT zone FROM settings))::date, h.target, h.query, h.model, h.identity,
    sum(h.heard)::integer, sum(h.answered)::integer, sum(h.priced)::integer, sum(h.answered_usd),
    sum(h.probes)::integer, sum(h.usd), sum(h.unpriced)::integer,
    sum(h.counted)::integer, sum(h.prompt_tokens)::bigint, sum(h.answer_tokens)::bigint,
    sum(h.ranged)::integer, sum(h.low_usd), sum(h.high_usd),
    sum(h.answered_ranged)::integer, sum(h.answered_low_usd), sum(h.answered_high_usd),
    h.region,
    sum(h.priced_with_tokens)::integer, sum(h.priced_with_tokens_usd),
    sum(h.priced_prompt_tokens)::bigint, sum(h.priced_answer_tokens)::bigint,
    sum(h.listed_tokens)::bigint, sum(h.list_usd)
FROM live_answers_hours AS h
WHERE h.hour >= (SELECT starts_at FROM settings) AND h.hour < (SELECT ends_at FROM settings)
GROUP BY 1, 2, 3, 4, 5, h.region
$$;

COMMENT ON FUNCTION report.answers_days IS
'Answers and costs by day, region, query and model from one day up to another, added up from hours';
