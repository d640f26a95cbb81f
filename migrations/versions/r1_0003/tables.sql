-- Tables of rollups and spend, and the indexes that what fills them needs.

CREATE TABLE rollups_hourly (
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    target TEXT NOT NULL,
    region TEXT NOT NULL,
    query TEXT NOT NULL,
    probes INTEGER NOT NULL,
    good INTEGER NOT NULL,
    bad INTEGER NOT NULL,
    judged INTEGER NOT NULL,
    degraded INTEGER NOT NULL,
    ttft_min_ms DOUBLE PRECISION,
    ttft_mean_ms DOUBLE PRECISION,
    ttft_max_ms DOUBLE PRECISION,
    ttft_p50_ms DOUBLE PRECISION,
    ttft_p90_ms DOUBLE PRECISION,
    ttft_p95_ms DOUBLE PRECISION,
    ttft_p99_ms DOUBLE PRECISION,
    ttft_histogram INTEGER[][],
    last_slot TIMESTAMP WITH TIME ZONE,
    rounds_expected INTEGER,
    rounds_missed INTEGER,
    CONSTRAINT pk_rollups_hourly PRIMARY KEY (hour, target, region, query)
);
COMMENT ON TABLE rollups_hourly IS 'latencies of finished hours, gaps included; percentiles exact, from raw rows';
COMMENT ON COLUMN rollups_hourly.hour IS 'its start; an hour of the day''s zone';
COMMENT ON COLUMN rollups_hourly.probes IS '0: a gap';
COMMENT ON COLUMN rollups_hourly.good IS 'answered';
COMMENT ON COLUMN rollups_hourly.bad IS 'failed; neither ours nor rate limits';
COMMENT ON COLUMN rollups_hourly.judged IS 'samples with a TTFT worth judging';
COMMENT ON COLUMN rollups_hourly.degraded IS 'samples whose stamps were degraded';
COMMENT ON COLUMN rollups_hourly.ttft_min_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_hourly.ttft_mean_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_hourly.ttft_max_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_hourly.ttft_p50_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_hourly.ttft_p90_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_hourly.ttft_p95_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_hourly.ttft_p99_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_hourly.ttft_histogram IS 'list of {bucket, samples}; a bucket spans 2 %: report.bucket';
COMMENT ON COLUMN rollups_hourly.last_slot IS 'latest round so far; NULL: none in this span';
COMMENT ON COLUMN rollups_hourly.rounds_expected IS 'NULL: nobody said how often to ask';
COMMENT ON COLUMN rollups_hourly.rounds_missed IS 'not asked, or not asked whole';

CREATE TABLE rollups_daily (
    day DATE NOT NULL,
    target TEXT NOT NULL,
    region TEXT NOT NULL,
    query TEXT NOT NULL,
    probes INTEGER NOT NULL,
    good INTEGER NOT NULL,
    bad INTEGER NOT NULL,
    judged INTEGER NOT NULL,
    degraded INTEGER NOT NULL,
    ttft_min_ms DOUBLE PRECISION,
    ttft_mean_ms DOUBLE PRECISION,
    ttft_max_ms DOUBLE PRECISION,
    ttft_p50_ms DOUBLE PRECISION,
    ttft_p90_ms DOUBLE PRECISION,
    ttft_p95_ms DOUBLE PRECISION,
    ttft_p99_ms DOUBLE PRECISION,
    ttft_histogram INTEGER[][],
    last_slot TIMESTAMP WITH TIME ZONE,
    rounds_expected INTEGER,
    rounds_missed INTEGER,
    CONSTRAINT pk_rollups_daily PRIMARY KEY (day, target, region, query)
);
COMMENT ON TABLE rollups_daily IS 'rollups_hourly by day; percentiles from merged histograms, within 1 %';
COMMENT ON COLUMN rollups_daily.day IS 'in the zone of report_state';
COMMENT ON COLUMN rollups_daily.probes IS '0: a gap';
COMMENT ON COLUMN rollups_daily.good IS 'answered';
COMMENT ON COLUMN rollups_daily.bad IS 'failed; neither ours nor rate limits';
COMMENT ON COLUMN rollups_daily.judged IS 'samples with a TTFT worth judging';
COMMENT ON COLUMN rollups_daily.degraded IS 'samples whose stamps were degraded';
COMMENT ON COLUMN rollups_daily.ttft_min_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_daily.ttft_mean_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_daily.ttft_max_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_daily.ttft_p50_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_daily.ttft_p90_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_daily.ttft_p95_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_daily.ttft_p99_ms IS 'of the judged samples, ms; NULL: none';
COMMENT ON COLUMN rollups_daily.ttft_histogram IS 'list of {bucket, samples}; a bucket spans 2 %: report.bucket';
COMMENT ON COLUMN rollups_daily.last_slot IS 'latest round so far; NULL: none in this span';
COMMENT ON COLUMN rollups_daily.rounds_expected IS 'NULL: nobody said how often to ask';
COMMENT ON COLUMN rollups_daily.rounds_missed IS 'not asked, or not asked whole';

