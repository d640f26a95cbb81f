"""`model_changed`: answers that no longer match the expected model, by nobody known."""

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from monitor.domain import Incident, Verdict, VerdictState
from monitor.incidents.state_machine import ReminderPolicy, advance
from monitor.rules import FallbackRule, ModelChangedRule, Window
from tests.case_tables import each
from tests.probe_notation import EVERY, LLAMA, NOON, after, incident, marked, sample, window


def rounds(marks: str) -> str:
    """Marks in rounds of three."""
    return "|".join(marks[i : i + 3] for i in range(0, len(marks), 3))


def verdict(marks: str, latest_incident: Incident | None = None, **limits: object) -> Verdict:
    seen = window(marked(rounds(marks)))
    return ModelChangedRule(**limits).judge(seen, latest_incident, after(seen))  # type: ignore[arg-type]


def judged(marks: str, latest_incident: Incident | None = None, **limits: object) -> VerdictState:
    return verdict(marks, latest_incident, **limits).state


@each(
    ("marks", "state"),
    [
        ("." * 30, VerdictState.OK),
        ("." * 30 + "C", VerdictState.OK),  # one alone may be the detector's false alarm
        ("." * 30 + "CC", VerdictState.BREACH),
        ("." * 30 + "C?C", VerdictState.BREACH),  # nobody can tell: on neither side
        ("." * 30 + "CxC", VerdictState.BREACH),  # nor do probes without an answer
        ("." * 30 + "C.C", VerdictState.OK),
        ("." * 30 + "CFC", VerdictState.BREACH),  # a name between them ends nothing
        ("." * 30 + "DD", VerdictState.OK),
        ("." * 30 + "DDD", VerdictState.OK),
        ("." * 30 + "DDDD", VerdictState.BREACH),  # as four fallbacks are
        ("." * 30 + "D.DDDD", VerdictState.BREACH),
        ("." * 30 + "DC", VerdictState.OK),
        ("." * 30 + "C.C.C.C.C.C.C", VerdictState.BREACH),  # 7 of 16
        ("." * 30 + "F" * 30, VerdictState.OK),  # that is known by name
        ("." * 30 + "?" * 30, VerdictState.OK),
        ("???", VerdictState.NO_DATA),
        ("xxx", VerdictState.NO_DATA),
        ("FFF", VerdictState.NO_DATA),  # none of them can be compared
    ],
)
def test_it_opens_on_changed_answers_in_a_row_or_on_a_proven_share(
    marks: str, state: VerdictState
) -> None:
    assert judged(marks) is state


@pytest.mark.parametrize(
    ("later", "state"),
    [
        ("", VerdictState.BREACH),
        ("..", VerdictState.BREACH),  # judged by nobody before the good ones came
        ("." * 15, VerdictState.OK),  # too long ago to be news
    ],
)
def test_the_detectors_own_record_is_enough(later: str, state: VerdictState) -> None:
    samples = list(marked(rounds("." * 29 + "C" + later)))
    samples[29] = replace(samples[29], change_detected=True)
    seen = window(iter(samples))
    found = ModelChangedRule().judge(seen, None, after(seen))
    assert found.state is state
    if state is VerdictState.BREACH:
        assert found.since == samples[29].at


def test_a_detected_change_began_with_the_detectors_first_suspicion() -> None:
    """The answers that led to it count: each alone proved nothing and was stored as unknown."""
    samples = list(marked(rounds("." * 30 + "????C")))
    samples[30:34] = [replace(s, cost_low_usd=Decimal("0.02"), cost_high_usd=Decimal("0.04"))
                      for s in samples[30:34]]  # fmt: skip
    samples[34] = replace(samples[34], change_detected=True, change_since=samples[30].at,
                          cost_low_usd=Decimal("0.02"), cost_high_usd=Decimal("0.04"))  # fmt: skip
    seen = window(iter(samples))
    found = ModelChangedRule().judge(seen, None, after(seen))
    assert found.since == samples[30].at
    assert found.because.startswith(
        "Answers no longer match Llama 4 Scout since 2026-11-23 12:50 UTC: 5 of 5 answers (100%) "
        "to 3 queries differ (confidence > 99.9 %)."
    )
    assert [row.int for row in found.rows] == [35, 34, 33, 32, 31]
    opened, _ = advance(None, found, policy=ReminderPolicy(), now=after(seen))
    soon = after(seen) + timedelta(seconds=1)
    seen = window(iter([*samples, sample("C", at=soon, round=NOON + 11 * EVERY)]))
    later = ModelChangedRule().judge(seen, opened, after(seen))
    assert "6 of 6 answers (100%) to 3 queries differ" in later.because


