CREATE VIEW report.spend_daily AS
SELECT
    s.day, s.provider, s.probes_usd, s.traffic_usd, s.account_usd, s.spent_usd, s.at_least,
    s.meter, s.because, s.reckoned_at AS known_until
FROM spend_days AS s;

COMMENT ON VIEW report.spend_daily IS 'What each provider was paid each day. Sum spent_usd over providers for the day''s spend; never add meters up';
COMMENT ON COLUMN report.spend_daily.day IS 'Day in the configured zone';
COMMENT ON COLUMN report.spend_daily.provider IS 'Who bills; NULL: nobody can tell';
COMMENT ON COLUMN report.spend_daily.probes_usd IS 'Meter probes, USD: our own observations added up';
COMMENT ON COLUMN report.spend_daily.traffic_usd IS 'Meter traffic, USD: the service''s own use, estimated from configured queries a day';
COMMENT ON COLUMN report.spend_daily.account_usd IS 'Meter account, USD: what the provider says; NULL: not known';
COMMENT ON COLUMN report.spend_daily.spent_usd IS 'The provider''s part of the day''s spend, USD: the account where known, else probes and traffic';
COMMENT ON COLUMN report.spend_daily.at_least IS 'True: something in spent_usd has no price, or the account fell silent';
COMMENT ON COLUMN report.spend_daily.meter IS 'Where spent_usd comes from: account, or estimate (probes and traffic)';
COMMENT ON COLUMN report.spend_daily.because IS 'Why from there';
COMMENT ON COLUMN report.spend_daily.known_until IS 'The sum covers the day up to here, UTC; its end once it is over';
