CREATE VIEW report.spend_by_target_daily AS
SELECT
    s.day, s.target, s.model, s.provider, s.probes_usd, s.traffic_usd,
    s.probes_usd + s.traffic_usd AS estimated_usd,
    s.probes_usd + s.traffic_usd + s.margin_usd AS estimated_high_usd,
    s.at_least, s.reckoned_at AS known_until, s.zone
FROM spend_target_days AS s;

COMMENT ON VIEW report.spend_by_target_daily IS 'What each target cost each day, by model, its estimated traffic included. Provider accounts know no targets and no models: see spend_daily';
COMMENT ON COLUMN report.spend_by_target_daily.day IS 'Day in the zone of the column zone';
COMMENT ON COLUMN report.spend_by_target_daily.target IS 'Name of the watched service';
COMMENT ON COLUMN report.spend_by_target_daily.model IS 'Who answered; NULL: not identified, or a day from before models were kept';
COMMENT ON COLUMN report.spend_by_target_daily.provider IS 'Who bills for the model; NULL: not known';
COMMENT ON COLUMN report.spend_by_target_daily.probes_usd IS 'Cost of our probes, USD; answers of unknown model on the cheapest declared model';
COMMENT ON COLUMN report.spend_by_target_daily.traffic_usd IS 'Cost of the service''s own use, USD, estimated from configured queries a day; unknown models as in probes_usd';
COMMENT ON COLUMN report.spend_by_target_daily.estimated_usd IS 'probes_usd and traffic_usd, USD';
COMMENT ON COLUMN report.spend_by_target_daily.estimated_high_usd IS 'estimated_usd with answers of unknown model on the most expensive declared model, USD';
COMMENT ON COLUMN report.spend_by_target_daily.at_least IS 'True: something in estimated_usd has no price';
COMMENT ON COLUMN report.spend_by_target_daily.known_until IS 'The sum covers the day up to here, UTC; its end once it is over';
COMMENT ON COLUMN report.spend_by_target_daily.zone IS 'Zone of this day; an old day keeps the zone it was counted in; NULL: not known';
