SELECT target, outcome, stamp, count(*)::integer AS probes, max(lag_ms) AS worst_lag_ms
FROM latest
GROUP BY target, outcome, stamp