@each(
    ("marks", "because", "extent"),
    [
        # `e`: the response names the expected model, `u`: it names none. Neither is comparable.
        (
            "CeeeCeeee",
            "2 of 2 compared answers (100%) to 2 queries differ; 7 others could not be compared",
            "All of the last 2 compared answers differ; 7 others could not be compared.",
        ),
        (
            "CuC",
            "2 of 2 compared answers (100%) to 2 queries differ; 1 other could not be compared",
            "All of the last 2 compared answers differ; 1 other could not be compared.",
        ),
        (
            "CCe.CC",
            "4 of 5 compared answers (80%) to 3 queries differ; 1 other could not be compared",
            "4 of the last 5 compared answers (80 %) differ; 1 other could not be compared.",
        ),
        (
            "CCC",
            "3 of 3 answers (100%) to 3 queries differ (",
            "All of the last 3 answers differ.",
        ),
        # Without a change of style, a name alone is a comparison.
        ("DDDDeD", "5 of 6 answers (83%) to 3 queries differ (", "5 of the last 6 answers"),
    ],
)
def test_only_compared_answers_are_counted(marks: str, because: str, extent: str) -> None:
    plain = marks.replace("e", ".").replace("u", "?")
    samples = list(marked(rounds("." * 30 + plain)))
    for n, mark in enumerate(marks, 30):
        detected = mark == "C" and n == 30 + marks.rindex("C")
        samples[n] = replace(samples[n], compared=mark not in "eu", change_detected=detected,
                             change_since=samples[30].at if detected else None)  # fmt: skip
    seen = window(iter(samples))
    found = ModelChangedRule().judge(seen, None, after(seen))
    assert because in found.because
    assert found.finding.extent.startswith(extent)


def test_a_suspected_answer_that_could_not_be_compared_is_no_hit() -> None:
    samples = list(marked(rounds("." * 30 + "????C")))
    samples[31] = replace(samples[31], compared=False)
    samples[34] = replace(samples[34], change_detected=True, change_since=samples[30].at)
    seen = window(iter(samples))
    found = ModelChangedRule().judge(seen, None, after(seen))
    assert "4 of 4 compared answers (100%)" in found.because
    assert found.value == 1.0


@pytest.mark.parametrize("ended", [31, 33])
def test_a_suspicion_from_before_the_end_of_the_last_incident_is_no_part_of_the_next(
    ended: int,
) -> None:
    samples = list(marked(rounds("." * 34 + "C")))
    samples[34] = replace(samples[34], change_detected=True, change_since=samples[30].at)
    over = incident("model_changed", opened_at=NOON, resolved_at=samples[ended].at)
    seen = window(iter(samples))
    assert ModelChangedRule().judge(seen, over, after(seen)).since == samples[34].at


def test_where_changed_answers_are_strays_more_than_two_are_needed() -> None:
    assert judged("C" + "." * 29 + "CC") is VerdictState.OK
    assert judged("C" + "." * 29 + "CCCC") is VerdictState.BREACH


def test_rare_changed_answers_in_good_months_open_nothing() -> None:
    assert judged(("." * 19 + "C") * 40) is VerdictState.OK
    assert judged(("." * 39 + "D") * 20) is VerdictState.OK


