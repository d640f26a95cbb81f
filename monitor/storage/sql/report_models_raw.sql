SELECT target, date_bin(:bar, slot, CAST(:first_day AS timestamp) AT TIME ZONE :zone) AS at, model_detected AS model, identity,
    count(*)::integer AS answers
FROM report.observations
WHERE slot >= :since AND slot < :until AND origin <> 'manual'
    AND (pieces > 0 OR identity <> 'unknown')
GROUP BY 1, 2, 3, 4
ORDER BY 2, 3 NULLS LAST
