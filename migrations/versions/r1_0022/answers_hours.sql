-- Who answered, and for how much, by hour, straight from raw rows.
CREATE FUNCTION report.answers_hours(since timestamptz, until timestamptz) RETURNS TABLE (
    hour timestamptz, target text, query text, model text, identity text,
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
    SELECT zone FROM report_state
), seen AS MATERIALIZED (
    SELECT
        report.hour_of(o.slot, (SELECT zone FROM settings)) AS hour,
        o.target, o.region, o.query, o.model_detected AS model, o.identity, o.cost_usd,
        o.outcome = 'answered' AS whole,
        o.origin <> 'manual' AND (o.pieces > 0 OR o.identity <> 'unknown') AS heard,
        o.pieces > 0 AND CASE WHEN o.cost_high_usd IS NULL THEN o.cost_usd IS NULL
            ELSE o.rates ? 'without_price' END AS unpriced,
        o.cost_usd IS NOT NULL AND o.prompt_tokens::bigint + o.answer_tokens > 0 AS with_tokens,
        CASE WHEN o.cost_usd IS NOT NULL AND o.prompt_tokens::bigint + o.answer_tokens > 0 THEN
            report.list_cost(o.rates, o.prompt_tokens, o.answer_tokens, o.cached_tokens, o.cache_write_tokens,
                o.reasoning_tokens)
        END AS list_usd,
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
    coalesce(sum(s.cost_high_usd) FILTER (WHERE s.whole), 0),
    s.region,
    count(*) FILTER (WHERE s.with_tokens)::integer,
    coalesce(sum(s.cost_usd) FILTER (WHERE s.with_tokens), 0),
    coalesce(sum(s.prompt_tokens) FILTER (WHERE s.with_tokens), 0),
    coalesce(sum(s.answer_tokens) FILTER (WHERE s.with_tokens), 0),
    coalesce(sum(s.prompt_tokens::bigint + s.answer_tokens) FILTER (WHERE s.list_usd IS NOT NULL), 0)::bigint,
    coalesce(sum(s.list_usd), 0)
FROM seen AS s
GROUP BY s.hour, s.target, s.region, s.query, s.model, s.identity
$$;

COMMENT ON FUNCTION report.answers_hours IS
'Answers and costs by hour, region, query and model between two instants, straight from raw rows';
