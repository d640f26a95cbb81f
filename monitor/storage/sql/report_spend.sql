SELECT day, sum(spent_usd) AS total_usd,
    sum(probes_usd) FILTER (WHERE meter = 'estimate') AS probes_usd,
    sum(traffic_usd) FILTER (WHERE meter = 'estimate') AS traffic_usd,
    sum(spent_usd) FILTER (WHERE meter = 'account') AS account_usd,
    bool_or(at_least) AS at_least,
    sum(spent_high_usd) AS total_high_usd,
    sum(probes_high_usd) FILTER (WHERE meter = 'estimate') AS probes_high_usd,
    sum(traffic_high_usd) FILTER (WHERE meter = 'estimate') AS traffic_high_usd
FROM report.spend_daily
WHERE day >= :first_day AND day <= :last_day
GROUP BY day
ORDER BY day
