-- Columns that older rows and older workers leave at nothing: a default makes each without reading the table.
DO $$
DECLARE
    rollup text;
BEGIN
    FOREACH rollup IN ARRAY ARRAY['answers_hourly', 'answers_daily', 'models_hourly', 'models_daily'] LOOP
        IF rollup LIKE 'answers%' THEN
            EXECUTE format('ALTER TABLE %I ADD COLUMN region TEXT', rollup);
            EXECUTE format('COMMENT ON COLUMN %I.region IS %L', rollup, 'where the probes were sent from; NULL: counted before regions were');
        END IF;
        EXECUTE format('ALTER TABLE %I '
            'ADD COLUMN priced_with_tokens INTEGER NOT NULL DEFAULT 0, '
            'ADD COLUMN priced_with_tokens_usd NUMERIC(20, 12) NOT NULL DEFAULT 0, '
            'ADD COLUMN priced_prompt_tokens BIGINT NOT NULL DEFAULT 0, '
            'ADD COLUMN priced_answer_tokens BIGINT NOT NULL DEFAULT 0, '
            'ADD COLUMN listed_tokens BIGINT NOT NULL DEFAULT 0, '
            'ADD COLUMN list_usd NUMERIC(20, 12) NOT NULL DEFAULT 0', rollup);
        EXECUTE format('COMMENT ON COLUMN %I.priced_with_tokens IS %L', rollup, 'probes with a cost and both token counts');
        EXECUTE format('COMMENT ON COLUMN %I.priced_with_tokens_usd IS %L', rollup, 'cost of these');
        EXECUTE format('COMMENT ON COLUMN %I.priced_prompt_tokens IS %L', rollup, 'of these');
        EXECUTE format('COMMENT ON COLUMN %I.priced_answer_tokens IS %L', rollup, 'of these');
        EXECUTE format('COMMENT ON COLUMN %I.listed_tokens IS %L', rollup, 'tokens of these whose rates are known');
        EXECUTE format('COMMENT ON COLUMN %I.list_usd IS %L', rollup, 'what listed_tokens cost at list price');
    END LOOP;
END $$;

DROP INDEX uq_answers_hourly;
CREATE UNIQUE INDEX uq_answers_hourly ON answers_hourly (hour, target, query, model, identity, region) NULLS NOT DISTINCT;
DROP INDEX uq_answers_daily;
CREATE UNIQUE INDEX uq_answers_daily ON answers_daily (day, target, query, model, identity, region) NULLS NOT DISTINCT;

ALTER TABLE spend_hourly ADD COLUMN model TEXT;
COMMENT ON COLUMN spend_hourly.model IS 'who answered; NULL: not identified, or counted before models were kept';
DROP INDEX uq_spend_hourly;
CREATE UNIQUE INDEX uq_spend_hourly ON spend_hourly (hour, target, provider, meter, model) NULLS NOT DISTINCT;

ALTER TABLE spend_days
    ADD COLUMN zone TEXT,
    ADD COLUMN begins_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN stale BOOLEAN NOT NULL DEFAULT false;
COMMENT ON COLUMN spend_days.day IS 'in the zone of its column';
COMMENT ON COLUMN spend_days.zone IS 'whose day it is; NULL: not known';
COMMENT ON COLUMN spend_days.begins_at IS 'where the days before it, in another zone, end; NULL: at its midnight';
COMMENT ON COLUMN spend_days.stale IS 'rows of it came late or were derived again: to be computed again';

CREATE TABLE spend_target_days (
    day DATE NOT NULL,
    target TEXT NOT NULL,
    model TEXT,
    provider TEXT,
    probes_usd NUMERIC(20, 12) NOT NULL,
    traffic_usd NUMERIC(20, 12) NOT NULL,
    margin_usd NUMERIC(20, 12) NOT NULL,
    at_least BOOLEAN NOT NULL,
    reckoned_at TIMESTAMP WITH TIME ZONE NOT NULL,
    zone TEXT
);
CREATE UNIQUE INDEX uq_spend_target_days ON spend_target_days (day, target, model, provider) NULLS NOT DISTINCT;
COMMENT ON TABLE spend_target_days IS 'spend_hourly by day, target and model, meters side by side';
COMMENT ON COLUMN spend_target_days.day IS 'in the zone of its column';
COMMENT ON COLUMN spend_target_days.model IS 'who answered; NULL: not identified, or counted before models were kept';
COMMENT ON COLUMN spend_target_days.provider IS 'who bills; NULL: not known';
COMMENT ON COLUMN spend_target_days.probes_usd IS 'unknown models on the cheapest declared model';
COMMENT ON COLUMN spend_target_days.traffic_usd IS 'unknown models on the cheapest declared model';
COMMENT ON COLUMN spend_target_days.margin_usd IS 'so much more on the most expensive declared model, where the model is unknown';
COMMENT ON COLUMN spend_target_days.at_least IS 'something in it has no price';
COMMENT ON COLUMN spend_target_days.reckoned_at IS 'the day is known up to here';
COMMENT ON COLUMN spend_target_days.zone IS 'whose day it is; NULL: not known';

-- What is there: the zone where the day's end proves it, days by target from their hours, and everything that raw rows
-- still tell is computed again by the worker, an hour at a time.
UPDATE spend_days AS d SET zone = s.zone
FROM report_state AS s
WHERE d.reckoned_at = (d.day + interval '1 day') AT TIME ZONE s.zone
    OR (d.day = (now() AT TIME ZONE s.zone)::date AND d.reckoned_at >= d.day::timestamp AT TIME ZONE s.zone);
INSERT INTO spend_target_days
SELECT d.day, h.target, NULL, h.provider,
    coalesce(sum(h.usd) FILTER (WHERE h.meter = 'probes'), 0),
    coalesce(sum(h.usd) FILTER (WHERE h.meter = 'traffic'), 0),
    sum(h.margin_usd), bool_or(h.at_least), max(h.until), d.zone
FROM spend_hourly AS h
JOIN (SELECT DISTINCT day, zone FROM spend_days WHERE zone IS NOT NULL) AS d
    ON h.hour >= d.day::timestamp AT TIME ZONE d.zone AND h.hour < (d.day + interval '1 day') AT TIME ZONE d.zone
GROUP BY d.day, h.target, h.provider, d.zone;
UPDATE spend_days AS d SET stale = true
FROM report_state AS s
WHERE d.day::timestamp AT TIME ZONE coalesce(d.zone, s.zone) >= s.raw_since;
INSERT INTO rollups_due (hour)
SELECT DISTINCT m.hour FROM models_hourly AS m, report_state AS s WHERE m.hour >= s.raw_since
ON CONFLICT DO NOTHING;
