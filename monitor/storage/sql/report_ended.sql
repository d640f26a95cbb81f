SELECT target, outcome, stamp, count(*)::integer AS probes, max(lag_ms) AS worst_lag_ms,
    (count(*) FILTER (WHERE origin = 'burst'))::integer AS extra
FROM latest
GROUP BY target, outcome, stamp
