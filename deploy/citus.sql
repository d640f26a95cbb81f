-- Distributes the tables of rag-monitor over the nodes of a Citus cluster (13.2 or newer, PostgreSQL 15 or newer).
-- Optional; when and why: docs/scale.md. It was run on PostgreSQL with stand-ins for the functions of Citus, not on Citus.
--
-- Stop the workers, make a backup, run `monitor migrate`, then run this once on the coordinator as the owner of the schema:
--   psql "$DATABASE_URL" -v ON_ERROR_STOP=1 --single-transaction -f deploy/citus.sql
--
-- Tables with rows of targets are distributed by `target` and colocated: all rows of one target are on one node.
-- tests/contract/test_distribution.py compares this file with the schema. A new table belongs into one of the lists.

CREATE EXTENSION IF NOT EXISTS citus;

-- 1. A unique constraint must contain the distribution column. These four primary keys do not; with it they are as
--    strict as before, because ids are random or come from one sequence. All other unique indexes contain `target`.

ALTER TABLE observations DROP CONSTRAINT pk_observations;
ALTER TABLE observations ADD CONSTRAINT pk_observations PRIMARY KEY (slot, id, target);
ALTER TABLE identity_answers DROP CONSTRAINT pk_identity_answers;
ALTER TABLE identity_answers ADD CONSTRAINT pk_identity_answers PRIMARY KEY (id, target);
ALTER TABLE identity_evidence DROP CONSTRAINT pk_identity_evidence;
ALTER TABLE identity_evidence ADD CONSTRAINT pk_identity_evidence PRIMARY KEY (id, target);
ALTER TABLE health_readings DROP CONSTRAINT pk_health_readings;
ALTER TABLE health_readings ADD CONSTRAINT pk_health_readings PRIMARY KEY (id, target);

-- 2. Foreign keys between tables that become distributed: dropped here, made again below. They contain `target`.

ALTER TABLE identity_answers DROP CONSTRAINT fk_identity_answers_target_epoch;
ALTER TABLE identity_profiles DROP CONSTRAINT fk_identity_profiles_target_epoch;
ALTER TABLE identity_states DROP CONSTRAINT fk_identity_states_target_epoch;

-- 3. Distributed tables. The months of `observations` follow their parent, also those that workers add later.
--    Identity columns are bigint, as Citus requires.

SELECT create_distributed_table('observations', 'target');
SELECT create_distributed_table('slots', 'target', colocate_with => 'observations');
SELECT create_distributed_table('identity_epochs', 'target', colocate_with => 'observations');
SELECT create_distributed_table('identity_answers', 'target', colocate_with => 'observations');
SELECT create_distributed_table('identity_profiles', 'target', colocate_with => 'observations');
SELECT create_distributed_table('identity_states', 'target', colocate_with => 'observations');
SELECT create_distributed_table('identity_tokenizers', 'target', colocate_with => 'observations');
SELECT create_distributed_table('identity_evidence', 'target', colocate_with => 'observations');
SELECT create_distributed_table('health_readings', 'target', colocate_with => 'observations');
SELECT create_distributed_table('rollups_hourly', 'target', colocate_with => 'observations');
SELECT create_distributed_table('rollups_daily', 'target', colocate_with => 'observations');
SELECT create_distributed_table('answers_hourly', 'target', colocate_with => 'observations');
SELECT create_distributed_table('answers_daily', 'target', colocate_with => 'observations');
SELECT create_distributed_table('models_hourly', 'target', colocate_with => 'observations');
SELECT create_distributed_table('models_daily', 'target', colocate_with => 'observations');
SELECT create_distributed_table('spend_hourly', 'target', colocate_with => 'observations');
SELECT create_distributed_table('spend_target_days', 'target', colocate_with => 'observations');

ALTER TABLE identity_answers ADD CONSTRAINT fk_identity_answers_target_epoch
    FOREIGN KEY (target, epoch) REFERENCES identity_epochs (target, epoch) ON DELETE CASCADE;
ALTER TABLE identity_profiles ADD CONSTRAINT fk_identity_profiles_target_epoch
    FOREIGN KEY (target, epoch) REFERENCES identity_epochs (target, epoch) ON DELETE CASCADE;
ALTER TABLE identity_states ADD CONSTRAINT fk_identity_states_target_epoch
    FOREIGN KEY (target, epoch) REFERENCES identity_epochs (target, epoch) ON DELETE CASCADE;

-- 4. A reference table: small, rarely written, joined with distributed tables on every node.

SELECT create_reference_table('report_targets');

-- 5. Local tables stay on the coordinator. They are small, they are not about one target, and they need what Citus
--    restricts to one node: FOR UPDATE SKIP LOCKED, row locks in a CTE, foreign keys among themselves.
-- local: account_readings
-- local: calendar_entries
-- local: channels
-- local: clock_readings
-- local: incident_actions
-- local: incidents
-- local: leases
-- local: misdated_observations
-- local: model_list_doubts
-- local: model_listings
-- local: model_statistics
-- local: monitor_alembic_version
-- local: mutes
-- local: outbox
-- local: receipts
-- local: report_state
-- local: rollups_due
-- local: provider_bills
-- local: spend_days

-- 6. Functions that views use on rows of distributed tables, so that every node has them.

SELECT create_distributed_function('report.bucket(double precision)');
SELECT create_distributed_function('report.bucket_ms(integer)');
SELECT create_distributed_function('report.percentile(integer[], double precision)');
SELECT create_distributed_function('report.share_above(integer[], double precision)');
SELECT create_distributed_function('report.merge_step(integer[], integer[])');
SELECT create_distributed_function('report.merge_end(integer[])');
SELECT create_distributed_function('report.merge(integer[])');
SELECT create_distributed_function('report.hour_of(timestamptz, text)');
SELECT create_distributed_function('report.hour_end(timestamptz, text)');
SELECT create_distributed_function('report.slots_between(timestamptz, timestamptz, double precision)');
SELECT create_distributed_function('report.rate(jsonb, text)');
SELECT create_distributed_function(
    'report.list_cost(jsonb, integer, integer, integer, integer, integer)');
