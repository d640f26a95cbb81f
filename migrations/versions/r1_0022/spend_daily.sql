CREATE OR REPLACE VIEW report.spend_daily AS
SELECT
    s.day, s.provider, s.probes_usd, s.traffic_usd, s.account_usd, s.spent_usd, s.at_least,
    s.meter, s.because, s.reckoned_at AS known_until,
    s.probes_usd + s.probes_margin_usd AS probes_high_usd,
    s.traffic_usd + s.traffic_margin_usd AS traffic_high_usd,
    s.spent_usd + s.spent_margin_usd AS spent_high_usd,
    s.zone,
    coalesce(s.begins_at, s.day::timestamp AT TIME ZONE s.zone) AS known_since
FROM spend_days AS s;

COMMENT ON COLUMN report.spend_daily.day IS 'Day in the zone of the column zone; an old day keeps the zone it was counted in';
COMMENT ON COLUMN report.spend_daily.zone IS 'Zone of this day: the configured one, or an earlier one where raw rows were gone when it changed; NULL: not known';
COMMENT ON COLUMN report.spend_daily.known_since IS 'The sum covers the day from here, UTC: its midnight, or the end of the day before it in another zone; NULL: not known';
