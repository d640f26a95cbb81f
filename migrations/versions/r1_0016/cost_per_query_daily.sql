CREATE OR REPLACE VIEW report.cost_per_query_daily AS
SELECT
    d.day, d.target, d.query, d.model,
    sum(d.answered)::integer AS answered,
    sum(d.priced)::integer AS priced,
    (sum(d.answered_usd) / NULLIF(sum(d.priced), 0))::numeric(20, 12) AS mean_usd,
    sum(d.usd)::numeric(20, 12) AS total_usd,
    bool_or(d.unpriced > 0) AS at_least,
    sum(d.prompt_tokens)::double precision / NULLIF(sum(d.counted), 0) AS prompt_tokens,
    sum(d.answer_tokens)::double precision / NULLIF(sum(d.counted), 0) AS answer_tokens,
    sum(d.answered_ranged)::integer AS ranged,
    (sum(d.answered_low_usd) / NULLIF(sum(d.answered_ranged), 0))::numeric(20, 12) AS mean_low_usd,
    (sum(d.answered_high_usd) / NULLIF(sum(d.answered_ranged), 0))::numeric(20, 12) AS mean_high_usd,
    sum(d.usd + d.low_usd)::numeric(20, 12) AS total_low_usd,
    sum(d.usd + d.high_usd)::numeric(20, 12) AS total_high_usd
FROM live_answers_days AS d
GROUP BY d.day, d.target, d.query, d.model;

COMMENT ON COLUMN report.cost_per_query_daily.total_usd IS 'Cost of every probe that has one, failed ones included, USD; ranges are in total_low_usd and total_high_usd';
COMMENT ON COLUMN report.cost_per_query_daily.at_least IS 'True: some probe brought text and has neither a price nor a whole range';
COMMENT ON COLUMN report.cost_per_query_daily.ranged IS 'Whole answers of unknown model, with a range instead of a cost, count';
COMMENT ON COLUMN report.cost_per_query_daily.mean_low_usd IS 'Mean low end of these, USD: on the cheapest declared model; NULL: there are none';
COMMENT ON COLUMN report.cost_per_query_daily.mean_high_usd IS 'Mean high end of these, USD: on the most expensive declared model; NULL: there are none';
COMMENT ON COLUMN report.cost_per_query_daily.total_low_usd IS 'total_usd and the low ends, USD';
COMMENT ON COLUMN report.cost_per_query_daily.total_high_usd IS 'total_usd and the high ends, USD';
