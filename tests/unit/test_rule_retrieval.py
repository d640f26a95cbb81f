"""`retrieval`: sources vanish, or become fewer, worse or older than in the query's history."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from monitor.backtest.input_rows import BacktestRow
from monitor.backtest.replay import Replay
from monitor.domain import Sample, Verdict, VerdictState
from monitor.incidents.state_machine import ReminderPolicy
from monitor.rules import RetrievalRule
from monitor.rules.source_losses import RetrievedAnswer, query_to_confirm
from tests.case_tables import each
from tests.probe_notation import EVERY, NOON, after, incident, sample, window

OK, HOLD, BREACH, NO_DATA = (
    VerdictState.OK,
    VerdictState.HOLD,
    VerdictState.BREACH,
    VerdictState.NO_DATA,
)
DATED = NOON - timedelta(days=30)


def retrieved(
    marks: str, *, start: int = 0, score: float = 0.7, newest: datetime = DATED, same: bool = False
) -> Iterator[Sample]:
    """Rounds of queries by their number of sources; `n` lists none (NULL), `x` failed.

    After a comma, extra answers of `q0`, a minute apart: `055,00|`.

    Scores vary a little, unless the answers are all the `same`.
    """
    number = 1000 * start
    for order, requested in enumerate(marks.strip("|").split("|")):
        slot = NOON + (start + order) * EVERY
        of_round, _, extra = requested.partition(",")
        for nth, mark in enumerate(of_round + extra):
            number += 1
            count = int(mark) if mark.isdigit() else None
            later = nth - len(of_round) + 1  # minutes after the round, if it is extra
            at = slot + timedelta(seconds=2 * nth + 1 if later < 1 else 60 * later)
            yield replace(
                sample("x" if mark == "x" else "."),
                id=UUID(int=number),
                at=at,
                round=slot if later < 1 else at,
                query=f"q{nth}" if later < 1 else "q0",
                extra=later >= 1,
                source_count=count,
                source_best_score=score + (not same) * number % 7 / 1000 if count else None,
                source_newest_at=newest if count else None,
            )


def judged(*parts: Iterator[Sample], queries: int = 3) -> Verdict:
    seen = window((one for part in parts for one in part), queries=queries)
    return RetrievalRule().judge(seen, None, after(seen))


@each(("usual", "then", "state"), [
    ("555|" * 24, "555", OK),
    ("555|" * 24, "000", OK),  # one round
    ("555|" * 24, "000|000", BREACH),  # two
    ("555|" * 24, "nnn|nnn", BREACH),  # a protocol that leaves an empty list out
    ("555|" * 24, "005|005", BREACH),  # two queries of three
    ("555|" * 73, "055|055", OK),  # one query alone
    ("555|" * 73, "055|055|055", BREACH),  # three rounds
    ("555|" * 12, "055|" * 5, OK),  # with less than six hours of history
    ("555|" * 12, "055|" * 6, BREACH),
    ("555|" * 11, "055|" * 6, OK),  # too little is known
    ("555|" * 60, "055|" * 29, OK),
    ("555|" * 60, "055|" * 30, BREACH),  # half of the rounds before
    ("555|" * 12, "055|" * 4 + "555|" + "055|" * 6, OK),
    ("555|" * 73, "055,000", OK),  # one round, however often it is confirmed
    ("555|" * 73, "055,000|055", BREACH),  # one query alone, confirmed
    ("555|" * 73, "055,00|055", OK),
    ("555|" * 73, "055,00|055,0", BREACH),
    ("555|" * 73, "055,000|555|055", OK),  # a fault of three minutes
    ("555|" * 73, "055,005|055", OK),
    ("555|" * 40 + "055,5|" + "555|" * 33, "055,000|055", OK),  # empty results happen
    ("555|" * 40 + "055,5|" + "555|" * 200, "055,000|055,000", BREACH),
    ("555|" * 40 + "055,005|" + "555|" * 200, "055,000|055,000", BREACH),  # a fault counts once
    ("555|" * 24, "055,000|055,000", OK),  # with less than six hours of history
    ("5|" * 73, "0,000|0", BREACH),
    ("5|" * 73, "0,00|0", OK),
    ("5|" * 73, "0|0", OK),  # the only query
    ("5|" * 73, "0|0|0", BREACH),
    ("55|" * 24, "00|00", BREACH),
    ("555|" * 73, "055|555|055", OK),  # a single empty result, twice
    ("555|" * 24, "000|xxx", OK),  # a failure says nothing about the sources
    ("555|" * 73, "055|x55|055|055", BREACH),
    ("555|" * 11, "000|000", OK),  # too little is known
    ("000|" * 24, "000|000", OK),  # never had any
    ("nnn|" * 24, "nnn|nnn", NO_DATA),  # a protocol without sources
    ("055|" * 24, "055|055", OK),  # a query that never has any, among others
    ("055|" * 24, "000|000", BREACH),
    ("555|" * 40 + "055|" + "555|" * 33, "055|055|055", OK),  # empty results happen
    ("555|" * 40 + "055|" + "555|" * 33, "055|055|055|055", BREACH),
    ("555|" * 40 + "055|" + "555|" * 33, "000|000", BREACH),
    # present at times only: an hour without sources is usual
    (("555|" * 12 + "055|" * 8) * 6, "055|" * 12, OK),
    (("555|" * 12 + "055|" * 8) * 6, "000|000", BREACH),
    ("555|055|" * 60, "055|055|055|055|055|055", OK),
    # single empty results and, now and then, an hour of them
    ("555|055|" * 30 + "555|" * 10 + "055|" * 14 + "555|" * 40, "055|" * 28, OK),
    ("666|" * 24, "333|333", OK),
    ("666|" * 24, "333|333|333", BREACH),  # half of the sources
    ("666|" * 24, "555|555|555|555|555|555", OK),
    ("333|" * 24, "222|222|222", BREACH),  # half of three are two
    ("323|332|233|" * 30, "233|233|233|233|233|233", OK),  # two are usual now and then
    ("666|" * 40, "366|366|366|366|366|366", BREACH),
    ("111|" * 24, "111|111", OK),
])  # fmt: skip
def test_sources_that_vanish_or_become_fewer(usual: str, then: str, state: VerdictState) -> None:
    known = retrieved(usual)
    assert judged(known, retrieved(then, start=usual.count("|"))).state is state


@each(("changes", "state"), [
    ({"score": 0.7}, OK),
    ({"score": 0.65}, OK),
    ({"score": 0.5}, BREACH),
    ({"score": 0.9}, OK),  # better
    ({"newest": DATED - timedelta(hours=12)}, OK),
    ({"newest": DATED - timedelta(days=3)}, BREACH),
    ({"newest": DATED + timedelta(days=9)}, OK),  # newer
])  # fmt: skip
def test_sources_that_become_worse_or_older(changes: dict[str, float], state: VerdictState) -> None:
    later = retrieved("555|555|555|555", start=30, **changes)  # type: ignore[arg-type]
    assert judged(retrieved("555|" * 30), later).state is state


@each(("usual", "then", "state"), [
    ("666|" * 99, "366|" * 24, OK),  # two results, each kept in a cache for an hour
    ("666|" * 200, "366|" * 48, BREACH),
    ("666|" * 200, "333|" * 6, OK),
    ("666|" * 200, "333|" * 12, BREACH),
    ("666|" * 24, "000|000", BREACH),
    ("666|" * 99, "066|" * 2, OK),
    ("666|" * 99, "066|" * 3, BREACH),  # an index answers alike: no sign of a cache
    ("666|" * 99 + "066|" * 13 + "666|" * 99, "066|" * 13, OK),
    ("666|" * 99, "006|006", BREACH),
])  # fmt: skip
def test_answers_that_repeat_the_one_before_prove_less(
    usual: str, then: str, state: VerdictState
) -> None:
    later = retrieved(then, start=usual.count("|"), same=True)
    assert judged(retrieved(usual, same=True), later).state is state


def answers(marks: str, *, regions: int = 1) -> list[RetrievedAnswer]:
    """Answers by their number of sources; lower-case letters are extra ones: `o` none, `v` five.

    `regions`: so many workers probe each round; the extra probes come from one of them.
    """
    return [
        RetrievedAnswer(
            count := 5 if mark == "v" else int(mark.replace("o", "0")),
            0.7 + nth / 1000 if count else None,
            DATED if count else None,
            NOON + nth * EVERY,
            extra=mark in "ov",
        )
        for nth, mark in enumerate(marks)
        for _ in range(1 if mark in "ov" else regions)
    ]


@each(("latest", "confirmed"), [
    ("5" * 12 + "0", True),
    ("5" * 11 + "0", False),  # too little is known
    ("5" * 12, False),
    ("5" * 12 + "00", True),  # in the next round
    ("5" * 12 + "000", False),  # later it is reported without
    ("5" * 12 + "0o", True),
    ("5" * 12 + "0ooo", False),  # enough
    ("5" * 12 + "0ooo0", True),
    ("5" * 12 + "0ooo0ooo", False),
    ("5" * 12 + "0ov", False),  # they are back
    ("5" * 12 + "0v0", True),  # one other empty result
    ("5" * 6 + "0v" + "5" * 6 + "0v0", False),  # it happens
    ("50" * 24, False),  # half of the time
    ("0" * 24, False),  # never had any
    ("5" * 12 + "o", False),  # an extra one of another suspicion
    ("5" * 12 + "o0", True),
])  # fmt: skip
def test_an_unusual_answer_without_sources_is_confirmed(latest: str, confirmed: bool) -> None:
    limits = {"answers": 12, "rounds": 2, "most": 3}
    found = query_to_confirm({"q0": answers(latest)}, **limits)
    assert (found == "q0") is confirmed
    never = {"q1": answers("0" * 20), "q2": answers("50" * 24)}
    assert query_to_confirm({"q0": answers(latest), **never}, **limits) == found
    # Two rounds prove the loss of several queries.
    several = {"q0": answers(latest), "q3": answers("5" * 20 + "0")}
    assert query_to_confirm(several, **limits) == ("q3" if not confirmed else None)
    assert query_to_confirm({"q0": answers(latest)}, **limits | {"most": 0}) is None
    # Workers in two regions probe the same rounds: these count once.
    assert query_to_confirm({"q0": answers(latest, regions=2)}, **limits) == found


def test_a_round_in_which_one_region_has_sources_is_no_loss() -> None:
    one, other = answers("5" * 12 + "0"), answers("5" * 12 + "4")
    both = [answer for pair in zip(one, other, strict=True) for answer in pair]
    limits = {"answers": 12, "rounds": 2, "most": 3}
    assert query_to_confirm({"q0": both}, **limits) is None
    assert query_to_confirm({"q0": both[:-1]}, **limits) == "q0"


@each(("scores", "confirmed"), [
    ([0.7] * 24, True),  # an index answers the same question alike
    ([0.7] * 6 + [0.8] * 6 + [0.9] * 6 + [0.6] * 6, False),  # as a cache does for a while
    ([0.7, 0.8] * 12, True),
    ([0.7, 0.7, 0.8, 0.7, 0.8, 0.8] * 4, True),  # two results, by chance
    ([0.7 + n / 100 for n in range(24)], True),
    ([None] * 24, True),  # no scores
])  # fmt: skip
def test_results_from_a_cache_are_not_confirmed(
    scores: Sequence[float | None], confirmed: bool
) -> None:
    *usual, last = answers("5" * 24 + "0")
    usual = [one._replace(best_score=score) for one, score in zip(usual, scores, strict=True)]
    limits = {"answers": 12, "rounds": 2, "most": 3}
    found = query_to_confirm({"q0": [*usual, last]}, **limits)
    assert (found == "q0") is confirmed


@each(("then", "state"), [
    ("066|" * 13, OK),  # an empty result that is kept for an hour
    ("066|" * 14, OK),  # the first one is not kept
    ("066|" * 16, BREACH),  # for longer than that
    ("066,000|066,000|" * 6, OK),  # answers of the same hour prove nothing more
])  # fmt: skip
def test_an_empty_result_from_a_cache_counts_once_an_hour(then: str, state: VerdictState) -> None:
    """Each result is kept for an hour, and then another one is."""
    kept = [retrieved("666|" * 12, start=12 * n, same=True, score=0.7 + n / 100) for n in range(9)]
    assert judged(*kept, retrieved(then, start=108, same=True)).state is state


def test_a_result_of_an_exception_that_is_kept_for_an_hour_is_one_answer() -> None:
    """Half of the results are kept for an hour; one of them lacks the newest document."""
    kept = [("666|", {"score": 0.7 + hour % 5 / 100, "same": True}) for hour in range(20)]
    known = [retrieved(marks * 6, start=12 * n, **more) for n, (marks, more) in enumerate(kept)]  # type: ignore[arg-type]
    fresh = [retrieved("666|" * 6, start=12 * n + 6) for n in range(20)]
    late = retrieved("666|" * 13, start=240, same=True, newest=DATED - timedelta(days=30))
    usual = [part for pair in zip(known, fresh, strict=True) for part in pair]
    assert judged(*usual, late).state is OK


def test_a_score_that_drifts_through_the_day_is_not_a_loss() -> None:
    def drift() -> list[Iterator[Sample]]:
        return [retrieved("666|", start=n, score=0.8 - n / 1000) for n in range(200)]

    assert judged(*drift()).state is OK
    assert judged(*drift(), retrieved("666|" * 4, start=200, score=0.3)).state is BREACH


def test_the_verdict_names_queries_figures_and_rows() -> None:
    verdict = judged(retrieved("555|" * 24), retrieved("050|050", start=24))
    assert verdict.because == ("4 of the last 4 answers to q0, q2 have no sources (q0: usually 5).")
    assert verdict.finding.what == "no sources for 2 queries: q0: usually 5"
    assert verdict.facts == {
        "Query q0": "no sources: usually 5", "Query q2": "no sources: usually 5"
    }  # fmt: skip
    assert verdict.since == NOON + 24 * EVERY + timedelta(seconds=1)
    assert (verdict.value, verdict.limit, len(verdict.rows)) == (4.0, 2.0, 4)


@pytest.mark.parametrize(("then", "changes", "what"), [
    ("333|333|333", {}, "fewer sources for 3 queries: q0: 3, usually 6"),
    ("666|666|666|666", {"score": 0.4},
     "worse sources for 3 queries: q0: best score 0.404, usually 0.703"),
    ("666|666|666|666", {"newest": DATED - timedelta(days=30)},
     "older sources for 3 queries: q0: newest of 2026-09-24, usually 2026-10-24"),
    ("333|333|333|333", {"score": 0.4}, "fewer sources for 3 queries: q0: 3, usually 6; "
     "also worse sources"),
])  # fmt: skip
def test_the_kinds_of_loss_have_their_words(
    then: str, changes: dict[str, float], what: str
) -> None:
    later = retrieved(then, start=30, **changes)  # type: ignore[arg-type]
    assert judged(retrieved("666|" * 30), later).finding.what == what


@each(("later", "state"), [
    ("055", BREACH),
    ("555", HOLD),
    ("555|555", HOLD),
    ("555|555|555", OK),
    ("555|555|055", BREACH),
    ("x55|x55|x55", BREACH),  # no answer of the query
    ("505|505|505", BREACH),  # q0 has recovered; q1 has vanished
])  # fmt: skip
def test_it_ends_after_three_usual_answers_of_each_query(later: str, state: VerdictState) -> None:
    opening = [*retrieved("555|" * 73), *retrieved("055|055|055", start=73)]
    seen = window(iter([*opening, *retrieved(later, start=76)]))
    opened = incident(
        "retrieval", opened_at=opening[-1].at, since=opening[-9].at,
        facts={"Query q0": "no sources: usually 5"},
    )  # fmt: skip
    verdict = RetrievalRule().judge(seen, opened, after(seen))
    assert verdict.state is state
    assert bool(verdict.recovered) is (state is HOLD)


@each(("asked", "facts", "state", "because"), [
    (("q0", "q1", "q2"), ("q0", "q1"), BREACH,
     "8 of the last 8 answers to q0, q1 have no sources (q0: usually 5)."),
    # it continues with the remaining query
    (("q1", "q2"), ("q0", "q1"), BREACH,
     "4 of the last 4 answers to q1 have no sources (usually 5)."),
    (("q1", "q2"), ("q0",), OK,
     "Query q0 removed from the configuration; closed without a final check."),
    (("q2", "renamed"), ("q0", "q1"), OK,
     "Queries q0, q1 removed from the configuration; closed without a final check."),
    (("q1", "q2"), ("q0", "q2"), OK, "The queries bring their usual sources."),  # q2 recovered
])  # fmt: skip
def test_a_query_that_is_no_longer_configured_ends_its_part_at_once(
    asked: tuple[str, ...], facts: tuple[str, ...], state: VerdictState, because: str
) -> None:
    opening = [*retrieved("555|" * 73), *retrieved("000|005|005|005", start=73)]
    seen = window(iter(opening), asked=asked)
    opened = incident(
        "retrieval", opened_at=opening[-7].at, since=opening[-12].at,
        facts={f"Query {query}": "no sources: usually 5" for query in facts},
    )  # fmt: skip
    verdict = RetrievalRule().judge(seen, opened, after(seen))
    assert (verdict.state, verdict.because) == (state, because)
    assert {label.removeprefix("Query ") for label in verdict.facts} == (
        set(asked) & {"q0", "q1"} if state is BREACH else set()
    )
    assert verdict.literal is verdict.because.endswith("final check."), "no recovery is claimed"


def test_a_removed_query_proves_nothing() -> None:
    seen = window(iter([*retrieved("555|" * 24), *retrieved("005|005", start=24)]), asked=("q2",))
    assert RetrievalRule().judge(seen, None, after(seen)).state is OK


@each(("text", "state"), [
    ("no sources: usually 5", BREACH),  # it stays wrong, however long it lasts
    ("fewer sources: 2, usually 5", OK),  # a day later this is the usual
])  # fmt: skip
def test_what_lasts_longer_than_the_window(text: str, state: VerdictState) -> None:
    seen = window(retrieved("022|" * 24))
    opened = incident(
        "retrieval", opened_at=NOON - timedelta(hours=23), since=NOON - timedelta(hours=23),
        facts={"Query q0": text},
    )  # fmt: skip
    assert RetrievalRule().judge(seen, opened, after(seen)).state is state


def test_after_its_end_what_it_saw_does_not_open_it_again_and_counts_as_unusual() -> None:
    opening = [*retrieved("555|" * 24), *retrieved("000|000|000|000", start=24)]
    ended = incident("retrieval", opened_at=opening[-1].at, since=opening[-12].at)
    ended = replace(ended, resolved_at=opening[-1].at + timedelta(seconds=1))
    for later, state in (("000", OK), ("555|555|000|000", BREACH)):
        seen = window(iter([*opening, *retrieved(later, start=28)]))
        assert RetrievalRule().judge(seen, ended, after(seen)).state is state


@pytest.mark.parametrize("limits", [
    {"rounds": 1}, {"good": 1}, {"answers": 3}, {"share": 1.0}, {"evidence": 0.0},
    {"confirmations": 6},
])  # fmt: skip
def test_limits_that_one_sample_could_reach_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="write"):
        RetrievalRule(**limits)  # type: ignore[arg-type]


def test_a_backtest_judges_after_extra_answers_as_the_worker_does() -> None:
    replay = Replay({"retrieval": RetrievalRule()}, policy=ReminderPolicy())
    seen = retrieved("555|" * 73 + "055,00|055,0|" + "555|" * 6)
    events = [e for one in seen for e in replay.take(BacktestRow(one.at, "rag", None, one))]
    confirmed = NOON + 74 * EVERY + timedelta(minutes=1)
    assert [(e.event, e.at) for e in events][:1] == [("fire", confirmed)]