CREATE TABLE answers_hourly (
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    target TEXT NOT NULL,
    query TEXT NOT NULL,
    model TEXT,
    identity TEXT NOT NULL,
    heard INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    answered_usd NUMERIC(20, 12) NOT NULL,
    probes INTEGER NOT NULL,
    usd NUMERIC(20, 12) NOT NULL,
    unpriced INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    answer_tokens BIGINT NOT NULL
);
CREATE UNIQUE INDEX uq_answers_hourly ON answers_hourly (hour, target, query, model, identity) NULLS NOT DISTINCT;
COMMENT ON TABLE answers_hourly IS 'who answered, and for how much, in finished hours';
COMMENT ON COLUMN answers_hourly.hour IS 'its start; an hour of the day''s zone';
COMMENT ON COLUMN answers_hourly.model IS 'who answered; NULL: nobody can tell';
COMMENT ON COLUMN answers_hourly.heard IS 'brought answer text; not by hand';
COMMENT ON COLUMN answers_hourly.answered IS 'answered whole, whoever asked';
COMMENT ON COLUMN answers_hourly.priced IS 'of these, with a cost';
COMMENT ON COLUMN answers_hourly.answered_usd IS 'cost of the priced ones';
COMMENT ON COLUMN answers_hourly.probes IS 'every probe, failed ones included';
COMMENT ON COLUMN answers_hourly.usd IS 'cost of every probe that has one';
COMMENT ON COLUMN answers_hourly.unpriced IS 'brought text and have no cost';
COMMENT ON COLUMN answers_hourly.counted IS 'answered, with tokens known';
COMMENT ON COLUMN answers_hourly.prompt_tokens IS 'of the counted ones';
COMMENT ON COLUMN answers_hourly.answer_tokens IS 'of the counted ones';

CREATE TABLE answers_daily (
    day DATE NOT NULL,
    target TEXT NOT NULL,
    query TEXT NOT NULL,
    model TEXT,
    identity TEXT NOT NULL,
    heard INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    answered_usd NUMERIC(20, 12) NOT NULL,
    probes INTEGER NOT NULL,
    usd NUMERIC(20, 12) NOT NULL,
    unpriced INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    answer_tokens BIGINT NOT NULL
);
CREATE UNIQUE INDEX uq_answers_daily ON answers_daily (day, target, query, model, identity) NULLS NOT DISTINCT;
COMMENT ON TABLE answers_daily IS 'answers_hourly by day';
COMMENT ON COLUMN answers_daily.day IS 'in the zone of report_state';
COMMENT ON COLUMN answers_daily.model IS 'who answered; NULL: nobody can tell';
COMMENT ON COLUMN answers_daily.heard IS 'brought answer text; not by hand';
COMMENT ON COLUMN answers_daily.answered IS 'answered whole, whoever asked';
COMMENT ON COLUMN answers_daily.priced IS 'of these, with a cost';
COMMENT ON COLUMN answers_daily.answered_usd IS 'cost of the priced ones';
COMMENT ON COLUMN answers_daily.probes IS 'every probe, failed ones included';
COMMENT ON COLUMN answers_daily.usd IS 'cost of every probe that has one';
COMMENT ON COLUMN answers_daily.unpriced IS 'brought text and have no cost';
COMMENT ON COLUMN answers_daily.counted IS 'answered, with tokens known';
COMMENT ON COLUMN answers_daily.prompt_tokens IS 'of the counted ones';
COMMENT ON COLUMN answers_daily.answer_tokens IS 'of the counted ones';

