-- Who answered, and for how much, by hour, straight from raw rows.
CREATE FUNCTION report.answers_hours(since timestamptz, until timestamptz) RETURNS TABLE (
    hour timestamptz, target text, query text, model text, identity text,
    heard integer, answered integer, priced integer, answered_usd numeric,
    probes integer, usd numeric, unpriced integer,
    counted integer, prompt_tokens bigint, answer_tokens bigint,
    ranged integer, low_usd numeric, high_usd numeric,
    answered_ranged integer, answered_low_usd numeric, answered_high_usd numeric
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
        o.pieces > 0 AND CASE WHEN o.cost_high_usd IS NULL THEN o.cost_usd IS NULL
            ELSE o.rates ? 'without_price' END AS unpriced,
        o.cost_low_usd, o.cost_high_usd,
        o.prompt_tokens, o.answer_tokens
    FROM observations AS o
    WHERE o.slot >= since AND o.slot < until
)
SELECT
    s.hour, s.target, s.query, s.model, s.identity,
    count(*) FILTER (WHERE s.heard)::integer,
    count(*) FILTER (WHERE s.whole)::integer,
    count(s.cost_usd) FILTER (WHERE s.whole)::integer,
    coalesce(sum(s.cost_usd) FILTER (WHERE s.whole), 0),
    count(*)::integer,
    coalesce(sum(s.cost_usd), 0),
    count(*) FILTER (WHERE s.unpriced)::integer,
    count(*) FILTER (WHERE s.whole AND s.prompt_tokens IS NOT NULL AND s.answer_tokens IS NOT NULL)::integer,
    coalesce(sum(s.prompt_tokens) FILTER (WHERE s.whole AND s.answer_tokens IS NOT NULL), 0),
    coalesce(sum(s.answer_tokens) FILTER (WHERE s.whole AND s.prompt_tokens IS NOT NULL), 0),
    count(s.cost_high_usd)::integer, coalesce(sum(s.cost_low_usd), 0), coalesce(sum(s.cost_high_usd), 0),
    count(s.cost_high_usd) FILTER (WHERE s.whole)::integer,
    coalesce(sum(s.cost_low_usd) FILTER (WHERE s.whole), 0),
    coalesce(sum(s.cost_high_usd) FILTER (WHERE s.whole), 0)
FROM seen AS s
GROUP BY s.hour, s.target, s.query, s.model, s.identity
$$;

COMMENT ON FUNCTION report.answers_hours IS
'Answers and costs by hour, query and model between two instants, straight from raw rows';
