CREATE OR REPLACE VIEW report.spend_daily AS
SELECT
    s.day, s.provider, s.probes_usd, s.traffic_usd, s.account_usd, s.spent_usd, s.at_least,
    s.meter, s.because, s.reckoned_at AS known_until,
    s.probes_usd + s.probes_margin_usd AS probes_high_usd,
    s.traffic_usd + s.traffic_margin_usd AS traffic_high_usd,
    s.spent_usd + s.spent_margin_usd AS spent_high_usd
FROM spend_days AS s;

COMMENT ON VIEW report.spend_daily IS 'What each provider was paid each day. Sum spent_usd over providers for the day''s spend, spent_high_usd for the most it may be; never add meters up';
COMMENT ON COLUMN report.spend_daily.probes_usd IS 'Meter probes, USD: our own observations added up, answers of unknown model on the cheapest declared model';
COMMENT ON COLUMN report.spend_daily.traffic_usd IS 'Meter traffic, USD: the service''s own use, estimated from configured queries a day; unknown models as in probes_usd';
COMMENT ON COLUMN report.spend_daily.spent_usd IS 'The provider''s part of the day''s spend, USD: the account where known, else probes and traffic; what is certain';
COMMENT ON COLUMN report.spend_daily.at_least IS 'True: something in spent_usd has no price, or the account fell silent';
COMMENT ON COLUMN report.spend_daily.probes_high_usd IS 'probes_usd with answers of unknown model on the most expensive declared model, USD';
COMMENT ON COLUMN report.spend_daily.traffic_high_usd IS 'traffic_usd with unknown models on the most expensive declared model, USD';
COMMENT ON COLUMN report.spend_daily.spent_high_usd IS 'The most that spent_usd may be, USD: unknown models on the most expensive declared model; equal to it where all models are known';