@pytest.mark.parametrize("marks", ["." * 30 + "C" * 12, "." * 30 + "F" * 12, "." * 30 + "?" * 12])
def test_answers_by_no_one_known_never_count_for_fallback(marks: str) -> None:
    seen = window(marked(rounds(marks)))
    expected = VerdictState.BREACH if "F" in marks else VerdictState.OK
    assert FallbackRule().judge(seen, None, after(seen)).state is expected


def test_the_sentence_says_whose_answers_no_longer_match_and_since_when() -> None:
    found = verdict("." * 30 + "CCC?C")
    assert found.because == (
        "Answers no longer match Llama 4 Scout since 2026-11-23 12:50 UTC: 4 of 4 answers (100%) "
        "to 3 queries differ (confidence > 99.9 %). The answering model is unknown."
    )
    assert (found.value, found.limit) == (1.0, 0.1)
    assert found.since == NOON + timedelta(minutes=50, seconds=1)
    assert [row.int for row in found.rows] == [35, 33, 32, 31]  # the proof, newest first


def test_the_facts_say_what_moved_and_compare_latency_and_cost() -> None:
    marks: dict[str, dict[str, Any]] = {
        "C": {"why": "It differs in more bold.", "cost_usd": None, "ttft_ms": 1127.0},
        ".": {"cost_usd": Decimal("0.000152"), "ttft_ms": 843.0},
    }
    samples = [
        sample(mark, id=UUID(int=n), at=NOON + timedelta(seconds=n), **marks[mark])
        for n, mark in enumerate("....CC")
    ]
    seen = Window.of(samples, scope="rag", every=EVERY, queries=6)
    assert ModelChangedRule().judge(seen, None, after(seen)).facts == {
        "Difference": "It differs in more bold.",
        "TTFT": "1127 ms, before 843 ms",
        "Cost a query": "unknown, because the model is unknown, before $0.000152",
    }


@pytest.mark.parametrize(
    ("confidence", "reported"),
    [
        (0.99, "1 of 1 answer (100%) to 1 query differs (confidence 99.0 %)."),
        (None, "1 of 1 answer (100%) to 1 query differs (confidence 91 %)."),  # by the share alone
    ],
)
def test_a_single_answer_says_how_sure_the_detector_is(confidence: float, reported: str) -> None:
    samples = list(marked(rounds("." * 29 + "C")))
    samples[29] = replace(samples[29], change_detected=True, confidence=confidence)
    seen = window(iter(samples))
    assert reported in ModelChangedRule().judge(seen, None, after(seen)).because


@pytest.mark.parametrize(
    ("low", "high", "reported"),
    [
        # Only the expected model is declared: its own price says nothing of another's.
        ("0.000152", "0.000152", "unknown, because the model is unknown, before $0.000152"),
        ("0.000152", "0.0021", "between $0.000152 and $0.002100, before $0.000152"),
    ],
)
def test_the_cost_of_an_unknown_model_is_a_range_or_not_known(
    low: str, high: str, reported: str
) -> None:
    ends = {"cost_low_usd": Decimal(low), "cost_high_usd": Decimal(high)}
    samples = [
        sample(mark, id=UUID(int=n), at=NOON + timedelta(seconds=n),
               **({"cost_usd": None, **ends} if mark == "C" else {"cost_usd": Decimal("0.000152")}))
        for n, mark in enumerate("....CC")
    ]  # fmt: skip
    seen = Window.of(samples, scope="rag", every=EVERY, queries=6)
    assert ModelChangedRule().judge(seen, None, after(seen)).facts["Cost a query"] == reported


def test_latency_is_compared_over_the_same_queries() -> None:
    samples = [
        sample(mark, id=UUID(int=n), at=NOON + timedelta(seconds=n), query=query, ttft_ms=ms)
        for n, (mark, query, ms) in enumerate(
            [(".", "hi", 500.0), (".", "kbli", 1300.0), (".", "hi", 500.0), (".", "kbli", 1300.0),
             ("C", "kbli", 1400.0), ("C", "kbli", 1600.0)]
        )
    ]  # fmt: skip
    seen = Window.of(samples, scope="rag", every=EVERY, queries=6)
    facts = ModelChangedRule().judge(seen, None, after(seen)).facts
    assert facts["TTFT"] == "1500 ms, before 1300 ms"


