CREATE OR REPLACE VIEW report.reconciliation_daily AS
WITH billed AS (
    SELECT b.provider, b.day, b.read_at,
        coalesce(b.usd, CASE WHEN b.running_usd >= before.running_usd THEN b.running_usd - before.running_usd END) AS usd
    FROM provider_bills AS b
    LEFT JOIN provider_bills AS before ON before.provider = b.provider AND before.day = b.day - 1
), compared AS (
    SELECT b.day, b.provider, s.probes_usd, s.traffic_usd, s.account_usd, s.spent_usd, s.meter, b.usd AS billed_usd, b.read_at,
        least(greatest(b.usd - s.probes_usd - s.traffic_usd, 0), s.probes_margin_usd + s.traffic_margin_usd) AS unknown_model_usd,
        s.day IS NULL OR s.at_least OR (s.meter = 'estimate' AND EXISTS (
            -- the traffic of a time without answers is not known, nor who bills for it
            SELECT FROM spend_days AS unknown WHERE unknown.day = s.day AND unknown.provider IS NULL AND unknown.at_least
        )) AS lower_bound
    FROM billed AS b
    LEFT JOIN spend_days AS s ON s.provider = b.provider AND s.day = b.day
    WHERE b.usd IS NOT NULL AND b.day < (now() AT TIME ZONE 'UTC')::date
        AND (s.day IS NULL OR s.zone IN ('UTC', 'Etc/UTC'))
)
SELECT
    c.day, c.provider, c.spent_usd AS stated_usd, c.meter, c.billed_usd,
    CASE WHEN NOT c.lower_bound THEN c.billed_usd - c.spent_usd END AS gap_usd,
    CASE WHEN NOT c.lower_bound THEN ((c.billed_usd - c.spent_usd) / NULLIF(c.billed_usd, 0))::double precision END AS gap_share,
    CASE WHEN NOT c.lower_bound THEN CASE WHEN c.meter = 'account' THEN c.billed_usd - c.account_usd ELSE 0 END END AS lag_usd,
    c.probes_usd, c.traffic_usd, c.unknown_model_usd,
    CASE WHEN NOT c.lower_bound THEN c.billed_usd - c.probes_usd - c.traffic_usd - c.unknown_model_usd END AS unexplained_usd,
    c.read_at AS billed_at,
    c.lower_bound
FROM compared AS c;

COMMENT ON COLUMN report.reconciliation_daily.stated_usd IS 'Spend of the day as the monitor stated it, USD: spent_usd of report.spend_daily; NULL: the monitor did not run';
COMMENT ON COLUMN report.reconciliation_daily.gap_usd IS 'billed_usd less stated_usd, USD; above 0: the monitor stated too little; NULL: lower_bound';
COMMENT ON COLUMN report.reconciliation_daily.gap_share IS 'gap_usd as a share of the bill; NULL: the bill is 0, or lower_bound';
COMMENT ON COLUMN report.reconciliation_daily.lag_usd IS 'Part of the gap that the provider posted after the last reading of the day, USD; 0 where the spend was estimated; NULL: lower_bound';
COMMENT ON COLUMN report.reconciliation_daily.unexplained_usd IS 'Rest of the bill, USD: billed_usd less probes, traffic and unknown models; below 0: the estimate is too high; NULL: lower_bound';
COMMENT ON COLUMN report.reconciliation_daily.lower_bound IS 'True if stated_usd is a lower bound: answers or readings of a part of the day are missing, or some answers have no price; such a day is no gap';
