SELECT count(*)::integer AS probes,
    (count(*) FILTER (WHERE stamp = 'degraded'))::integer AS degraded
FROM report.observations WHERE slot >= :since AND slot < :until AND origin <> 'manual'
