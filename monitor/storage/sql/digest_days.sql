SELECT day, sum(spent_usd) AS total_usd, coalesce(sum(probes_usd), 0) AS probes_usd,
    coalesce(sum(traffic_usd), 0) AS traffic_usd, sum(account_usd) AS account_usd,
    bool_or(at_least) AS at_least,
    sum(spent_high_usd) AS total_high_usd, sum(probes_high_usd) AS probes_high_usd,
    sum(traffic_high_usd) AS traffic_high_usd
FROM report.spend_daily WHERE day IN (:yesterday, :today) GROUP BY day
