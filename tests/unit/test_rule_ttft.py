"""`ttft`: the mean of rounds against the limit and against their own scatter."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.domain import Incident, Outcome, VerdictState
from monitor.rules import TtftRule
from tests.case_tables import each
from tests.probe_notation import EVERY, NOON, after, incident, marked, sample, timed, window

HEALTHY = (519.0, 1301.0, 1182.0)  # mean 1001, although one query is always over 1200
SLOW = (2200.0, 2200.0, 2200.0)
DAY = [(507.0, 1289.0, 1206.0), (531.0, 1313.0, 1158.0)] * 20  # 40 rounds, means 1001


def over(ms: float) -> tuple[float, float, float]:
    return (ms, ms, ms)


def judged(
    rounds: Sequence[tuple[float | None, ...]],
    latest_incident: Incident | None = None,
    **limits: object,
) -> VerdictState:
    seen = window(timed(rounds))
    return TtftRule(**limits).judge(seen, latest_incident, after(seen)).state  # type: ignore[arg-type]


@each(
    ("rounds", "state"),
    [
        (DAY, VerdictState.OK),
        ([*DAY, SLOW], VerdictState.OK),
        ([*DAY, SLOW, SLOW], VerdictState.OK),
        ([*DAY, SLOW, SLOW, SLOW], VerdictState.BREACH),
        (
            [*DAY, SLOW, HEALTHY, SLOW, SLOW],
            VerdictState.OK,
        ),  # the last three each, not most of them
        ([*DAY, SLOW, SLOW, over(1200)], VerdictState.OK),  # the limit itself is not over it
        ([*DAY, *[over(1500)] * 3], VerdictState.OK),  # the median of 5 rounds: 7.9 nats
        ([*DAY, *[over(1500)] * 4], VerdictState.BREACH),  # the median of 7 rounds: 11.1 nats
        ([*DAY, *[over(1210)] * 23], VerdictState.OK),
        ([*DAY, *[over(1210)] * 24], VerdictState.BREACH),  # two hours over it, however little
    ],
)
def test_a_breach_is_three_rounds_over_the_limit_and_evidence(
    rounds: Sequence[tuple[float | None, ...]], state: VerdictState
) -> None:
    assert judged(rounds) is state


def test_a_query_that_is_always_over_the_limit_is_no_breach_while_the_mean_is_not() -> None:
    assert judged([HEALTHY] * 100) is VerdictState.OK


def test_one_query_counts_for_twice_the_limit_at_most() -> None:
    spike = (500.0, 9000.0, 600.0)  # capped mean 1167
    assert judged([*DAY, *[spike] * 30]) is VerdictState.OK


def test_a_missed_first_token_deadline_counts_as_the_cap() -> None:
    slots = "|".join(["..."] * 30 + ["TTT"] * 3)
    seen = window(marked(slots))
    verdict = TtftRule().judge(seen, None, after(seen))
    assert verdict.state is VerdictState.BREACH
    assert verdict.value is None, "2400 ms is the cap and no measurement"
    assert verdict.because == "No first token in 3 rounds; limit 1200 ms."
    assert verdict.facts["No first token"] == "9 probes"


@pytest.mark.parametrize(
    ("ms", "rounds_needed"),
    [(2200, 3), (1500, 7)],  # an empty database must not mean hours of silence
)
def test_a_new_monitor_reports_a_steadily_slow_service_soon(ms: int, rounds_needed: int) -> None:
    assert judged([over(ms)] * (rounds_needed - 1)) is VerdictState.OK
    assert judged([over(ms)] * rounds_needed) is VerdictState.BREACH


def test_a_new_monitor_does_not_take_three_unlucky_rounds_for_a_slow_service() -> None:
    unlucky = [over(1450), over(1290), over(1700)]
    assert judged(unlucky) is VerdictState.OK


# ------------------------------------------------------------ which rounds count


def test_a_round_in_progress_is_not_judged() -> None:
    unfinished = [*DAY, SLOW, SLOW, (2200.0, 2200.0)]
    assert judged(unfinished) is VerdictState.OK
    assert (
        judged([*unfinished, SLOW]) is VerdictState.BREACH
    )  # the next one began: it counts with two


@pytest.mark.parametrize(
    ("incomplete", "state"),
    [
        ((2200.0, 2200.0, None), VerdictState.BREACH),
        ((2200.0, None, None), VerdictState.OK),  # one reading is no round
    ],
)
def test_a_round_counts_with_two_readings(
    incomplete: tuple[float | None, ...], state: VerdictState
) -> None:
    assert judged([*DAY, SLOW, SLOW, incomplete]) is state


def test_a_target_of_one_query_is_judged_by_it() -> None:
    seen = window(timed([(1000.0,)] * 30 + [(2200.0,)] * 3), queries=1)
    assert TtftRule().judge(seen, None, after(seen)).state is VerdictState.BREACH


def test_after_a_gap_only_fresh_rounds_count() -> None:
    before = list(timed([*DAY, SLOW, SLOW]))
    late = before[-1].round + timedelta(hours=2)
    assert judged([*DAY, SLOW, SLOW, SLOW]) is VerdictState.BREACH
    for fresh, state in ((1, VerdictState.OK), (2, VerdictState.OK), (3, VerdictState.BREACH)):
        seen = window(iter([*before, *timed([SLOW] * fresh, start=late)]))
        assert TtftRule().judge(seen, None, after(seen)).state is state


def test_silence_is_no_verdict() -> None:
    seen = window(timed(DAY))
    assert (
        TtftRule().judge(seen, None, after(seen) + timedelta(minutes=16)).state
        is VerdictState.NO_DATA
    )


def test_nothing_is_known_before_the_first_round() -> None:
    seen = window(iter(()))
    assert TtftRule().judge(seen, None, NOON).state is VerdictState.NO_DATA
    assert judged([(2200.0,)]) is VerdictState.NO_DATA  # a first round in progress


# ------------------------------------------------------------ resolution


@each(
    ("later", "state"),
    [
        ([], VerdictState.NO_DATA),
        ([SLOW], VerdictState.BREACH),
        ([HEALTHY], VerdictState.HOLD),
        ([HEALTHY] * 3, VerdictState.HOLD),
        ([HEALTHY] * 4, VerdictState.OK),
        ([HEALTHY] * 4 + [SLOW], VerdictState.BREACH),
        ([SLOW] * 2 + [over(100)] * 2, VerdictState.HOLD),  # half of the rounds are not enough
        ([SLOW] * 2 + [over(100)] * 3, VerdictState.OK),
        ([over(1190)] * 23, VerdictState.HOLD),
        ([over(1190)] * 24, VerdictState.OK),  # hardly under it, but for two hours
        ([(None, None, None)] * 2, VerdictState.NO_DATA),  # degraded samples prove nothing
        ([(None, None, None)] * 10, VerdictState.HOLD),  # "Cannot be judged"
    ],
)
def test_a_breach_is_over_on_mirrored_evidence(
    later: Sequence[tuple[float | None, ...]], state: VerdictState
) -> None:
    before = [*DAY, SLOW, SLOW, SLOW]
    opened_at = NOON + (len(before) - 1) * EVERY + timedelta(seconds=10)
    assert judged([*before, *later], incident("ttft", opened_at=opened_at)) is state


def test_after_its_end_the_evidence_begins_again() -> None:
    slow = [*DAY, SLOW, SLOW, SLOW]
    resolved = incident("ttft", resolved_at=NOON + (len(slow) - 2) * EVERY + timedelta(seconds=9))
    assert judged(slow, resolved) is VerdictState.OK
    assert judged([*slow, SLOW, SLOW], resolved) is VerdictState.BREACH


# ------------------------------------------------------------ what is said


def test_the_sentence_holds_value_limit_and_latest_rounds() -> None:
    seen = window(timed([*DAY, over(2190), over(2105), over(2231)]))
    verdict = TtftRule().judge(seen, None, after(seen))
    assert verdict.because == (
        "TTFT is 2190 ms, the median of 3 rounds; limit 1200 ms. Latest first: 2231, 2105, 2190 ms."
    )
    assert (verdict.value, verdict.limit) == (2190, 1200)
    assert len(verdict.rows) == 9
    assert verdict.facts["Evidence"] == "confidence > 99.9 % in 3 rounds"


def test_the_facts_show_whether_one_query_is_slow_or_all_are() -> None:
    one = (519.0, 5200.0, 2182.0)
    seen = window(timed([*DAY, *[one] * 4]))
    verdict = TtftRule().judge(seen, None, after(seen))
    assert verdict.facts["By query"] == "q1 5200 ms, q2 2182 ms, q0 519 ms"


# ------------------------------------------------------------ other readings


@pytest.mark.parametrize(
    ("ttft_ms", "state"),
    [(1200.0, VerdictState.OK), (1200.1, VerdictState.BREACH), (None, VerdictState.NO_DATA)],
)
def test_immediate_takes_each_probe_literally(ttft_ms: float | None, state: VerdictState) -> None:
    seen = window(iter([sample(ttft_ms=ttft_ms)]))
    verdict = TtftRule(mode="immediate").judge(seen, None, after(seen))
    assert verdict.state is state
    assert verdict.literal is (state is not VerdictState.NO_DATA)


@pytest.mark.parametrize(
    ("rounds", "latest_incident", "late"),
    [
        ([(1000, 1300, 900)], None, 1300),  # nobody has judged it yet
        ([(1000, 1300, 900)], "open", None),  # the end of what stands
        ([(1000, 1300, 900)], "over", None),  # it was told
        ([(1000, 1300, 900), (1000, None, 1400, 900)], "over", 1400),
        ([(1000, 1300, 900), *[(900,)] * 4], None, None),  # too long ago to be news
    ],
)
def test_immediate_forgets_no_late_probe_and_reports_none_twice(
    rounds: list[tuple[float | None, ...]], latest_incident: str | None, late: float | None
) -> None:
    opened = incident("ttft", opened_at=NOON + timedelta(seconds=4))
    ended = replace(opened, resolved_at=NOON + timedelta(seconds=6))
    seen = window(timed(rounds))
    latest = {"open": opened, "over": ended}.get(latest_incident or "")
    verdict = TtftRule(mode="immediate").judge(seen, latest, after(seen))
    assert verdict.state is (VerdictState.BREACH if late else VerdictState.OK)
    assert verdict.value == (late or 900)


def test_immediate_takes_a_missed_deadline_for_late() -> None:
    seen = window(iter([sample("T")]))
    assert sample("T").outcome is Outcome.TIMEOUT_FIRST_TOKEN
    assert TtftRule(mode="immediate").judge(seen, None, after(seen)).state is VerdictState.BREACH


@pytest.mark.parametrize(
    ("rounds", "state"),
    [
        ([over(1201)] * 2, VerdictState.OK),
        ([over(1201)] * 3, VerdictState.BREACH),
        ([over(1201), over(1200), over(1201)], VerdictState.OK),
    ],
)
def test_consecutive_is_three_rounds_in_a_row(
    rounds: Sequence[tuple[float | None, ...]], state: VerdictState
) -> None:
    assert judged(rounds, mode="consecutive") is state


def test_consecutive_is_over_after_as_many_good_rounds() -> None:
    latest_incident = incident("ttft", opened_at=NOON - timedelta(minutes=1))
    assert judged([over(1200)] * 2, latest_incident, mode="consecutive") is VerdictState.HOLD
    assert judged([over(1200)] * 3, latest_incident, mode="consecutive") is VerdictState.OK


@pytest.mark.parametrize(
    ("limits", "reported"),
    [
        ({"limit_ms": 0}, "limit_ms = 0: write a number above 0"),
        ({"limit_ms": float("nan")}, "limit_ms = nan: write a number above 0"),
        ({"rounds": 0}, "rounds = 0: write a number of at least 1"),
        ({"cap": 0.5}, "cap = 0.5: write a number between 1 and 100"),
    ],
)
def test_a_senseless_limit_is_refused_with_its_remedy(
    limits: dict[str, float], reported: str
) -> None:
    with pytest.raises(ValueError, match=f"^{reported}$"):
        TtftRule(**limits)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("marks", "value", "sentence"),
    [
        ("TTT|TTT|TTT|TTT", None, "No first token in 4 rounds; limit 1200 ms."),
        ("SSS|TTT|TTT", None, "No first token in 2 of 3 rounds; limit 1200 ms."),
        ("SSS|TTT|SSS", 2200, "TTFT is 2200 ms, the median of 3 rounds; limit 1200 ms. "
                              "Latest first: 2200 ms, none, 2200 ms."),
    ],
)  # fmt: skip
def test_rounds_without_a_first_token_have_no_ttft(
    marks: str, value: float | None, sentence: str
) -> None:
    quick = "|".join(["..."] * 30)
    samples = [
        replace(s, ttft_ms=2200.0) if s.query.startswith("q") and slow == "S" else s
        for s, slow in zip(
            marked(f"{quick}|{marks}".replace("S", ".")), f"{quick}|{marks}".replace("|", ""),
            strict=True,
        )
    ]  # fmt: skip
    seen = window(iter(samples))
    verdict = TtftRule().judge(seen, None, after(seen))
    assert (verdict.state, verdict.value, verdict.because) == (VerdictState.BREACH, value, sentence)
