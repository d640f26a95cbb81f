CREATE VIEW report.savings_daily AS
SELECT
    p.day, p.target, p.answered, p.spent_usd, p.query_usd,
    p.expected_query_usd, p.fallback_query_usd, p.expected_is, p.fallback_is,
    (p.expected_query_usd * p.answered)::numeric(20, 12) AS all_expected_usd,
    (p.fallback_query_usd * p.answered)::numeric(20, 12) AS all_fallback_usd,
    (p.fallback_query_usd * p.answered - p.spent_usd)::numeric(20, 12) AS saved_usd,
    (p.spent_usd - p.expected_query_usd * p.answered)::numeric(20, 12) AS fallback_extra_usd,
    p.daily_queries,
    ((p.fallback_query_usd - p.query_usd) * p.daily_queries)::numeric(20, 12) AS traffic_saved_usd,
    ((p.query_usd - p.expected_query_usd) * p.daily_queries)::numeric(20, 12) AS traffic_fallback_extra_usd
FROM (
    SELECT
        d.day, d.target,
        sum(d.priced)::integer AS answered,
        sum(d.answered_usd)::numeric(20, 12) AS spent_usd,
        (sum(d.answered_usd) / NULLIF(sum(d.priced), 0))::numeric(20, 12) AS query_usd,
        coalesce(
            sum(d.answered_usd) FILTER (WHERE d.identity = 'expected')
                / NULLIF(sum(d.priced) FILTER (WHERE d.identity = 'expected'), 0),
            min(t.expected_usd)
        )::numeric(20, 12) AS expected_query_usd,
        coalesce(
            sum(d.answered_usd) FILTER (WHERE d.identity = 'fallback')
                / NULLIF(sum(d.priced) FILTER (WHERE d.identity = 'fallback'), 0),
            min(t.fallback_usd)
        )::numeric(20, 12) AS fallback_query_usd,
        CASE
            WHEN sum(d.priced) FILTER (WHERE d.identity = 'expected') > 0 THEN 'observed'
            WHEN min(t.expected_usd) IS NOT NULL THEN 'projected'
        END AS expected_is,
        CASE
            WHEN sum(d.priced) FILTER (WHERE d.identity = 'fallback') > 0 THEN 'observed'
            WHEN min(t.fallback_usd) IS NOT NULL THEN 'projected'
        END AS fallback_is,
        min(t.daily_queries) AS daily_queries
    FROM live_answers_days AS d
    LEFT JOIN report_targets AS t ON t.target = d.target
    GROUP BY d.day, d.target
) AS p
WHERE p.answered > 0;

COMMENT ON VIEW report.savings_daily IS 'What answers cost, and would have cost on the expected model alone, or on the fallback alone';
COMMENT ON COLUMN report.savings_daily.day IS 'Day in the configured zone';
COMMENT ON COLUMN report.savings_daily.target IS 'Name of the watched service';
COMMENT ON COLUMN report.savings_daily.answered IS 'Whole answers with a cost, count';
COMMENT ON COLUMN report.savings_daily.spent_usd IS 'What these cost, USD';
COMMENT ON COLUMN report.savings_daily.query_usd IS 'Mean cost of one of them, USD: what a query cost at the day''s mix of models';
COMMENT ON COLUMN report.savings_daily.expected_query_usd IS 'Cost of a query on the expected model, USD; see expected_is; NULL: nobody knows';
COMMENT ON COLUMN report.savings_daily.fallback_query_usd IS 'Cost of a query on the fallback, USD; see fallback_is; NULL: nobody knows';
COMMENT ON COLUMN report.savings_daily.expected_is IS 'observed: mean of the day''s answers; projected: from the price book as it is now; NULL: not known';
COMMENT ON COLUMN report.savings_daily.fallback_is IS 'observed: mean of the day''s answers; projected: from the price book as it is now; NULL: not known';
COMMENT ON COLUMN report.savings_daily.all_expected_usd IS 'What the answers would have cost on the expected model alone, USD; NULL: not known';
COMMENT ON COLUMN report.savings_daily.all_fallback_usd IS 'What the answers would have cost on the fallback alone, USD; NULL: not known';
COMMENT ON COLUMN report.savings_daily.saved_usd IS 'all_fallback_usd - spent_usd, USD: saved by the expected model answering; NULL: not known';
COMMENT ON COLUMN report.savings_daily.fallback_extra_usd IS 'spent_usd - all_expected_usd, USD: what the fallback cost on top, of our probes; NULL: not known';
COMMENT ON COLUMN report.savings_daily.daily_queries IS 'Queries a day of the service itself, as configured now; NULL: not told; 0: meter off';
COMMENT ON COLUMN report.savings_daily.traffic_saved_usd IS 'saved_usd at the service''s own queries of a whole day, USD, estimated; NULL: not known';
COMMENT ON COLUMN report.savings_daily.traffic_fallback_extra_usd IS 'fallback_extra_usd at the service''s own queries of a whole day, USD, estimated; NULL: not known';
