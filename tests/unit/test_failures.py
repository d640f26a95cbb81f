"""Failures in words: what the service said tells a rejected key from an overload."""

import time
from dataclasses import replace

import pytest

from monitor.domain import Outcome, Sample
from monitor.notifications.slack.render import render
from monitor.rules import DownRule
from monitor.rules.explanations import named
from tests.case_tables import each
from tests.probe_notation import after, marked, sample, window
from tests.unit.notices import CASES

STATUS, EVENT = Outcome.HTTP_STATUS, Outcome.ERROR_EVENT


def failed(*kinds: tuple[int, Outcome, str | None]) -> list[Sample]:
    return [
        sample("x", outcome=outcome, error=error)
        for count, outcome, error in kinds
        for _ in range(count)
    ]


@each(
    ("kinds", "reported"),
    [
        ([(5, STATUS, "HTTP 500")], "HTTP 500"),
        ([(5, STATUS, 'HTTP 401: {"error":"bad key"}')], "HTTP 401: bad key"),
        (
            [(5, STATUS, 'HTTP 401: {"type":"error","error":{"type":"authentication_error",'
                         '"message":"invalid x-api-key"}}')],
            "HTTP 401: invalid x-api-key",
        ),
        ([(5, STATUS, 'HTTP 422: {"detail": "no such field", "inp…')], "HTTP 422: no such field"),
        (
            [(5, STATUS, "HTTP 502: <html><head><title>502 Bad Gateway</title></head>")],
            "HTTP 502: 502 Bad Gateway",
        ),
        (
            [(5, STATUS, 'HTTP 400: {"message":"say \\"hi\\" now"}')],
            'HTTP 400: say "hi" now',
        ),
        (
            [(5, STATUS, 'HTTP 500: {"fault":{"faultstring":"Invalid key","detail":{}}}')],
            "HTTP 500: Invalid key",
        ),
        ([(5, STATUS, "HTTP 502: <h1>Bad Gateway</h1><p>nginx")], "HTTP 502: Bad Gateway"),
        ([(5, STATUS, "HTTP 500: upstream died")], "HTTP 500: upstream died"),
        (
            [(5, EVENT, "authentication_error: invalid x-api-key")],
            "authentication_error: invalid x-api-key",
        ),
        # A request id makes no other failure of it.
        (
            [(3, EVENT, "overloaded (req 81)"), (2, EVENT, "overloaded (req 7)")],
            "overloaded (req 81)",
        ),
        (
            [(3, STATUS, "HTTP 500: a"), (1, STATUS, "HTTP 500: b"), (2, Outcome.REFUSED, None)],
            "HTTP 500: a (4), 2 refused",
        ),
        ([(5, Outcome.REFUSED, "Connection refused")], "refused: Connection refused"),
        (
            [(4, Outcome.TIMEOUT_FIRST_TOKEN, "no answer text within 30 s"),
             (1, STATUS, "HTTP 500")],
            "timeout_first_token: no answer text within 30 s (4), HTTP 500 (1)",
        ),
        ([(4, Outcome.REFUSED, None), (1, Outcome.STALLED, None)], "4 refused, 1 stalled"),
        ([(1, EVENT, word) for word in "abcde"], "a (1), b (1), c (1), 2 others"),
        ([(5, STATUS, "HTTP 500: " + "x" * 280)], "HTTP 500: " + "x" * 119 + "…"),
    ],
)  # fmt: skip
def test_failures_are_named_by_what_was_said(
    kinds: list[tuple[int, Outcome, str | None]], reported: str
) -> None:
    assert named(failed(*kinds)) == reported


def test_the_message_of_down_says_what_the_service_said() -> None:
    marks = [s if s.outcome.good else sample("x", id=s.id, at=s.at, round=s.round, outcome=STATUS,
             error='HTTP 401: {"error": {"message": "invalid x-api-key"}}')
             for s in marked("...|.xx|xxx")]  # fmt: skip
    seen = window(iter(marks))
    verdict = DownRule().judge(seen, None, after(seen))
    assert verdict.because == "5 of the last 6 probes failed: HTTP 401: invalid x-api-key."


def test_foreign_words_are_one_line_and_escaped_in_a_message() -> None:
    hostile = "<!channel> *x* \u202e\x1b[2J <https://evil.example|click>\nHTTP 200"
    reported = named(failed((5, STATUS, f"HTTP 500: {hostile}")))
    assert "\n" not in reported
    text = render(replace(CASES["down_firing"], sentence=reported)).text
    assert "<" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("unit", ['"message":"', '"message": ', "<title>", "HTTP 500: ", "0a", '"'])
def test_hostile_words_cost_nothing(unit: str) -> None:
    text = failed((5, STATUS, "HTTP 500: " + unit * 20_000), (5, EVENT, unit * 20_000))
    before = time.process_time()
    named(text)
    assert time.process_time() - before < 1
