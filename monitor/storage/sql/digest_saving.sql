-- A target whose saving is not known leaves the sum unknown: a part is not the whole.
SELECT CASE WHEN bool_and(saved_usd IS NOT NULL) THEN sum(saved_usd) END AS probes_usd,
    CASE WHEN bool_and(traffic_saved_usd IS NOT NULL) AND max(daily_queries) > 0
        THEN sum(traffic_saved_usd) END AS traffic_usd,
    (SELECT coalesce(sum(answered - priced), 0)::integer FROM report.cost_per_query_daily
        WHERE day = :yesterday) AS left_out
FROM report.savings_daily WHERE day = :yesterday
