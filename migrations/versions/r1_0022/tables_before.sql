-- Regions, models and zones are given up: what is kept apart by them is added up.
CREATE TEMPORARY TABLE hours_together ON COMMIT DROP AS
SELECT hour, target, query, model, identity,
    sum(heard)::integer AS heard, sum(answered)::integer AS answered, sum(priced)::integer AS priced,
    sum(answered_usd) AS answered_usd, sum(probes)::integer AS probes, sum(usd) AS usd,
    sum(unpriced)::integer AS unpriced, sum(counted)::integer AS counted,
    sum(prompt_tokens)::bigint AS prompt_tokens, sum(answer_tokens)::bigint AS answer_tokens,
    sum(ranged)::integer AS ranged, sum(low_usd) AS low_usd, sum(high_usd) AS high_usd,
    sum(answered_ranged)::integer AS answered_ranged, sum(answered_low_usd) AS answered_low_usd,
    sum(answered_high_usd) AS answered_high_usd
FROM answers_hourly GROUP BY 1, 2, 3, 4, 5;
CREATE TEMPORARY TABLE days_together ON COMMIT DROP AS
SELECT day, target, query, model, identity,
    sum(heard)::integer AS heard, sum(answered)::integer AS answered, sum(priced)::integer AS priced,
    sum(answered_usd) AS answered_usd, sum(probes)::integer AS probes, sum(usd) AS usd,
    sum(unpriced)::integer AS unpriced, sum(counted)::integer AS counted,
    sum(prompt_tokens)::bigint AS prompt_tokens, sum(answer_tokens)::bigint AS answer_tokens,
    sum(ranged)::integer AS ranged, sum(low_usd) AS low_usd, sum(high_usd) AS high_usd,
    sum(answered_ranged)::integer AS answered_ranged, sum(answered_low_usd) AS answered_low_usd,
    sum(answered_high_usd) AS answered_high_usd
FROM answers_daily GROUP BY 1, 2, 3, 4, 5;
CREATE TEMPORARY TABLE spend_together ON COMMIT DROP AS
SELECT hour, max(until) AS until, target, provider, meter, sum(usd) AS usd, bool_or(at_least) AS at_least,
    sum(margin_usd) AS margin_usd
FROM spend_hourly GROUP BY hour, target, provider, meter;
DELETE FROM answers_hourly;
DELETE FROM answers_daily;
DELETE FROM spend_hourly;
DO $$
DECLARE
    rollup text;
BEGIN
    FOREACH rollup IN ARRAY ARRAY['answers_hourly', 'answers_daily', 'models_hourly', 'models_daily'] LOOP
        IF rollup LIKE 'answers%' THEN
            EXECUTE format('ALTER TABLE %I DROP COLUMN region', rollup);
        END IF;
        EXECUTE format('ALTER TABLE %I DROP COLUMN priced_with_tokens, DROP COLUMN priced_with_tokens_usd, '
            'DROP COLUMN priced_prompt_tokens, DROP COLUMN priced_answer_tokens, DROP COLUMN listed_tokens, '
            'DROP COLUMN list_usd', rollup);
    END LOOP;
END $$;
ALTER TABLE spend_hourly DROP COLUMN model;
ALTER TABLE spend_days DROP COLUMN zone, DROP COLUMN begins_at, DROP COLUMN stale;
COMMENT ON COLUMN spend_days.day IS 'in the zone of report_state';
DROP TABLE spend_target_days;
INSERT INTO answers_hourly SELECT * FROM hours_together;
INSERT INTO answers_daily SELECT * FROM days_together;
INSERT INTO spend_hourly SELECT * FROM spend_together;
CREATE UNIQUE INDEX uq_answers_hourly ON answers_hourly (hour, target, query, model, identity) NULLS NOT DISTINCT;
CREATE UNIQUE INDEX uq_answers_daily ON answers_daily (day, target, query, model, identity) NULLS NOT DISTINCT;
CREATE UNIQUE INDEX uq_spend_hourly ON spend_hourly (hour, target, provider, meter) NULLS NOT DISTINCT;
