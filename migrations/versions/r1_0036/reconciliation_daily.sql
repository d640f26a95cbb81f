CREATE VIEW report.reconciliation_daily AS
WITH billed AS (
    SELECT b.provider, b.day, b.read_at,
        coalesce(b.usd, CASE WHEN b.running_usd >= before.running_usd THEN b.running_usd - before.running_usd END) AS usd
    FROM provider_bills AS b
    LEFT JOIN provider_bills AS before ON before.provider = b.provider AND before.day = b.day - 1
), compared AS (
    SELECT s.day, s.provider, s.probes_usd, s.traffic_usd, s.account_usd, s.spent_usd, s.meter, b.usd AS billed_usd, b.read_at,
        least(greatest(b.usd - s.probes_usd - s.traffic_usd, 0), s.probes_margin_usd + s.traffic_margin_usd) AS unknown_model_usd
    FROM spend_days AS s
    JOIN billed AS b ON b.provider = s.provider AND b.day = s.day
    WHERE b.usd IS NOT NULL AND s.zone IN ('UTC', 'Etc/UTC') AND s.day < (now() AT TIME ZONE 'UTC')::date
)
SELECT
    c.day, c.provider, c.spent_usd AS stated_usd, c.meter, c.billed_usd,
    c.billed_usd - c.spent_usd AS gap_usd,
    ((c.billed_usd - c.spent_usd) / NULLIF(c.billed_usd, 0))::double precision AS gap_share,
    CASE WHEN c.meter = 'account' THEN c.billed_usd - c.account_usd ELSE 0 END AS lag_usd,
    c.probes_usd, c.traffic_usd, c.unknown_model_usd,
    c.billed_usd - c.probes_usd - c.traffic_usd - c.unknown_model_usd AS unexplained_usd,
    c.read_at AS billed_at
FROM compared AS c;

COMMENT ON VIEW report.reconciliation_daily IS 'Our spend of closed days against the bill of each provider; days are UTC days, as bills are';
COMMENT ON COLUMN report.reconciliation_daily.day IS 'Closed UTC day; days of another zone are not compared';
COMMENT ON COLUMN report.reconciliation_daily.provider IS 'Provider that bills';
COMMENT ON COLUMN report.reconciliation_daily.stated_usd IS 'Spend of the day as the monitor stated it, USD: spent_usd of report.spend_daily';
COMMENT ON COLUMN report.reconciliation_daily.meter IS 'Source of stated_usd: account or estimate';
COMMENT ON COLUMN report.reconciliation_daily.billed_usd IS 'Bill of the provider for the day, USD';
COMMENT ON COLUMN report.reconciliation_daily.gap_usd IS 'billed_usd less stated_usd, USD; above 0: the monitor stated too little';
COMMENT ON COLUMN report.reconciliation_daily.gap_share IS 'gap_usd as a share of the bill; NULL: the bill is 0';
COMMENT ON COLUMN report.reconciliation_daily.lag_usd IS 'Part of the gap that the provider posted after the last reading of the day, USD; 0 where the spend was estimated';
COMMENT ON COLUMN report.reconciliation_daily.probes_usd IS 'Part of the bill: our own probes, USD';
COMMENT ON COLUMN report.reconciliation_daily.traffic_usd IS 'Part of the bill: the estimate of the traffic, USD';
COMMENT ON COLUMN report.reconciliation_daily.unknown_model_usd IS 'Part of the bill that answers of unknown model may explain, USD';
COMMENT ON COLUMN report.reconciliation_daily.unexplained_usd IS 'Rest of the bill, USD: billed_usd less probes, traffic and unknown models; below 0: the estimate is too high';
COMMENT ON COLUMN report.reconciliation_daily.billed_at IS 'When the bill was last read, UTC';
