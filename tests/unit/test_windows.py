"""Windows: the last day of a target, bounded, and the same however it was built."""

from array import array
from dataclasses import fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import CostSource, Identity, Outcome, Sample, Subject, VerdictState
from monitor.rules import RULES, SAMPLES, SPAN, TtftRule, Window
from monitor.rules.packed_samples import SampleLog
from monitor.rules.window import KNOWN, ROUNDS, RUN_IN
from tests.probe_notation import EVERY, NOON, after, incident, marked, sample, window

OF_TARGETS = [rule() for rule in RULES.values() if rule.subject is Subject.TARGET]
MARKS = st.lists(st.text(".F?CDxT-r", min_size=1, max_size=3), min_size=1, max_size=60)


@given(rounds=MARKS, latest_incident=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_rebuilt_window_judges_as_one_that_grew(rounds: list[str], latest_incident: bool) -> None:
    """A restart changes nothing: every rule sees the same rows in the same light."""
    samples = list(marked("|".join(rounds)))
    grown = Window("rag", every=EVERY, queries=3)
    for each in samples:
        grown.add(each)
        for rule in OF_TARGETS:  # judging leaves no trace
            rule.judge(grown, None, each.at)
    anew = window(iter(samples))
    for rule in OF_TARGETS:
        open_ = (
            incident(rule.name, opened_at=NOON + timedelta(minutes=12)) if latest_incident else None
        )
        now = after(grown)
        assert rule.judge(anew, open_, now) == rule.judge(grown, open_, now)


def test_a_window_holds_a_day_and_no_more_than_its_bounds() -> None:
    seen = Window("rag")
    for each in marked("|".join([".F?"] * 900), every=timedelta(minutes=2)):
        seen.add(each)
    newest = seen.samples[-1].at
    assert all(newest - each.at <= SPAN for each in seen.samples)
    assert len(seen.samples) <= SAMPLES
    assert len(seen.rounds) == ROUNDS
    assert len(seen.known) == KNOWN
    assert seen.known.hits(KNOWN) == KNOWN // 2
    untold = [each for each in seen.samples if each.model is None]
    assert (seen.answered, seen.unknown) == (len(seen.samples), len(untold))


@pytest.mark.parametrize(
    ("spacing", "then", "gap"),
    [
        (timedelta(minutes=5), timedelta(minutes=15), False),
        (timedelta(minutes=5), timedelta(minutes=16), True),
        (timedelta(seconds=1), timedelta(minutes=2), False),  # one probe may take that long
        (timedelta(seconds=1), timedelta(minutes=3), True),
        (timedelta(minutes=40), timedelta(minutes=40), False),  # slower than asked, but steady
    ],
)
def test_three_missing_intervals_are_a_gap(spacing: timedelta, then: timedelta, gap: bool) -> None:
    before = list(marked("|".join("." * 12), every=spacing))
    late = sample(at=before[-1].round + then, round=before[-1].round + then)
    seen = Window.of([*before, late], scope="rag", every=min(spacing, EVERY), queries=1)
    assert (len(seen.known) == 1) is gap


def test_a_target_slower_than_it_is_asked_is_not_taken_for_one_gap_after_the_other() -> None:
    """Rounds that take seven seconds at an interval of one: the pace is learnt."""
    seven = timedelta(minutes=7)
    seen = Window.of(
        marked("|".join("." * 30), every=seven), scope="rag", every=timedelta(minutes=1), queries=1
    )
    assert seen.pace == seven
    assert len(seen.known) >= 20


def test_pace_and_queries_are_learnt_where_no_one_says_them() -> None:
    seen = Window("rag")
    closed = [seen.add(each) for each in marked("...|...|...")]
    assert (seen.pace, seen.queries) == (EVERY, 3)
    # The first round is known to be whole when the second begins; later ones at once.
    assert closed == [False, False, False, True, False, True, False, False, True]


def test_a_round_closes_when_it_is_whole_or_when_the_next_begins() -> None:
    seen = Window("rag", every=EVERY, queries=3)
    assert [seen.add(each) for each in marked("...|..|...")] == [
        False, False, True,
        False, False,
        True, False, True,
    ]  # fmt: skip


def test_a_late_sample_joins_its_own_round() -> None:
    first, second, third = marked("..|.")
    seen = window(iter([first, third, second]), queries=2)
    assert [len(each.samples) for each in seen.rounds] == [2, 1]


def test_a_late_round_takes_its_place_in_time() -> None:
    first, second, third = marked(".|.|.")
    seen = window(iter([first, third, second]), queries=1)
    assert [each.slot for each in seen.rounds] == [first.round, second.round, third.round]


def test_an_extra_probe_counts_for_the_round_before_it_but_is_none_of_its_measurements() -> None:
    first, *rest = marked("...|...")
    extra = sample(id=UUID(int=9), at=rest[2].at - timedelta(minutes=2), query="q0", extra=True)
    extra = replace(extra, round=extra.at)
    seen = Window("rag", every=EVERY, queries=3)
    assert not any(seen.add(each) for each in (first, rest[0]))
    assert seen.add(rest[1])
    assert not seen.add(extra), "no round is closed by it"
    assert [len(each.samples) for each in seen.rounds] == [3]
    assert (seen.samples[3].round, seen.samples[3].extra) == (first.round, True)
    for each in rest[2:]:
        seen.add(each)
    assert [len(each.samples) for each in seen.rounds] == [3, 3]
    assert seen.pace == EVERY
    assert len(seen.known) == 7, "it is an answer like others"
    assert seen.reprice(replace(extra, cost_usd=Decimal("0.5")))
    assert seen.samples[3].cost_usd == Decimal("0.5")


def test_extra_probes_of_one_query_disturb_no_other_rule() -> None:
    """Each of two rounds is followed by three extra probes of its slow query, which fails."""
    found: list[Sample] = []
    latencies = {"q0": 519.0, "q1": 1301.0, "q2": 1182.0}
    for order in range(82):
        slot, late = NOON + order * EVERY, order >= 80
        for nth, query in enumerate(("q0", "q1", "q2", *["q1"] * 3 * late)):
            at = slot + timedelta(seconds=2 * nth + 1 if nth < 3 else 60 * (nth - 2))
            lost = late and query == "q1"
            found.append(
                sample(
                    id=UUID(int=100 * order + nth), at=at, round=at if nth > 2 else slot,
                    query=query, extra=nth > 2, ttft_ms=latencies[query],
                    check_passed=not lost, check_failed="no sources" if lost else None,
                    source_count=0 if lost else 5, prompt_tokens=300 if lost else 900,
                    cost_source=CostSource.REPORTED,
                )
            )  # fmt: skip
    rules = [*OF_TARGETS, TtftRule(mode="consecutive")]
    states = [
        [rule.judge(seen, None, after(seen)).state for rule in rules if rule.name != "retrieval"]
        for seen in (window(iter(found)), window(each for each in found if not each.extra))
    ]
    assert states[0] == states[1]
    assert VerdictState.BREACH not in states[0]


def random_history(seed: int) -> list[Sample]:
    """Two days of rounds at an interval of minutes to hours, with gaps and bad stretches."""
    random = Random(seed)
    every = timedelta(minutes=random.choice([2, 5, 20, 60, 180]))
    queries = random.choice([1, 3])
    found: list[Sample] = []
    slot, marks = NOON, "...."
    while slot < NOON + 2 * SPAN:
        if random.random() < 0.05:
            marks = random.choice(["....", "FFF.", "xxx.", "?C..", "DT.-", "r.x."])
        if random.random() > 0.01:
            for query in range(queries):
                at = slot + timedelta(seconds=7 * query + random.random())
                found.append(
                    sample(
                        random.choice(marks),
                        id=UUID(int=random.getrandbits(128)),
                        at=at,
                        round=slot,
                        query=f"q{query}",
                        recorded_at=at + timedelta(seconds=random.random()),
                    )
                )
        for nth in range(random.choice([0] * 20 + [3])):  # extra probes
            at = slot + every * (nth + 1) / 5
            found.append(
                sample(
                    random.choice(marks), id=UUID(int=random.getrandbits(128)), at=at, round=at,
                    query="q0", extra=True,
                )
            )  # fmt: skip
        gap = random.randrange(2, 9) if random.random() < 0.01 else 1
        slot += every * gap * (1 if random.random() > 0.03 else 3)
    timed = (
        replace(each, ttft_ms=random.lognormvariate(7, 0.4)) if each.ttft_ms is not None else each
        for each in found
    )
    return [replace(each, degraded=True, ttft_ms=None) if random.random() < 0.05 else each
            for each in timed]  # fmt: skip


def of_day(samples: list[Sample], now: datetime, *, queries: int, every: timedelta) -> Window:
    """A window as it is read from the database: the last day, with the rounds before it."""
    past = [each for each in samples if each.at <= now]
    since = now - SPAN
    before = [each for each in past if each.at < since][-RUN_IN * queries :]
    anew = Window.of([*before, *(e for e in past if e.at >= since)][-SAMPLES - len(before) :],
                     scope="rag", every=every, queries=queries,
                     deadline=timedelta(minutes=1))  # fmt: skip
    anew.forget(since)
    return anew


@pytest.mark.parametrize("seed", range(8))
def test_a_window_that_grew_for_days_judges_as_one_that_was_just_read(seed: int) -> None:
    samples = random_history(seed)
    slots = [each.round for each in samples if not each.extra]
    every = min(b - a for a, b in pairwise(slots) if b > a)
    queries = len({each.query for each in samples})
    grown = Window("rag", every=every, queries=queries, deadline=timedelta(minutes=1))
    grown.log.first = 65_300 * (seed % 2)  # 16 bits of each number are kept
    looks = Random(seed)
    for nth, each in enumerate(samples):
        grown.add(each)
        later = samples[nth + 1].at if nth + 1 < len(samples) else each.at + every
        if each.at < NOON + SPAN or looks.random() > 30 / len(samples):
            continue
        now = each.at + (later - each.at) * looks.random()
        grown.forget(now - SPAN)
        anew = of_day(samples, now, queries=queries, every=every)
        open_since = now - timedelta(hours=looks.randrange(1, 30))
        for rule in OF_TARGETS:
            for open_ in (None, incident(rule.name, opened_at=open_since)):
                assert rule.judge(grown, open_, now) == rule.judge(anew, open_, now), (rule, now)


def test_every_field_of_a_sample_is_packed() -> None:
    """A new field belongs to the kind of a sample, to its details or to a column of its own."""
    known = {"id", "at", "round", "query", "outcome", "ttft_ms", "identity", "model", "cost_usd",
             "why", "change_detected", "change_since", "error", "cost_low_usd", "cost_high_usd",
             "recorded_at", "confidence", "degraded", "compared", "check_passed",
             "check_failed", "extra"}  # fmt: skip
    by_query = {"source_count", "source_best_score", "source_newest_at", "prompt_tokens",
                "answer_tokens", "cached_tokens", "cost_source"}  # fmt: skip
    assert {field.name for field in fields(Sample)} == known | by_query | {"tpot_ms"}


AMOUNTS = st.one_of(st.none(), st.decimals(0, 10**6, places=12), st.just(Decimal("1e-15")))


@given(
    cost=AMOUNTS, low=AMOUNTS, high=AMOUNTS, ttft_ms=st.none() | st.floats(0, 1e9),
    identity=st.sampled_from(Identity), outcome=st.sampled_from(Outcome),
    degraded=st.booleans(), compared=st.booleans(),
    stored_s=st.none() | st.integers(-300, 10**6), late_s=st.integers(-10, 10**5),
    texts=st.lists(st.text(max_size=300), max_size=40),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_packed_sample_is_what_it_was(
    cost: Decimal | None, low: Decimal | None, high: Decimal | None, ttft_ms: float | None,
    identity: Identity, outcome: Outcome, degraded: bool, compared: bool, stored_s: int | None,
    late_s: int, texts: list[str],
) -> None:  # fmt: skip
    """Except what no rule reads: how sure an expected model is, and why."""
    log, read = SampleLog(), identity not in (Identity.EXPECTED, Identity.UNKNOWN)
    given_samples = [
        sample(
            id=UUID(int=nth << 60), at=NOON + timedelta(seconds=nth),
            round=NOON - timedelta(seconds=late_s), identity=identity, outcome=outcome,
            ttft_ms=1234.567891 if nth % 2 else ttft_ms,  # a number of ns
            cost_usd=Decimal("0.00014") if low is None and nth % 2 else cost,
            cost_low_usd=low, cost_high_usd=high,
            recorded_at=None if stored_s is None else NOON + timedelta(seconds=stored_s),
            why=text if read else "", error=text, confidence=0.5 if read else None,
            degraded=degraded, compared=compared, change_detected=compared,
            check_passed=None if compared else degraded, check_failed=text if degraded else None,
            change_since=NOON if degraded else None,
        )
        for nth, text in enumerate(["", *texts])
    ]  # fmt: skip
    for each in given_samples:
        log.append(each)
    log.drop(len(texts) // 2)
    assert [log.sample(n) for n in range(log.first, log.end)] == given_samples[log.first :]


def test_a_day_of_a_target_takes_little_memory() -> None:
    """About 106 KiB a target, 23 of them for sources and usage; as objects a megabyte."""
    import tracemalloc

    random = Random(1)
    samples = [
        sample(
            id=UUID(int=random.getrandbits(128)), at=slot + timedelta(seconds=7), round=slot,
            query="q0", ttft_ms=random.randrange(4 * 10**9) / 1e6, recorded_at=slot + EVERY,
            cost_usd=Decimal(random.randrange(10**9)).scaleb(-12), source_count=5,
            source_best_score=random.random(), prompt_tokens=random.randrange(10**4),
            answer_tokens=random.randrange(10**3), cost_source=CostSource.REPORTED,
        )
        for slot in (NOON + timedelta(minutes=nth) for nth in range(1440))
    ]  # fmt: skip
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        window = Window.of(iter(samples), scope="rag", every=timedelta(minutes=1), queries=1)
        after_, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(window.samples) == 1440
    assert after_ - before < 115 * 1024, after_ - before


COUNTS = st.none() | st.integers(0, 70_000)


@given(
    rows=st.lists(
        st.tuples(COUNTS, COUNTS, COUNTS, st.none() | st.floats(0, 1), st.booleans()), max_size=40
    ),
    dropped=st.integers(0, 40),
)
@settings(max_examples=60, deadline=None)
def test_figures_of_answers_are_what_they_were(
    rows: list[tuple[int | None, int | None, int | None, float | None, bool]], dropped: int
) -> None:
    """Whatever their columns began with: no value, a small number, a large one or a fraction."""
    window = Window("rag", every=EVERY, queries=1)
    for nth, (prompt, answer, sources, score, priced) in enumerate(rows):
        at = NOON + nth * EVERY
        window.add(
            sample(
                at=at, round=at, query="q0", prompt_tokens=prompt, answer_tokens=answer or 0,
                source_count=sources or 0, source_best_score=score,
                cost_usd=Decimal("0.25") if priced else None, cost_source=CostSource.REPORTED,
            )
        )  # fmt: skip
    window.forget(NOON + dropped * EVERY)
    left = rows[dropped:]
    expected = [
        [row[2] or 0 for row in left],
        [row[3] for row in left],
        [0.25 if row[4] else None for row in left],
        [row[0] for row in left],
        [row[1] or 0 for row in left],
    ]
    found = []
    for histories, columns in ((window.histories.sources, 2), (window.histories.usage, 3)):
        for column in range(columns):
            values = [v for history in histories.values() for v in history.column(column)]
            latest = [v for history in histories.values() for v in history.latest(column, 3)]
            assert repr(latest) == repr(values[-3:])
            found.append(values)
    assert [[None if v != v else v for v in one] for one in found] == [  # NaN: not known
        [None if v is None else array("f", [v])[0] for v in one] for one in expected
    ]