CREATE TABLE models_hourly (
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    target TEXT NOT NULL,
    model TEXT,
    identity TEXT NOT NULL,
    heard INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    answered_usd NUMERIC(20, 12) NOT NULL,
    ttft_histogram INTEGER[][],
    ttft_p50_ms DOUBLE PRECISION,
    ttft_p95_ms DOUBLE PRECISION
);
CREATE UNIQUE INDEX uq_models_hourly ON models_hourly (hour, target, model, identity) NULLS NOT DISTINCT;
COMMENT ON TABLE models_hourly IS 'how fast each model answered in finished hours';
COMMENT ON COLUMN models_hourly.hour IS 'its start; an hour of the day''s zone';
COMMENT ON COLUMN models_hourly.model IS 'who answered; NULL: nobody can tell';
COMMENT ON COLUMN models_hourly.heard IS 'as in answers_hourly';
COMMENT ON COLUMN models_hourly.answered IS 'as in answers_hourly';
COMMENT ON COLUMN models_hourly.priced IS 'as in answers_hourly';
COMMENT ON COLUMN models_hourly.answered_usd IS 'as in answers_hourly';
COMMENT ON COLUMN models_hourly.ttft_histogram IS 'as in rollups_hourly';
COMMENT ON COLUMN models_hourly.ttft_p50_ms IS 'by the histogram, within 1 %; NULL: none';
COMMENT ON COLUMN models_hourly.ttft_p95_ms IS 'by the histogram, within 1 %; NULL: none';

CREATE TABLE models_daily (
    day DATE NOT NULL,
    target TEXT NOT NULL,
    model TEXT,
    identity TEXT NOT NULL,
    heard INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    answered_usd NUMERIC(20, 12) NOT NULL,
    ttft_histogram INTEGER[][],
    ttft_p50_ms DOUBLE PRECISION,
    ttft_p95_ms DOUBLE PRECISION
);
CREATE UNIQUE INDEX uq_models_daily ON models_daily (day, target, model, identity) NULLS NOT DISTINCT;
COMMENT ON TABLE models_daily IS 'models_hourly by day';
COMMENT ON COLUMN models_daily.day IS 'in the zone of report_state';
COMMENT ON COLUMN models_daily.model IS 'who answered; NULL: nobody can tell';
COMMENT ON COLUMN models_daily.heard IS 'as in answers_hourly';
COMMENT ON COLUMN models_daily.answered IS 'as in answers_hourly';
COMMENT ON COLUMN models_daily.priced IS 'as in answers_hourly';
COMMENT ON COLUMN models_daily.answered_usd IS 'as in answers_hourly';
COMMENT ON COLUMN models_daily.ttft_histogram IS 'as in rollups_hourly';
COMMENT ON COLUMN models_daily.ttft_p50_ms IS 'by the histogram, within 1 %; NULL: none';
COMMENT ON COLUMN models_daily.ttft_p95_ms IS 'by the histogram, within 1 %; NULL: none';

CREATE TABLE spend_hourly (
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    target TEXT NOT NULL,
    provider TEXT,
    meter TEXT NOT NULL,
    usd NUMERIC(20, 12) NOT NULL,
    at_least BOOLEAN NOT NULL,
    CONSTRAINT ck_spend_hourly_meter CHECK (meter IN ('probes', 'traffic')),
    CONSTRAINT ck_spend_hourly_usd CHECK (usd >= 0 AND usd < 'NaN')
);
CREATE UNIQUE INDEX uq_spend_hourly ON spend_hourly (hour, target, provider, meter) NULLS NOT DISTINCT;
COMMENT ON TABLE spend_hourly IS 'what an hour cost by provider and meter; the running hour included';
COMMENT ON COLUMN spend_hourly.hour IS 'its start; an hour of the day''s zone';
COMMENT ON COLUMN spend_hourly.until IS 'the sum ends here; the hour''s end, or now';
COMMENT ON COLUMN spend_hourly.provider IS 'who bills; NULL: nobody can tell';
COMMENT ON COLUMN spend_hourly.meter IS 'probes or traffic';
COMMENT ON COLUMN spend_hourly.at_least IS 'something in it has no price';

CREATE TABLE spend_days (
    day DATE NOT NULL,
    provider TEXT,
    probes_usd NUMERIC(20, 12) NOT NULL,
    traffic_usd NUMERIC(20, 12) NOT NULL,
    unpriced INTEGER NOT NULL,
    account_usd NUMERIC(20, 12),
    spent_usd NUMERIC(20, 12) NOT NULL,
    at_least BOOLEAN NOT NULL,
    meter TEXT NOT NULL,
    because TEXT NOT NULL,
    reckoned_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT ck_spend_days_meter CHECK (meter IN ('account', 'estimate'))
);
CREATE UNIQUE INDEX uq_spend_days ON spend_days (day, provider) NULLS NOT DISTINCT;
COMMENT ON TABLE spend_days IS 'the day''s spend by provider, and the meters it was read from';
COMMENT ON COLUMN spend_days.day IS 'in the zone of report_state';
COMMENT ON COLUMN spend_days.provider IS 'who bills; NULL: nobody can tell';
COMMENT ON COLUMN spend_days.unpriced IS 'probes that have no price';
COMMENT ON COLUMN spend_days.account_usd IS 'as the provider says; NULL: not known';
COMMENT ON COLUMN spend_days.spent_usd IS 'the provider''s share of the day''s spend';
COMMENT ON COLUMN spend_days.at_least IS 'something in it has no price';
COMMENT ON COLUMN spend_days.meter IS 'where spent_usd comes from';
COMMENT ON COLUMN spend_days.because IS 'why from there';
COMMENT ON COLUMN spend_days.reckoned_at IS 'the day is known up to here';

