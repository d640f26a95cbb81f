SELECT target, date_bin(:step, slot, 'epoch'::timestamptz) AS at,
    (count(*) FILTER (WHERE identity = 'expected'))::integer AS expected,
    (count(*) FILTER (WHERE identity = 'fallback'))::integer AS fallback,
    (count(*) FILTER (WHERE identity = 'changed'))::integer AS changed,
    (count(*) FILTER (WHERE identity = 'disputed'))::integer AS disputed,
    (count(*) FILTER (WHERE identity = 'unknown'))::integer AS unknown
FROM report.observations
WHERE slot >= :since AND slot < :until AND origin <> 'manual'
    AND (pieces > 0 OR identity <> 'unknown')
GROUP BY 1, 2
ORDER BY 2
