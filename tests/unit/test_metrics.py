"""What the worker tells of itself: each fact counted once, known series there from the start."""

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitor.domain import Identity, Outcome, Query, StampSource, Target
from monitor.metrics import Metrics
from monitor.rules import DeliveryBacklog
from tests.case_tables import each
from tests.example_data import HAIKU, LLAMA, observation

BEGAN = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TTFT = "gen_ai_client_operation_time_to_first_chunk_seconds"


def target(name: str = "rag", every: timedelta = 5 * MINUTE) -> Target:
    return Target(name=name, url="http://rag", dialect="bali_zero", every=every,
                  queries=(Query(id="hi", text="Hi"),), expected_models=(LLAMA,),
                  fallback_models=(HAIKU,))  # fmt: skip


def metrics(*targets: Target) -> Metrics:
    return Metrics(targets or (target(),), rules=("ttft", "spend"), channels=("bot",),
                   began_at=BEGAN, version="1.2.3", region="sin")  # fmt: skip


def value(held: Metrics, name: str, **labels: str) -> float | None:
    """The sample of exactly these labels; None: it is not shown."""
    for family in text_string_to_metric_families(held.page()[1].decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def ttft(held: Metrics, suffix: str, model: str = LLAMA, **labels: str) -> float | None:
    return value(held, TTFT + suffix, target="rag", query="hi", gen_ai_operation_name="chat",
                 gen_ai_response_model=model, **labels)  # fmt: skip


def test_the_buckets_are_those_of_the_conventions_and_the_limit() -> None:
    held = metrics()
    held.observed(observation(ttft_ms=1200.0))
    held.observed(observation(ttft_ms=1200.1))
    edges = ("0.01", "0.02", "0.04", "0.08", "0.16", "0.32", "0.64", "1.2", "1.28", "2.56",
             "5.12", "10.24", "20.48", "40.96", "81.92", "+Inf")  # fmt: skip
    counts = [ttft(held, "_bucket", le=edge) for edge in edges]
    assert counts == [0.0] * 7 + [1.0] + [2.0] * 8


def test_degraded_samples_are_counted_and_not_judged() -> None:
    held = metrics()
    held.observed(observation(stamp=StampSource.DEGRADED))
    assert ttft(held, "_count") == 0
    assert value(held, "monitor_samples_total", target="rag", stamp="degraded") == 1


def test_a_probe_without_text_has_an_outcome_and_no_latency() -> None:
    held = metrics()
    held.observed(observation(outcome=Outcome.TIMEOUT_FIRST_TOKEN, ttft_ms=None, total_ms=None,
                              pieces=0, cost_usd=None, cost_source=None))  # fmt: skip
    assert value(held, "monitor_probes_total", target="rag", outcome="timeout_first_token") == 1
    assert value(held, "monitor_unpriced_answers_total", target="rag") == 0
    assert ttft(held, "_count") == 0


@pytest.mark.parametrize(
    ("detected", "label"),
    [(LLAMA, LLAMA), (HAIKU, HAIKU), ("Llama-4-Scout-17B-16E-Instruct", LLAMA),
     ("x/never-heard", "other"), (None, "unknown")],
)  # fmt: skip
def test_the_label_of_the_model_has_few_values(detected: str | None, label: str) -> None:
    held = metrics()
    held.observed(observation(model_detected=detected))
    assert ttft(held, "_count", label) == 1


def test_answers_and_money_are_counted_by_target() -> None:
    held = metrics()
    held.observed(observation(identity=Identity.FALLBACK, cost_usd=Decimal("0.5")))
    held.observed(observation(cost_usd=Decimal("0.25")))
    held.observed(observation(cost_usd=None, cost_source=None))
    assert value(held, "monitor_answers_total", target="rag", identity="fallback") == 1
    assert value(held, "monitor_answers_total", target="rag", identity="expected") == 2
    assert value(held, "monitor_probes_usd_total", target="rag") == 0.75
    assert value(held, "monitor_unpriced_answers_total", target="rag") == 1


@each(
    ("name", "labels"),
    [
        ("monitor_probes_total", {"target": "rag", "outcome": "tls"}),
        ("monitor_answers_total", {"target": "rag", "identity": "disputed"}),
        ("monitor_rounds_missed_total", {"target": "rag"}),
        ("monitor_last_success_timestamp_seconds", {"stage": "heartbeat"}),
        ("monitor_last_good_cycle_timestamp_seconds", {"target": "rag"}),
        ("monitor_incidents_open", {"rule": "spend"}),
        ("monitor_delivery_broken", {"channel": "bot"}),
        ("monitor_outbox_oldest_seconds", {"channel": "bot"}),
        ("monitor_delivery_last_success_timestamp_seconds", {"channel": "bot"}),
        ("monitor_jobs_skipped_total", {}),
    ],
    ids=lambda found: found if isinstance(found, str) else "",
)
def test_known_series_are_there_at_zero(name: str, labels: dict[str, str]) -> None:
    assert value(metrics(), name, **labels) == 0


def test_two_targets_stay_within_a_thousand_series() -> None:
    page = metrics(target("rag"), target("other"))
    assert page.page()[1].count(b"\n") < 1000


def test_of_a_thousand_targets_the_first_have_series_and_the_others_share_theirs() -> None:
    few = [target(f"t{number}") for number in range(1000)]
    held = Metrics(few, most_targets=10, rules=("ttft",), channels=("bot",), began_at=BEGAN)
    series = held.page()[1].count(b"\n")
    for number in range(1000):
        held.observed(observation(target=f"t{number}", query=f"q{number}"))
        held.round(f"t{number}", whole=False)
        held.cycle(f"t{number}", BEGAN)
    answered = {"outcome": "answered"}
    assert value(held, "monitor_probes_total", target="t9", **answered) == 1
    assert value(held, "monitor_probes_total", target="t10", **answered) is None
    assert value(held, "monitor_probes_total", target="other", **answered) == 990
    assert value(held, "monitor_rounds_missed_total", target="other") == 990
    # Those ten and `other` have new ones only for their queries.
    assert held.page()[1].count(b"\n") - series < 800
    held.configure(reversed(few), rules=("ttft",), config_hash="2")
    held.observed(observation(target="t999", query="hi"))
    assert value(held, "monitor_probes_total", target="t999", **answered) == 1
    assert value(held, "monitor_probes_total", target="t9", **answered) is None


async def test_a_page_is_made_in_a_thread_and_once_for_all_scrapers_of_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[bool] = []
    held = metrics()
    page = held.page

    def noted(accept: str = "") -> tuple[str, bytes]:
        made.append(threading.current_thread() is threading.main_thread())
        return page(accept)

    monkeypatch.setattr(held, "page", noted)
    replies = await asyncio.gather(*(held._answer(None, "/metrics", "") for _ in range(5)))
    assert made == [False]
    assert {reply.body for reply in replies} == {replies[0].body}
    await held._answer(None, "/metrics", "application/openmetrics-text; version=1.0.0")
    assert made == [False, False]
    assert held._rendering is None


async def test_the_thread_of_a_page_pauses_and_leaves_nothing_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = metrics(*(target(f"t{number}") for number in range(20)))
    whole, pauses = generate_latest(held._registry), list[float]()
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert held.page()[1] == whole
    assert len(pauses) > 20
    assert sum(pauses) < 1
    async with held.evaluation():  # it waits for that, but not for long
        assert held.page()[1] == whole
    assert 1 < sum(pauses) < 3


def test_what_runs_is_reported_in_labels() -> None:
    assert value(metrics(), "monitor_build_info", version="1.2.3", region="sin") == 1


@pytest.mark.parametrize(
    ("cycle", "now", "good"),
    [
        (None, 15, True),  # it has only just begun
        (None, 15.1, False),
        (10, 25, True),
        (10, 25.1, False),
    ],
)
def test_health_fails_when_the_last_good_cycle_is_older_than_three_intervals(
    cycle: float | None, now: float, good: bool
) -> None:
    held = metrics(target("rag"), target("slow", every=60 * MINUTE))
    if cycle is not None:
        held.cycle("rag", BEGAN + cycle * MINUTE)
    assert held.health(BEGAN + now * MINUTE).good is good


def test_broken_delivery_is_said_and_does_not_fail_health() -> None:
    held = metrics()
    broken = DeliveryBacklog(channel="bot", broken_since=BEGAN, broken_why="channel_not_found")
    held.delivery([broken, DeliveryBacklog(channel="pager")])
    health = held.health(BEGAN)
    assert health.good
    assert health.says.endswith("delivery to channel bot is broken: channel_not_found")
    assert value(held, "monitor_delivery_broken", channel="bot") == 1
    assert value(held, "monitor_delivery_broken", channel="pager") == 0
    held.delivery([DeliveryBacklog(channel="bot", last_sent_at=BEGAN)])
    sent = "monitor_delivery_last_success_timestamp_seconds"
    assert value(held, sent, channel="bot") == BEGAN.timestamp()
    assert "delivery" not in held.health(BEGAN).says


def test_the_state_that_was_read_out_is_shown() -> None:
    held = metrics()
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    held.delivery([DeliveryBacklog(channel="bot", waiting=3, oldest_at=hour_ago)])
    held.budget(Decimal("-0.10"), 17)
    held.incidents({"ttft": 1, "delivery": 2})
    held.spool(9, 2, on_disk=False)
    held.spool(4, 5, on_disk=True)
    held.round("rag", whole=True)
    held.round("rag", whole=False)
    held.skipped()
    found: dict[str, Any] = {
        name: value(held, name)
        for name in ("monitor_probe_budget_left_usd",
                     "monitor_probe_budget_left_probes", "monitor_spool_observations",
                     "monitor_spool_disk_up", "monitor_spool_dropped_total",
                     "monitor_jobs_skipped_total")
    }  # fmt: skip
    assert list(found.values()) == [0, 17, 4, 1, 5, 1]
    assert value(held, "monitor_outbox_notices", channel="bot") == 3
    assert value(held, "monitor_outbox_oldest_seconds", channel="bot") == pytest.approx(3600, abs=5)
    assert value(held, "monitor_incidents_open", rule="delivery") == 2
    assert value(held, "monitor_incidents_open", rule="spend") == 0
    assert value(held, "monitor_rounds_total", target="rag") == 2
    assert value(held, "monitor_rounds_missed_total", target="rag") == 1


def test_incidents_that_ended_go_back_to_zero() -> None:
    held = metrics()
    held.incidents({"ttft": 1})
    held.incidents({})
    assert value(held, "monitor_incidents_open", rule="ttft") == 0


def test_a_database_that_is_away_is_reported() -> None:
    held = metrics()
    held.database(BEGAN)
    assert value(held, "monitor_database_up") == 1
    held.database(None)
    assert value(held, "monitor_database_up") == 0
    assert (
        value(held, "monitor_last_success_timestamp_seconds", stage="read_out") == BEGAN.timestamp()
    )


def test_unknown_models_cost_between_two_series() -> None:
    held = metrics()
    held.observed(observation(cost_usd=Decimal("0.25")))
    held.observed(observation(
        cost_usd=None, cost_source=None, identity=Identity.CHANGED, model_detected=None,
        cost_low_usd=Decimal("0.25"), cost_high_usd=Decimal("2"),
    ))  # fmt: skip
    assert value(held, "monitor_probes_usd_total", target="rag") == 0.5
    assert value(held, "monitor_probes_high_usd_total", target="rag") == 2.25
    assert value(held, "monitor_ranged_answers_total", target="rag") == 1
    assert value(held, "monitor_unpriced_answers_total", target="rag") == 0
