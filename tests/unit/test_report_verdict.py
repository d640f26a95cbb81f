"""The first sentence of a page: what is wrong, since when and how bad; or that all is well."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from monitor.domain import report
from monitor.reports.verdict import page_sentences, state_sentences, times_text
from tests.case_tables import each
from tests.example_reports import HAIKU, HOUR, LLAMA, SINCE, query_cost, report_page, target_report

NOW = SINCE + 12 * HOUR
MINUTE = timedelta(minutes=1)


def probe(**changes: Any) -> report.LastProbe:
    ordinary = report.LastProbe(
        target="rag", slot=NOW - 2 * MINUTE, started_at=NOW - 2 * MINUTE, region="", query="hi",
        outcome="answered", error=None, ttft_ms=800.0, model=LLAMA, identity="expected",
        cost_usd=Decimal("0.0001"), good=True,
    )  # fmt: skip
    return replace(ordinary, **changes)


def last(*probes: report.LastProbe, target: str = "rag", **changes: Any) -> report.LastRound:
    every = changes.get("every", 5 * MINUTE)
    return report.LastRound(target=target, every=every, probes=probes)


def incident(rule: str, **changes: Any) -> report.IncidentRow:
    [ordinary, *_] = report_page().incidents
    began = NOW - 2 * HOUR
    ordinary = replace(ordinary, rule=rule, opened_at=began, resolved_at=None, first_seen_at=began)
    return replace(ordinary, **changes)


def texts(*rounds: report.LastRound, **known: Any) -> list[str]:
    incidents = known.pop("incidents", ())
    return [item.text for item in state_sentences(rounds, incidents, now=NOW, **known)]


def test_a_fallback_is_told_with_model_time_and_cost() -> None:
    fell = last(probe(model=HAIKU, identity="fallback"), probe())
    assert texts(fell, incidents=[incident("fallback")], cost_ratios={"rag": 15.2}) == [
        "Claude Haiku 4.5 answers rag since 10:00 UTC (2 h 0 min); 15 × the cost."
    ]
    assert texts(last(), incidents=[incident("fallback")]) == [
        "rag, fallback since 10:00 UTC (2 h 0 min): 18 of 24 answers fell back."
    ]


def test_an_answer_that_failed_its_check_is_not_well() -> None:
    assert texts(last(probe(check_failed="json: the answer is not one\x1b[1m JSON"), probe())) == [
        "No incident is open. rag: 1 of 2 answers failed a check (json: the answer is not one "
        "JSON) in the last round, 2 min ago."
    ]


def test_an_incident_that_came_back_is_told_since_its_return() -> None:
    again = incident("fallback", breach_since=NOW - 3 * MINUTE)
    fell = last(probe(model=HAIKU, identity="fallback"))
    assert texts(fell, incidents=[again]) == [
        "Claude Haiku 4.5 answers rag since 11:57 UTC (3 min)."
    ]


def test_other_rules_are_told_in_their_own_sentence() -> None:
    down = incident("down", because="5 of the last 6 probes failed.", opening_because=None)
    spend = incident("spend", scope="all", because="The day has cost $2.30.")
    assert texts(last(probe()), incidents=[down, spend]) == [
        "rag, down since 10:00 UTC (2 h 0 min): 5 of the last 6 probes failed.",
        "All targets, spend since 10:00 UTC (2 h 0 min): The day has cost $2.30.",
    ]


@each(
    ("rounds", "sentence"),
    [
        ([last(probe())], "rag is well; last round 2 min ago."),
        ([last(probe()), last(probe(), target="b")], "All targets are well; last round 2 min ago."),
        ([last()], "rag has not been probed yet."),
        ([], "No target is configured."),
        ([last(probe(good=False, outcome="eof"), probe())],
         "No incident is open. rag: 1 of 2 probes failed in the last round, 2 min ago."),
        ([last(probe(identity="changed"))],
         "No incident is open. rag: 1 of 1 answer is not the expected model's in the last "
         "round, 2 min ago."),
        ([last(probe(slot=NOW - 15 * MINUTE))], "rag is well; last round 15 min ago."),
        ([last(probe(slot=NOW - 16 * MINUTE))],
         "rag: no round since 11:44 UTC (16 min); one is due every 5 min."),
        ([last(probe(), every=timedelta(seconds=1))], "rag is well; last round 2 min ago."),
        ([last(probe(slot=NOW - HOUR), every=None)], "No target is configured."),
    ],
)  # fmt: skip
def test_without_an_incident_the_sentence_is_about_the_last_rounds(
    rounds: list[report.LastRound], sentence: str
) -> None:
    assert texts(*rounds) == [sentence]


def test_a_failure_without_an_incident_is_neither_good_nor_bad() -> None:
    [unsure] = state_sentences([last(probe(good=False))], (), now=NOW)
    [well] = state_sentences([last(probe())], (), now=NOW)
    assert (unsure.bad, unsure.good) == (False, False)
    assert (well.bad, well.good) == (False, True)


def test_the_cost_is_compared_over_the_queries_that_both_models_answered() -> None:
    fell = target_report(
        last_round=last(probe(model=HAIKU, identity="fallback")),
        costs=(query_cost(LLAMA, 4, "0.0001"), query_cost(HAIKU, 4, "0.0025"),
               replace(query_cost(HAIKU, 9, "9"), query="other"), query_cost(None, 1, None)),
    )  # fmt: skip
    [said] = page_sentences(
        report_page(targets=(fell,), incidents=(incident("fallback"),), until=NOW)
    )
    assert said.bad
    assert said.text.endswith("; 25 × the cost.")


def test_without_a_price_nothing_is_said_of_the_cost() -> None:
    round_ = last(probe(model=HAIKU, identity="fallback"))
    fell = target_report(
        last_round=round_, costs=(query_cost(LLAMA, 4, "0.0001"), query_cost(HAIKU, 4, None))
    )
    [said] = page_sentences(
        report_page(targets=(fell,), incidents=(incident("fallback"),), until=NOW)
    )
    assert said.text == "Claude Haiku 4.5 answers rag since 10:00 UTC (2 h 0 min)."


@pytest.mark.parametrize(
    ("times", "text"), [(15.2, "15 ×"), (2.54, "2.5 ×"), (3.0, "3 ×"), (0.4, "0.4 ×")]
)
def test_a_multiple_has_two_digits(times: float, text: str) -> None:
    assert times_text(times) == text
