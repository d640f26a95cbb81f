-- Start of the hour of the zone that an instant lies in. Where a zone's clock steps by half an hour, as on Lord Howe
-- Island, the hour of the step lasts 30 or 90 minutes: date_trunc alone keeps the offset after the step and gives
-- a start that lies in another hour.
CREATE FUNCTION report.hour_of(at timestamptz, zone text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN extract(minute FROM date_trunc('hour', at, zone) AT TIME ZONE zone) = 0 THEN date_trunc('hour', at, zone)
    ELSE date_trunc('hour', at AT TIME ZONE zone) AT TIME ZONE zone
END;

-- End of the hour of the zone that an instant lies in.
CREATE FUNCTION report.hour_end(at timestamptz, zone text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    SELECT min(later.at)
    FROM generate_series(
        report.hour_of(at, zone) + interval '30 minutes', report.hour_of(at, zone) + interval '90 minutes',
        interval '30 minutes'
    ) AS later (at)
    WHERE report.hour_of(later.at, zone) > report.hour_of(hour_end.at, zone)
);

-- One of the rates of an observation, which are text; NULL: not there, or no number.
CREATE FUNCTION report.rate(rates jsonb, name text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN rates ->> name ~ '^[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$' THEN (rates ->> name)::numeric END;

-- What tokens cost at rates per million. Cached tokens and those written to the cache are part of the prompt,
-- reasoning is part of the answer; without a rate of their own they cost what the others do.
CREATE FUNCTION report.list_cost(
    rates jsonb, prompt_tokens integer, answer_tokens integer,
    cached_tokens integer, cache_write_tokens integer, reasoning_tokens integer
) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round(
    (
        prompt_tokens * report.rate(rates, 'input')
        + coalesce(cached_tokens * (report.rate(rates, 'cached') - report.rate(rates, 'input')), 0)
        + coalesce(cache_write_tokens * (report.rate(rates, 'cache_write') - report.rate(rates, 'input')), 0)
        + answer_tokens * report.rate(rates, 'output')
        + coalesce(reasoning_tokens * (report.rate(rates, 'reasoning') - report.rate(rates, 'output')), 0)
    ) * 0.000001 + coalesce(report.rate(rates, 'request'), 0),
    12
);

COMMENT ON FUNCTION report.hour_of IS 'Start of the hour of a zone that an instant lies in; right where the clock steps by half an hour';
COMMENT ON FUNCTION report.hour_end IS 'End of the hour of a zone that an instant lies in: 30, 60 or 90 minutes after its start';
COMMENT ON FUNCTION report.rate IS 'A rate of report.observations.rates as a number, USD per million tokens; NULL: not known';
COMMENT ON FUNCTION report.list_cost IS 'What tokens cost at the rates of report.observations.rates, USD; NULL: a rate or a count is not known';
