CREATE VIEW report.provider_keys AS
SELECT
    p.provider, latest.state, latest.detail AS reason, latest.at AS checked_at, known.at AS known_at,
    known.expires_at,
    extract(epoch FROM known.expires_at - now())::double precision AS expires_in_s,
    known.limit_usd, known.remaining_usd, known.spent_today_usd
FROM (SELECT DISTINCT a.provider FROM account_readings AS a) AS p
CROSS JOIN LATERAL (
    SELECT a.* FROM account_readings AS a WHERE a.provider = p.provider ORDER BY a.at DESC, a.id DESC LIMIT 1
) AS latest
LEFT JOIN LATERAL (
    -- A provider that fails or throttles says nothing of the key: what it said before still holds.
    SELECT a.* FROM account_readings AS a
    WHERE a.provider = p.provider AND a.state IN ('ok', 'out_of_credit')
    ORDER BY a.at DESC, a.id DESC LIMIT 1
) AS known ON true;

COMMENT ON VIEW report.provider_keys IS 'How each provider key is now: its state, expiry and credit';
COMMENT ON COLUMN report.provider_keys.provider IS 'Who bills';
COMMENT ON COLUMN report.provider_keys.state IS 'ok, rejected, out_of_credit, throttled (about us) or failing (the provider, or the way to it)';
COMMENT ON COLUMN report.provider_keys.reason IS 'Why it is in that state; NULL: nothing to explain';
COMMENT ON COLUMN report.provider_keys.checked_at IS 'Latest check, UTC';
COMMENT ON COLUMN report.provider_keys.known_at IS 'Check that the columns after it come from, UTC; NULL: no check succeeded';
COMMENT ON COLUMN report.provider_keys.expires_at IS 'When the key expires, UTC; NULL: never, or the provider does not say';
COMMENT ON COLUMN report.provider_keys.expires_in_s IS 'From now to expires_at, s; negative: expired; NULL where expires_at is';
COMMENT ON COLUMN report.provider_keys.limit_usd IS 'Spending limit of the key, USD; NULL: none, or the provider does not say';
COMMENT ON COLUMN report.provider_keys.remaining_usd IS 'Left of the limit, USD; NULL: the provider does not say';
COMMENT ON COLUMN report.provider_keys.spent_today_usd IS 'Spent since the UTC midnight before known_at, USD; NULL: the provider does not say';