def test_disputed_answers_say_that_the_evidence_is_contradictory() -> None:
    found = verdict("." * 30 + "DDDD")
    assert found.because.endswith("The evidence about the answering model is contradictory.")
    assert found.facts["Model named"] == LLAMA


# ------------------------------------------------------------ resolution


def opened(**changes: Any) -> Incident:
    """Opened by the second of the two changed answers that end the first thirty-two."""
    at = NOON + timedelta(minutes=50, seconds=3)
    return incident("model_changed", opened_at=at, since=at - timedelta(seconds=2), **changes)


@each(
    ("later", "state"),
    [
        ("CCC", VerdictState.BREACH),
        ("...", VerdictState.BREACH),
        ("." * 14, VerdictState.BREACH),
        ("." * 15, VerdictState.OK),
        ("." * 14 + "C", VerdictState.BREACH),
        ("." * 14 + "D", VerdictState.BREACH),
        ("C" + "." * 15, VerdictState.OK),
        ("F" * 30, VerdictState.BREACH),  # a name was found: still not the expected model
        ("F" * 9 + "." * 15, VerdictState.OK),
        ("?" * 30, VerdictState.NO_DATA),
        ("x" * 30, VerdictState.NO_DATA),
    ],
)
def test_it_is_over_after_fifteen_answers_that_match_again(later: str, state: VerdictState) -> None:
    assert judged("." * 30 + "CC" + later, opened()) is state


def test_a_partial_change_needs_more_to_be_over() -> None:
    latest_incident = opened(opening_value=0.3)
    before = "." * 30 + "CC" + ".....C." * 12
    assert judged(before + "." * 15, latest_incident) is not VerdictState.OK
    assert judged(before + "." * 60, latest_incident) is VerdictState.OK


def test_while_it_is_open_the_share_is_counted_from_the_first_changed_answer() -> None:
    found = verdict("." * 30 + "CC" + "C" * 27 + "...", opened())
    assert found.value == pytest.approx(29 / 32)
    assert "since 2026-11-23 12:50 UTC: 29 of 32 answers (91%)" in found.because
    assert found.since == NOON + timedelta(minutes=50, seconds=1)


def test_the_latest_are_named_where_a_name_was_found() -> None:
    found = verdict("." * 30 + "CC" + "FFFF", opened())
    assert found.because.endswith(
        "6 of 6 answers (100%) to 3 queries differ (confidence > 99.9 %). "
        "The latest came from Claude Haiku 4.5."
    )


def test_a_baseline_that_a_person_confirmed_ends_it_at_once() -> None:
    samples = list(marked(rounds("." * 30 + "CCCC")))
    at = samples[-1].at + timedelta(seconds=1)
    seen = Window.of(samples, scope="rag", every=EVERY, queries=3, baseline_at=at)
    found = ModelChangedRule().judge(seen, opened(), after(seen))
    assert (found.state, found.literal) == (VerdictState.OK, True)
    assert found.because == "A person confirmed the baseline at 12:55 UTC."
    resolved = opened(resolved_at=at)
    assert ModelChangedRule().judge(seen, resolved, after(seen)).state is VerdictState.NO_DATA
    assert ModelChangedRule().judge(seen, None, after(seen)).state is VerdictState.NO_DATA


def test_a_baseline_older_than_the_incident_ends_nothing() -> None:
    samples = marked(rounds("." * 30 + "CCCC"))
    seen = Window.of(samples, scope="rag", every=EVERY, queries=3, baseline_at=NOON)
    assert ModelChangedRule().judge(seen, opened(), after(seen)).state is VerdictState.BREACH


def test_after_its_end_only_later_answers_count() -> None:
    latest_incident = incident(
        "model_changed", resolved_at=NOON + timedelta(minutes=10, seconds=30)
    )
    assert judged("CCCCCCCCC", latest_incident) is VerdictState.NO_DATA
    assert judged("CCCCCCCCC" + "C", latest_incident) is VerdictState.OK
    assert judged("CCCCCCCCC" + "CC", latest_incident) is VerdictState.BREACH


