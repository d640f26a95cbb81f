CREATE VIEW report.observations AS
SELECT
    o.slot, o.started_at, o.recorded_at, o.target, o.query, o.region, o.origin, o.id,
    o.outcome,
    CASE WHEN o.outcome NOT IN ('rate_limited', 'aborted') THEN o.outcome = 'answered' END AS good,
    o.error, o.http_status,
    o.ttft_ms,
    CASE WHEN o.stamp <> 'degraded' THEN o.ttft_ms END AS ttft_judged_ms,
    o.ttft_any_ms, o.ttfb_ms, o.total_ms, o.tpot_ms, o.dns_ms, o.connect_ms, o.tls_ms,
    o.stamp, o.lag_ms,
    o.model_detected, o.identity, o.fallback, o.confidence, o.identity_reason,
    o.model_disclosed, o.evidence, o.claims,
    o.cost_usd, o.cost_source, o.cost_reason, o.rates,
    o.prompt_tokens, o.answer_tokens, o.reasoning_tokens, o.cached_tokens,
    o.pieces, o.answer_chars, o.answer_sha256, o.answer_excerpt, o.faults,
    o.dialect, o.instrument, o.worker, o.config_hash
FROM observations AS o;

COMMENT ON VIEW report.observations IS 'One row a probe, as long as raw rows are kept (90 days unless configured otherwise). Filter by slot';
COMMENT ON COLUMN report.observations.slot IS 'Scheduled time of the round, UTC. Filter by it: months outside the range are not read';
COMMENT ON COLUMN report.observations.started_at IS 'Start of the probe, UTC, by the worker''s clock';
COMMENT ON COLUMN report.observations.recorded_at IS 'When the row was stored, UTC, by the database''s clock';
COMMENT ON COLUMN report.observations.target IS 'Name of the watched service';
COMMENT ON COLUMN report.observations.query IS 'Id of the canned query';
COMMENT ON COLUMN report.observations.region IS 'Where the probe was sent from';
COMMENT ON COLUMN report.observations.origin IS 'round: by schedule; burst: on suspicion; manual: by a person, counted in money only';
COMMENT ON COLUMN report.observations.id IS 'Went out as X-Request-Id';
COMMENT ON COLUMN report.observations.outcome IS 'How the probe ended: docs/metrics.md#outcomes';
COMMENT ON COLUMN report.observations.good IS 'True: answered. False: failed. NULL: about us (rate_limited, aborted), counted as neither';
COMMENT ON COLUMN report.observations.error IS 'Why it failed, for a person; NULL when answered';
COMMENT ON COLUMN report.observations.http_status IS 'HTTP status; NULL: no response head';
COMMENT ON COLUMN report.observations.ttft_ms IS 'Time to first token, ms: request sent to first answer text; NULL: not measurable';
COMMENT ON COLUMN report.observations.ttft_judged_ms IS 'ttft_ms where rules and reports count it, ms; NULL as well when the stamps are degraded';
COMMENT ON COLUMN report.observations.ttft_any_ms IS 'Request sent to first text, reasoning included, ms; NULL: not measurable';
COMMENT ON COLUMN report.observations.ttfb_ms IS 'Request sent to response head, ms; NULL: not measurable';
COMMENT ON COLUMN report.observations.total_ms IS 'Request sent to last answer text, ms; NULL: not measurable';
COMMENT ON COLUMN report.observations.tpot_ms IS 'Time per output token after the first, ms; NULL: not measurable';
COMMENT ON COLUMN report.observations.dns_ms IS 'Name resolution, ms; NULL: not measurable';
COMMENT ON COLUMN report.observations.connect_ms IS 'Start to connection ready, dns and tls included, ms; NULL: not measurable';
COMMENT ON COLUMN report.observations.tls_ms IS 'TLS handshake, ms; NULL: not measurable';
COMMENT ON COLUMN report.observations.stamp IS 'Who timed the bytes: kernel, user, or degraded (shown, judged by no latency rule)';
COMMENT ON COLUMN report.observations.lag_ms IS 'Worst lateness of our own loop during the probe, ms; NULL: nobody looked';
COMMENT ON COLUMN report.observations.model_detected IS 'Who answered, by all evidence; NULL: nobody can tell';
COMMENT ON COLUMN report.observations.identity IS 'expected, fallback, disputed, changed or unknown';
COMMENT ON COLUMN report.observations.fallback IS 'True: fallback. False: expected. NULL: counts as neither';
COMMENT ON COLUMN report.observations.confidence IS 'Of the identity, 0 to 1';
COMMENT ON COLUMN report.observations.identity_reason IS 'The judgement of identity in one sentence';
COMMENT ON COLUMN report.observations.model_disclosed IS 'Model the response itself names; NULL: none';
COMMENT ON COLUMN report.observations.evidence IS 'List of {kind, claim, nats, detail}; nats above 0 speak for a fallback';
COMMENT ON COLUMN report.observations.claims IS 'List of {kind, source, value}, as they came';
COMMENT ON COLUMN report.observations.cost_usd IS 'Cost of the probe, USD; NULL: cannot be priced, never 0';
COMMENT ON COLUMN report.observations.cost_source IS 'provider, reported (tokens x price) or estimated; NULL: no cost';
COMMENT ON COLUMN report.observations.cost_reason IS 'Why there is no cost; NULL: there is one';
COMMENT ON COLUMN report.observations.rates IS 'Rates used, USD per million tokens, as text';
COMMENT ON COLUMN report.observations.prompt_tokens IS 'Tokens of the question, system prompt and cached ones included; NULL: not known';
COMMENT ON COLUMN report.observations.answer_tokens IS 'Tokens of the answer, reasoning included; NULL: not known';
COMMENT ON COLUMN report.observations.reasoning_tokens IS 'Part of answer_tokens; NULL: not reported';
COMMENT ON COLUMN report.observations.cached_tokens IS 'Part of prompt_tokens; NULL: not reported';
COMMENT ON COLUMN report.observations.pieces IS 'Runs of answer text received, count';
COMMENT ON COLUMN report.observations.answer_chars IS 'Length of the answer, characters';
COMMENT ON COLUMN report.observations.answer_sha256 IS 'Hash of the whole answer, hexadecimal; NULL: no answer';
COMMENT ON COLUMN report.observations.answer_excerpt IS 'Start of the answer, made harmless; NULL after a week, after a month for failed probes';
COMMENT ON COLUMN report.observations.faults IS 'Oddities that cost nothing, e.g. a gap in the numbering';
COMMENT ON COLUMN report.observations.dialect IS 'Wire format of the service';
COMMENT ON COLUMN report.observations.instrument IS 'Version of the definitions of what is measured';
COMMENT ON COLUMN report.observations.worker IS 'Machine that sent the probe';
COMMENT ON COLUMN report.observations.config_hash IS 'Configuration in force';
