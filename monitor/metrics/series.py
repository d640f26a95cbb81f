"""The series Prometheus scrapes: names, units, labels with few values, known ones at zero.

Names follow the OpenTelemetry conventions for GenAI where those have one
(docs/metrics-endpoint.md); the rest begin with `monitor_`.
"""

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)

from monitor.domain import Identity, Outcome, StampSource, Target

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double every counter's series

# The buckets the conventions name, and an edge at the default limit of rule `ttft`: without
# it a question about 1,200 ms would be answered for 1,280.
SECONDS = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.2,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)
EVALUATION_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)
LAG_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
OTHER, UNKNOWN = "other", "unknown"
STAGES = ("probed", "cycle", "read_out", "heartbeat")

_HEARD = ("target", "query", "gen_ai_operation_name", "gen_ai_response_model")


class MetricSeries(NamedTuple):
    """Every series, in the order they are shown."""

    build: Info
    first_chunk: Histogram
    answer: Histogram
    probes: Counter
    answers: Counter
    stamps: Counter
    cost: Counter
    cost_high: Counter
    ranged: Counter
    unpriced: Counter
    rounds: Counter
    missed: Counter
    skipped: Counter
    success: Gauge
    cycle: Gauge
    lag: Histogram
    evaluation: Histogram
    read_ahead: Histogram
    waiting: Gauge
    oldest: Gauge
    sent: Gauge
    broken: Gauge
    budget_usd: Gauge
    budget_probes: Gauge
    incidents: Gauge
    spool: Gauge
    spool_disk: Gauge
    dropped: Counter
    rejected: Counter
    stopped: Counter
    database: Gauge


def series(registry: CollectorRegistry) -> MetricSeries:
    """Fresh series in a registry of their own."""
    gauge = partial(Gauge, registry=registry)
    counter = partial(Counter, registry=registry)
    histogram = partial(Histogram, registry=registry)
    return MetricSeries(
        build=Info(
            "monitor_build", "Version, region and worker of this process.", registry=registry
        ),
        first_chunk=histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "Request sent to first answer text (ttft_ms); degraded samples are excluded.",
            _HEARD,
            buckets=SECONDS,
        ),
        answer=histogram(
            "gen_ai_client_operation_duration_seconds",
            "Request sent to last answer text (total_ms).",
            _HEARD,
            buckets=SECONDS,
        ),
        probes=counter("monitor_probes", "Probes by outcome.", ("target", "outcome")),
        answers=counter("monitor_answers", "Answers by identity.", ("target", "identity")),
        stamps=counter("monitor_samples", "TTFT samples by timestamp source.", ("target", "stamp")),
        cost=counter(
            "monitor_probes_usd",
            "Cost of probes; answers of unknown model at the cheapest declared model.",
            ["target"],
        ),
        cost_high=counter(
            "monitor_probes_high_usd",
            "Cost of probes; answers of unknown model at the most expensive declared model.",
            ["target"],
        ),
        ranged=counter(
            "monitor_ranged_answers", "Answers of unknown model, priced as a range.", ["target"]
        ),
        unpriced=counter("monitor_unpriced_answers", "Answers that have no price.", ["target"]),
        rounds=counter(
            "monitor_rounds", "Rounds run by this worker or left to another.", ["target"]
        ),
        missed=counter(
            "monitor_rounds_missed", "Rounds that were missed or incomplete.", ["target"]
        ),
        skipped=counter("monitor_jobs_skipped", "Job runs that the scheduler skipped."),
        success=gauge(
            "monitor_last_success_timestamp_seconds",
            "Last success of each stage; 0: none yet.",
            ["stage"],
        ),
        cycle=gauge(
            "monitor_last_good_cycle_timestamp_seconds",
            "Last round of each target that was probed, stored and evaluated; 0: none yet.",
            ["target"],
        ),
        lag=histogram(
            "monitor_loop_lag_seconds",
            "Event-loop delay, sampled each second.",
            buckets=LAG_SECONDS,
        ),
        evaluation=histogram(
            "monitor_evaluation_seconds",
            "Duration of an evaluation of the rules, database included.",
            buckets=EVALUATION_SECONDS,
        ),
        read_ahead=histogram(
            "monitor_evaluation_read_ahead_seconds",
            "Duration of what a large fleet reads before an evaluation.",
            buckets=EVALUATION_SECONDS,
        ),
        waiting=gauge("monitor_outbox_notices", "Notices waiting for delivery.", ["channel"]),
        oldest=gauge(
            "monitor_outbox_oldest_seconds",
            "Age of the oldest waiting notice; 0: none.",
            ["channel"],
        ),
        sent=gauge(
            "monitor_delivery_last_success_timestamp_seconds",
            "When the channel last took a message; 0: never.",
            ["channel"],
        ),
        broken=gauge(
            "monitor_delivery_broken", "1: the channel refuses all messages.", ["channel"]
        ),
        budget_usd=gauge("monitor_probe_budget_left_usd", "Remaining daily probe budget."),
        budget_probes=gauge("monitor_probe_budget_left_probes", "Remaining probes of the day."),
        incidents=gauge("monitor_incidents_open", "Incidents open now.", ["rule"]),
        spool=gauge("monitor_spool_observations", "Observations waiting for the database."),
        spool_disk=gauge("monitor_spool_disk_up", "1: the spool is on disk."),
        dropped=counter(
            "monitor_spool_dropped", "Observations dropped because the spool was full."
        ),
        rejected=counter("monitor_observations_rejected", "Observations rejected by the database."),
        stopped=counter(
            "monitor_interpretations_stopped",
            "Answers whose interpretation exceeded its CPU time; stored with identity unknown.",
            ["target"],
        ),
        database=gauge("monitor_database_up", "1: the database is reachable and writable."),
    )


def begin_at_zero(
    held: MetricSeries, targets: Iterable[Target], *, rules: Iterable[str], channels: Iterable[str]
) -> None:
    """Show every series whose labels are known before anything happened."""
    for target in targets:
        for model in (*models(target), OTHER, UNKNOWN):
            for query in target.queries:
                held.first_chunk.labels(target.name, query.id, "chat", model)
                held.answer.labels(target.name, query.id, "chat", model)
        for outcome in Outcome:
            held.probes.labels(target.name, outcome.value)
        for identity in Identity:
            held.answers.labels(target.name, identity.value)
        for stamp in StampSource:
            held.stamps.labels(target.name, stamp.value)
        for alone in (
            held.cost,
            held.cost_high,
            held.ranged,
            held.unpriced,
            held.rounds,
            held.missed,
            held.cycle,
            held.stopped,
        ):
            alone.labels(target.name)
    for stage in STAGES:
        held.success.labels(stage)
    for rule in rules:
        held.incidents.labels(rule)
    for channel in channels:
        for alone in (held.broken, held.waiting, held.oldest, held.sent):
            alone.labels(channel)


def models(target: Target) -> tuple[str, ...]:
    """The values label `gen_ai_response_model` may take, beside `other` and `unknown`."""
    return tuple(dict.fromkeys((*target.expected_models, *target.fallback_models)))