def test_after_a_gap_only_fresh_answers_count() -> None:
    early = list(marked("..C"))
    late = list(marked("C..", start=NOON + timedelta(hours=3)))
    seen = window(iter([*early, *late]))
    assert ModelChangedRule().judge(seen, None, after(seen)).state is VerdictState.OK


@each(("opened", "differ", "answers"), [
    ("...C", 0, 42),  # the most: nothing proves more than 15 %
    ("...C", 5, 18),
    ("...C", 8, 15),
    ("..CC", 3, 15),
    ("CCC", 0, 15),
])  # fmt: skip
def test_good_answers_end_it_by_the_share_that_differed(
    opened: str, differ: int, answers: int
) -> None:
    """`opened`: the answers since the detector's suspicion. `differ`: how many more differ."""
    first = window(marked(opened), queries=99)
    fired = incident(
        "model_changed", opened_at=after(first), since=first.samples[0].at,
        opening_value=opened.count("C") / len(opened),
    )  # fmt: skip
    good = 0
    while good < 99:
        good += 1
        seen = window(marked(f"{opened}|{'C' * differ}{'.' * good}"), queries=99)
        if ModelChangedRule().judge(seen, fired, after(seen)).state is VerdictState.OK:
            break
    assert good == answers


def test_the_runbook_says_how_many_answers_end_it() -> None:
    """The numbers are those of the table above."""
    runbook = (Path(__file__).parents[2] / "docs/runbook.md").read_text(encoding="utf-8")
    for rule in ("fallback", "model_changed"):
        said = runbook.partition(f"\n## {rule}\n")[2].partition("\n## ")[0]
        assert re.search(r"RESOLVED \(?after 15 [a-z ]*answers[^.]* or up to 42 if", said), rule


# ------------------------------------------------------------ other readings


@pytest.mark.parametrize(
    ("marks", "state"),
    [
        ("...", VerdictState.OK),
        ("..C", VerdictState.BREACH),
        ("..D", VerdictState.BREACH),
        (".C.", VerdictState.BREACH),  # judged by nobody before the good one came
        ("..F", VerdictState.OK),
        ("..?", VerdictState.OK),
    ],
)
def test_immediate_takes_each_answer_literally(marks: str, state: VerdictState) -> None:
    assert judged(marks, mode="immediate") is state


def test_immediate_is_over_with_the_next_answer_that_matches() -> None:
    fired = incident("model_changed", opened_at=NOON + timedelta(seconds=4))
    over = replace(fired, resolved_at=NOON + timedelta(seconds=6))
    assert judged(".C", fired, mode="immediate") is VerdictState.NO_DATA  # nothing new
    assert judged(".C.", fired, mode="immediate") is VerdictState.OK
    assert judged(".C.", over, mode="immediate") is VerdictState.NO_DATA
    assert judged(".C." + "C..", over, mode="immediate") is VerdictState.BREACH


@pytest.mark.parametrize(
    ("marks", "state"),
    [
        ("." * 18 + "CC", VerdictState.OK),  # 2 of 20 is the limit
        ("." * 17 + "CCC", VerdictState.BREACH),
        ("CCC" + "." * 20, VerdictState.OK),
    ],
)
def test_share_is_more_than_the_limit_of_the_last_twenty(marks: str, state: VerdictState) -> None:
    assert judged(marks, mode="share") is state


@pytest.mark.parametrize(
    ("limits", "reported"),
    [
        ({"limit": 0}, "limit = 0: write a number between 0.001 and 0.9"),
        ({"changed": 0}, "changed = 0: write a number of at least 1"),
        ({"answers_to_resolve": 500}, "answers_to_resolve = 500: write a number between 1 and 200"),
    ],
)
def test_a_senseless_limit_is_refused_with_its_remedy(
    limits: dict[str, float], reported: str
) -> None:
    with pytest.raises(ValueError, match=f"^{reported}$"):
        ModelChangedRule(**limits)  # type: ignore[arg-type]
