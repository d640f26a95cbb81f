SELECT target, query, model, sum(answered)::integer AS answers,
    ((coalesce(sum(mean_usd * priced), 0) + coalesce(sum(mean_low_usd * ranged), 0))
        / nullif(sum(priced + ranged), 0))::numeric(20, 12) AS mean_usd,
    ((coalesce(sum(mean_usd * priced), 0) + coalesce(sum(mean_high_usd * ranged), 0))
        / nullif(sum(priced + ranged), 0))::numeric(20, 12) AS mean_high_usd
FROM report.cost_per_query_daily
WHERE day >= :first_day AND day <= :last_day AND answered > 0
GROUP BY target, query, model
ORDER BY query, answers DESC, model
