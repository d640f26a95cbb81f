CREATE OR REPLACE VIEW report.models_daily AS
SELECT
    m.day, m.target, m.model, m.identity, m.heard,
    m.heard::double precision / NULLIF(sum(m.heard) OVER (PARTITION BY m.day, m.target), 0) AS share,
    m.answered, m.ttft_p50_ms, m.ttft_p95_ms, m.ttft_histogram,
    (m.answered_usd / NULLIF(m.priced, 0))::numeric(20, 12) AS mean_usd,
    m.priced,
    m.answered_usd::numeric(20, 12) AS priced_usd,
    m.priced_with_tokens,
    m.priced_with_tokens_usd::numeric(20, 12) AS priced_with_tokens_usd,
    m.priced_prompt_tokens,
    m.priced_answer_tokens,
    (m.priced_with_tokens_usd * 1000 / NULLIF(m.priced_prompt_tokens + m.priced_answer_tokens, 0))::numeric(20, 12)
        AS cost_per_1k_tokens_usd,
    m.listed_tokens,
    m.list_usd::numeric(20, 12) AS list_usd,
    (m.list_usd * 1000 / NULLIF(m.listed_tokens, 0))::numeric(20, 12) AS list_cost_per_1k_tokens_usd
FROM live_models_days AS m
WHERE m.heard > 0;

COMMENT ON COLUMN report.models_daily.priced IS 'Of answered, with a cost, count: the weight of mean_usd';
COMMENT ON COLUMN report.models_daily.priced_usd IS 'Cost of these, USD';
COMMENT ON COLUMN report.models_daily.priced_with_tokens IS 'Probes with a cost and both token counts, count: the weight of cost_per_1k_tokens_usd; 0: none, or the day was over and its raw rows gone before this was counted';
COMMENT ON COLUMN report.models_daily.priced_with_tokens_usd IS 'Cost of these, USD';
COMMENT ON COLUMN report.models_daily.priced_prompt_tokens IS 'Prompt tokens of these, sum';
COMMENT ON COLUMN report.models_daily.priced_answer_tokens IS 'Answer tokens of these, sum';
COMMENT ON COLUMN report.models_daily.cost_per_1k_tokens_usd IS 'Effective price, USD: priced_with_tokens_usd per 1,000 tokens; for several rows divide the sums; NULL: none';
COMMENT ON COLUMN report.models_daily.listed_tokens IS 'Tokens of these whose rates are known, sum';
COMMENT ON COLUMN report.models_daily.list_usd IS 'What listed_tokens cost at list price, USD';
COMMENT ON COLUMN report.models_daily.list_cost_per_1k_tokens_usd IS 'List price, USD: list_usd per 1,000 of listed_tokens; NULL: no rate is known';
