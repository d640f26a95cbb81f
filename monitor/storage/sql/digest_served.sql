SELECT target, model_detected AS model, identity, count(*)::integer AS answers
FROM report.observations
WHERE slot >= :since AND slot < :until AND origin <> 'manual' AND (pieces > 0 OR identity <> 'unknown')
GROUP BY 1, 2, 3
