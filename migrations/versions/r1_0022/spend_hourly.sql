CREATE VIEW report.spend_hourly AS
SELECT
    s.hour, s.target, s.model, s.provider,
    coalesce(sum(s.usd) FILTER (WHERE s.meter = 'probes'), 0)::numeric(20, 12) AS probes_usd,
    coalesce(sum(s.usd) FILTER (WHERE s.meter = 'traffic'), 0)::numeric(20, 12) AS traffic_usd,
    sum(s.usd)::numeric(20, 12) AS estimated_usd,
    sum(s.usd + s.margin_usd)::numeric(20, 12) AS estimated_high_usd,
    bool_or(s.at_least) AS at_least,
    max(s.until) AS known_until
FROM spend_hourly AS s
GROUP BY s.hour, s.target, s.model, s.provider;

COMMENT ON VIEW report.spend_hourly IS 'What each target cost by the hour, by model: our probes and its estimated traffic. Provider accounts know no hours and no models: see spend_daily';
COMMENT ON COLUMN report.spend_hourly.hour IS 'Start of the hour, UTC';
COMMENT ON COLUMN report.spend_hourly.target IS 'Name of the watched service';
COMMENT ON COLUMN report.spend_hourly.model IS 'Who answered; NULL: not identified, or an hour from before models were kept';
COMMENT ON COLUMN report.spend_hourly.provider IS 'Who bills for the model; NULL: not known';
COMMENT ON COLUMN report.spend_hourly.probes_usd IS 'Cost of our probes, USD; answers of unknown model on the cheapest declared model';
COMMENT ON COLUMN report.spend_hourly.traffic_usd IS 'Cost of the service''s own use, USD, estimated from configured queries a day; unknown models as in probes_usd';
COMMENT ON COLUMN report.spend_hourly.estimated_usd IS 'probes_usd and traffic_usd, USD';
COMMENT ON COLUMN report.spend_hourly.estimated_high_usd IS 'estimated_usd with answers of unknown model on the most expensive declared model, USD';
COMMENT ON COLUMN report.spend_hourly.at_least IS 'True: something in estimated_usd has no price';
COMMENT ON COLUMN report.spend_hourly.known_until IS 'The sum covers the hour up to here, UTC; its end once it is over';
