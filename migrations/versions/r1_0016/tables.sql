-- Columns that older rows and older workers leave at nothing: a default makes each without reading the table.
ALTER TABLE observations
    ADD COLUMN cost_low_usd NUMERIC(20, 12),
    ADD COLUMN cost_high_usd NUMERIC(20, 12);
-- Not validated, because that would read every row under the lock: rows from before have no range.
ALTER TABLE observations ADD CONSTRAINT ck_observations_cost_range CHECK (
    (cost_low_usd IS NULL) = (cost_high_usd IS NULL)
    AND (cost_low_usd IS NULL OR (cost_usd IS NULL AND cost_low_usd >= 0
        AND cost_low_usd <= cost_high_usd AND cost_high_usd < 'NaN'))
) NOT VALID;
COMMENT ON COLUMN observations.cost_reason IS 'why there is no price, or only a range';
COMMENT ON COLUMN observations.cost_low_usd IS 'USD on the cheapest declared model, of an answer of unknown model; NULL: cost_usd is known, or there is no range';
COMMENT ON COLUMN observations.cost_high_usd IS 'USD on the most expensive declared model; NULL where cost_low_usd is';

ALTER TABLE answers_hourly
    ADD COLUMN ranged INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN low_usd NUMERIC(20, 12) NOT NULL DEFAULT 0,
    ADD COLUMN high_usd NUMERIC(20, 12) NOT NULL DEFAULT 0,
    ADD COLUMN answered_ranged INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN answered_low_usd NUMERIC(20, 12) NOT NULL DEFAULT 0,
    ADD COLUMN answered_high_usd NUMERIC(20, 12) NOT NULL DEFAULT 0;
COMMENT ON COLUMN answers_hourly.unpriced IS 'brought text and have no cost, or a range without some declared model';
COMMENT ON COLUMN answers_hourly.ranged IS 'of unknown model, with a range instead of a cost';
COMMENT ON COLUMN answers_hourly.low_usd IS 'of the ranged ones, on the cheapest declared model';
COMMENT ON COLUMN answers_hourly.high_usd IS 'of the ranged ones, on the most expensive one';
COMMENT ON COLUMN answers_hourly.answered_ranged IS 'ranged ones among those answered';
COMMENT ON COLUMN answers_hourly.answered_low_usd IS 'low_usd of those answered';
COMMENT ON COLUMN answers_hourly.answered_high_usd IS 'high_usd of those answered';

ALTER TABLE answers_daily
    ADD COLUMN ranged INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN low_usd NUMERIC(20, 12) NOT NULL DEFAULT 0,
    ADD COLUMN high_usd NUMERIC(20, 12) NOT NULL DEFAULT 0,
    ADD COLUMN answered_ranged INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN answered_low_usd NUMERIC(20, 12) NOT NULL DEFAULT 0,
    ADD COLUMN answered_high_usd NUMERIC(20, 12) NOT NULL DEFAULT 0;
COMMENT ON COLUMN answers_daily.unpriced IS 'brought text and have no cost, or a range without some declared model';
COMMENT ON COLUMN answers_daily.ranged IS 'of unknown model, with a range instead of a cost';
COMMENT ON COLUMN answers_daily.low_usd IS 'of the ranged ones, on the cheapest declared model';
COMMENT ON COLUMN answers_daily.high_usd IS 'of the ranged ones, on the most expensive one';
COMMENT ON COLUMN answers_daily.answered_ranged IS 'ranged ones among those answered';
COMMENT ON COLUMN answers_daily.answered_low_usd IS 'low_usd of those answered';
COMMENT ON COLUMN answers_daily.answered_high_usd IS 'high_usd of those answered';

ALTER TABLE spend_hourly ADD COLUMN margin_usd NUMERIC(20, 12) NOT NULL DEFAULT 0;
COMMENT ON COLUMN spend_hourly.usd IS 'answers of unknown model on the cheapest declared model';
COMMENT ON COLUMN spend_hourly.margin_usd IS 'so much more on the most expensive declared model, where the model is unknown';

ALTER TABLE spend_days
    ADD COLUMN probes_margin_usd NUMERIC(20, 12) NOT NULL DEFAULT 0,
    ADD COLUMN traffic_margin_usd NUMERIC(20, 12) NOT NULL DEFAULT 0,
    ADD COLUMN spent_margin_usd NUMERIC(20, 12) NOT NULL DEFAULT 0;
COMMENT ON COLUMN spend_days.probes_margin_usd IS 'so much more on the most expensive declared model, where the model is unknown';
COMMENT ON COLUMN spend_days.traffic_margin_usd IS 'so much more on the most expensive declared model, where the model is unknown';
COMMENT ON COLUMN spend_days.spent_margin_usd IS 'so much more on the most expensive declared model, where the model is unknown';
