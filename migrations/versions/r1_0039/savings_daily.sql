-- Means are rounded where they are shown, and not before: a sum of rounded means would differ from what was spent.
CREATE OR REPLACE VIEW report.savings_daily AS
SELECT
    p.day, p.target, p.answered, p.spent_usd, p.query_usd::numeric(20, 12) AS query_usd,
    p.expected_query_usd::numeric(20, 12) AS expected_query_usd,
    p.fallback_query_usd::numeric(20, 12) AS fallback_query_usd, p.expected_is, p.fallback_is,
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
        sum(d.answered_usd) / NULLIF(sum(d.priced), 0) AS query_usd,
        coalesce(
            sum(d.answered_usd) FILTER (WHERE d.identity = 'expected')
                / NULLIF(sum(d.priced) FILTER (WHERE d.identity = 'expected'), 0),
            min(t.expected_usd)
        ) AS expected_query_usd,
        coalesce(
            sum(d.answered_usd) FILTER (WHERE d.identity = 'fallback')
                / NULLIF(sum(d.priced) FILTER (WHERE d.identity = 'fallback'), 0),
            min(t.fallback_usd)
        ) AS fallback_query_usd,
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

