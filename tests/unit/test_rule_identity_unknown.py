"""`identity_unknown`: most answers disclose no model."""

import pytest

from monitor.domain import VerdictState
from monitor.rules import IdentityUnknownRule
from tests.probe_notation import after, marked, window


def rounds(marks: str) -> str:
    return "|".join(marks[i : i + 3] for i in range(0, len(marks), 3))


@pytest.mark.parametrize(
    ("marks", "state"),
    [
        ("?" * 99, VerdictState.NO_DATA),  # too few to speak of a day
        ("?" * 100, VerdictState.NOTICE),
        ("?." * 60, VerdictState.OK),  # half is not most
        ("?." * 60 + "???", VerdictState.NOTICE),
        ("." * 120, VerdictState.OK),
        (
            "x" * 200 + "." * 100,
            VerdictState.OK,
        ),  # probes without an answer disclose nothing, rightly
    ],
)
def test_most_answers_unknown_is_a_notice(marks: str, state: VerdictState) -> None:
    seen = window(marked(rounds(marks)))
    assert IdentityUnknownRule().judge(seen, None, after(seen)).state is state


def test_it_is_said_once_a_week_with_the_latest_rows() -> None:
    seen = window(marked(rounds("?" * 120)))
    verdict = IdentityUnknownRule().judge(seen, None, after(seen))
    assert verdict.once == "2026-W48"
    assert verdict.because == (
        "The model could not be identified for 120 of 120 answers in the last 24 h."
    )
    assert verdict.value == 1.0
    assert [row.int for row in verdict.rows[:2]] == [120, 119]


def test_a_senseless_limit_is_refused_with_its_remedy() -> None:
    with pytest.raises(ValueError, match="limit = 2: write a number between 0 and 1"):
        IdentityUnknownRule(limit=2)
