CREATE VIEW report.cost_by_region_daily AS
SELECT
    d.day, d.target, d.region, d.query, d.model,
    sum(d.probes)::integer AS probes,
    sum(d.answered)::integer AS answered,
    sum(d.priced)::integer AS priced,
    (sum(d.answered_usd) / NULLIF(sum(d.priced), 0))::numeric(20, 12) AS mean_usd,
    sum(d.usd)::numeric(20, 12) AS total_usd,
    bool_or(d.unpriced > 0) AS at_least,
    sum(d.usd + d.low_usd)::numeric(20, 12) AS total_low_usd,
    sum(d.usd + d.high_usd)::numeric(20, 12) AS total_high_usd,
    sum(d.priced_with_tokens)::integer AS priced_with_tokens,
    sum(d.priced_with_tokens_usd)::numeric(20, 12) AS priced_with_tokens_usd,
    sum(d.priced_prompt_tokens)::bigint AS priced_prompt_tokens,
    sum(d.priced_answer_tokens)::bigint AS priced_answer_tokens,
    (sum(d.priced_with_tokens_usd) * 1000 / NULLIF(sum(d.priced_prompt_tokens + d.priced_answer_tokens), 0))::numeric(20, 12)
        AS cost_per_1k_tokens_usd,
    sum(d.listed_tokens)::bigint AS listed_tokens,
    sum(d.list_usd)::numeric(20, 12) AS list_usd,
    (sum(d.list_usd) * 1000 / NULLIF(sum(d.listed_tokens), 0))::numeric(20, 12) AS list_cost_per_1k_tokens_usd
FROM live_answers_days AS d
GROUP BY d.day, d.target, d.region, d.query, d.model;

COMMENT ON VIEW report.cost_by_region_daily IS 'What each canned query costs on each model that answered it, by the region that probed';
COMMENT ON COLUMN report.cost_by_region_daily.day IS 'Day in the configured zone';
COMMENT ON COLUMN report.cost_by_region_daily.target IS 'Name of the watched service';
COMMENT ON COLUMN report.cost_by_region_daily.region IS 'Where the probes were sent from; NULL: the day was over and its raw rows gone before regions were counted';
COMMENT ON COLUMN report.cost_by_region_daily.query IS 'Id of the canned query';
COMMENT ON COLUMN report.cost_by_region_daily.model IS 'Who answered; NULL: not identified';
COMMENT ON COLUMN report.cost_by_region_daily.probes IS 'Probes, failed ones included, count';
COMMENT ON COLUMN report.cost_by_region_daily.answered IS 'Whole answers, count';
COMMENT ON COLUMN report.cost_by_region_daily.priced IS 'Of these, with a cost, count';
COMMENT ON COLUMN report.cost_by_region_daily.mean_usd IS 'Mean cost of a priced whole answer, USD; NULL: none has a price';
COMMENT ON COLUMN report.cost_by_region_daily.total_usd IS 'Cost of every probe that has one, failed ones included, USD; ranges are in total_low_usd and total_high_usd';
COMMENT ON COLUMN report.cost_by_region_daily.at_least IS 'True: some probe brought text and has neither a price nor a whole range';
COMMENT ON COLUMN report.cost_by_region_daily.total_low_usd IS 'total_usd and the low ends, USD';
COMMENT ON COLUMN report.cost_by_region_daily.total_high_usd IS 'total_usd and the high ends, USD';
COMMENT ON COLUMN report.cost_by_region_daily.priced_with_tokens IS 'Probes with a cost and both token counts, count: the weight of cost_per_1k_tokens_usd; 0: none, or the day was over and its raw rows gone before this was counted';
COMMENT ON COLUMN report.cost_by_region_daily.priced_with_tokens_usd IS 'Cost of these, USD';
COMMENT ON COLUMN report.cost_by_region_daily.priced_prompt_tokens IS 'Prompt tokens of these, sum';
COMMENT ON COLUMN report.cost_by_region_daily.priced_answer_tokens IS 'Answer tokens of these, sum';
COMMENT ON COLUMN report.cost_by_region_daily.cost_per_1k_tokens_usd IS 'Effective price, USD: priced_with_tokens_usd per 1,000 tokens; for several rows divide the sums; NULL: none';
COMMENT ON COLUMN report.cost_by_region_daily.listed_tokens IS 'Tokens of these whose rates are known, sum';
COMMENT ON COLUMN report.cost_by_region_daily.list_usd IS 'What listed_tokens cost at list price, USD';
COMMENT ON COLUMN report.cost_by_region_daily.list_cost_per_1k_tokens_usd IS 'List price, USD: list_usd per 1,000 of listed_tokens; NULL: no rate is known';
