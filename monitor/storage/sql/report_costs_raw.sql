SELECT target, query, model_detected AS model, count(*)::integer AS answers,
    avg(coalesce(cost_usd, cost_low_usd))::numeric(20, 12) AS mean_usd,
    avg(coalesce(cost_usd, cost_high_usd))::numeric(20, 12) AS mean_high_usd
FROM report.observations
WHERE slot >= :since AND slot < :until AND good
GROUP BY target, query, model_detected
ORDER BY query, answers DESC, model
