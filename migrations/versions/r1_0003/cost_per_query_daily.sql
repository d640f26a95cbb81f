CREATE VIEW report.cost_per_query_daily AS
SELECT
    d.day, d.target, d.query, d.model,
    sum(d.answered)::integer AS answered,
    sum(d.priced)::integer AS priced,
    (sum(d.answered_usd) / NULLIF(sum(d.priced), 0))::numeric(20, 12) AS mean_usd,
    sum(d.usd)::numeric(20, 12) AS total_usd,
    bool_or(d.unpriced > 0) AS at_least,
    sum(d.prompt_tokens)::double precision / NULLIF(sum(d.counted), 0) AS prompt_tokens,
    sum(d.answer_tokens)::double precision / NULLIF(sum(d.counted), 0) AS answer_tokens
FROM live_answers_days AS d
GROUP BY d.day, d.target, d.query, d.model;

COMMENT ON VIEW report.cost_per_query_daily IS 'What each canned query costs on each model that answered it';
COMMENT ON COLUMN report.cost_per_query_daily.day IS 'Day in the configured zone';
COMMENT ON COLUMN report.cost_per_query_daily.target IS 'Name of the watched service';
COMMENT ON COLUMN report.cost_per_query_daily.query IS 'Id of the canned query';
COMMENT ON COLUMN report.cost_per_query_daily.model IS 'Who answered; NULL: nobody can tell';
COMMENT ON COLUMN report.cost_per_query_daily.answered IS 'Whole answers, count';
COMMENT ON COLUMN report.cost_per_query_daily.priced IS 'Of these, with a cost, count';
COMMENT ON COLUMN report.cost_per_query_daily.mean_usd IS 'Mean cost of a priced whole answer, USD; NULL: none has a price';
COMMENT ON COLUMN report.cost_per_query_daily.total_usd IS 'Cost of every probe that has one, failed ones included, USD';
COMMENT ON COLUMN report.cost_per_query_daily.at_least IS 'True: some probe brought text and has no price';
COMMENT ON COLUMN report.cost_per_query_daily.prompt_tokens IS 'Mean tokens of the question, system prompt included; NULL: not known';
COMMENT ON COLUMN report.cost_per_query_daily.answer_tokens IS 'Mean tokens of an answer; NULL: not known';