CREATE TABLE report_targets (
    target TEXT NOT NULL,
    every_s DOUBLE PRECISION NOT NULL,
    daily_queries INTEGER NOT NULL,
    expected_model TEXT,
    fallback_model TEXT,
    expected_usd NUMERIC(20, 12),
    fallback_usd NUMERIC(20, 12),
    since TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_report_targets PRIMARY KEY (target),
    CONSTRAINT ck_report_targets_every_s CHECK (every_s > 0)
);
COMMENT ON TABLE report_targets IS 'what reports must know of the configuration; written by the worker';
COMMENT ON COLUMN report_targets.every_s IS 'from one round to the next';
COMMENT ON COLUMN report_targets.daily_queries IS 'traffic of the service; 0: off';
COMMENT ON COLUMN report_targets.expected_model IS 'the first one expected';
COMMENT ON COLUMN report_targets.fallback_model IS 'the first fallback';
COMMENT ON COLUMN report_targets.expected_usd IS 'a canned query on it, projected at today''s prices';
COMMENT ON COLUMN report_targets.fallback_usd IS 'a canned query on it, projected at today''s prices';
COMMENT ON COLUMN report_targets.since IS 'rounds are expected from here on';

CREATE TABLE report_state (
    one BOOLEAN DEFAULT true NOT NULL,
    zone TEXT DEFAULT 'UTC' NOT NULL,
    hours_until TIMESTAMP WITH TIME ZONE DEFAULT '-infinity' NOT NULL,
    days_until DATE DEFAULT '-infinity' NOT NULL,
    seen_until TIMESTAMP WITH TIME ZONE DEFAULT '-infinity' NOT NULL,
    raw_since TIMESTAMP WITH TIME ZONE DEFAULT '-infinity' NOT NULL,
    CONSTRAINT pk_report_state PRIMARY KEY (one),
    CONSTRAINT ck_report_state_one CHECK (one),
    CONSTRAINT ck_report_state_raw_is_rolled_up CHECK (raw_since <= hours_until)
);
COMMENT ON TABLE report_state IS 'one row: the zone of the day, and how far rollups have come';
COMMENT ON COLUMN report_state.zone IS 'whose days are counted';
COMMENT ON COLUMN report_state.hours_until IS 'hours before are read from rollups, later ones from raw rows';
COMMENT ON COLUMN report_state.days_until IS 'days before are read from rollups, later ones from hours';
COMMENT ON COLUMN report_state.seen_until IS 'rows recorded before are in the rollups';
COMMENT ON COLUMN report_state.raw_since IS 'raw rows of rounds before may be gone: such hours stay as they are';

CREATE TABLE rollups_due (
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_rollups_due PRIMARY KEY (hour)
);
COMMENT ON TABLE rollups_due IS 'finished hours that late rows came for: to be computed again, with their days';
COMMENT ON COLUMN rollups_due.hour IS 'its start';

CREATE TABLE health_readings (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    target TEXT NOT NULL,
    url TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    checked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    http_status SMALLINT,
    healthy BOOLEAN,
    unmet TEXT[] NOT NULL,
    facts JSONB NOT NULL,
    CONSTRAINT pk_health_readings PRIMARY KEY (id),
    CONSTRAINT ck_health_readings_checked_after_at CHECK (checked_at >= at)
);
CREATE INDEX ix_health_readings_target_at ON health_readings (target, at);
COMMENT ON TABLE health_readings IS 'what a service''s own health page says: one row a change';
COMMENT ON COLUMN health_readings.at IS 'since when it says so';
COMMENT ON COLUMN health_readings.checked_at IS 'until when, as far as we know';
COMMENT ON COLUMN health_readings.http_status IS 'NULL: no answer';
COMMENT ON COLUMN health_readings.healthy IS 'every expectation was met; NULL: it cannot be judged';
COMMENT ON COLUMN health_readings.unmet IS 'expectations that were not met';
COMMENT ON COLUMN health_readings.facts IS 'what the expectations looked at';
CREATE INDEX ix_observations_excerpt ON observations (slot) WHERE answer_excerpt IS NOT NULL;
CREATE INDEX ix_observations_recorded_at ON observations USING brin (recorded_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX ix_slots_slot ON slots (slot);

INSERT INTO report_state DEFAULT VALUES;
