"""Words, figures and the cutting of foreign text."""

from datetime import timedelta
from decimal import Decimal

import pytest

from monitor.domain import lasting
from monitor.notifications.slack.escaping import bare, code, escaped
from monitor.rules import Unit, unit_of
from tests.case_tables import each


@each(("text", "limit", "cut"), [
    ("abcdef", 6, "abcdef"),
    ("abcdefg", 6, "abcde…"),
    ("", 6, "–"),
    ("<<", 8, "&lt;&lt;"),
    ("<<<", 8, "&lt;…"),  # no entity is split
    ("ab cdef", 4, "ab…"),
    ("ae\u0301e\u0301e\u0301", 5, "ae\u0301…"),  # an accent stays with its letter
    ("a👩\u200d👧 und", 4, "a…"),  # a family stays together
    ("a👍🏽bc", 3, "a…"),
    ("a🇩🇪bc", 3, "a…"),
    ("e" + "\u0301" * 40, 30, "e" + "\u0301" * 28 + "…"),  # no letter wears forty accents
])  # fmt: skip
def test_truncation_counts_characters_and_splits_none(text: str, limit: int, cut: str) -> None:
    assert escaped(text, limit) == cut
    assert len(escaped(text, limit)) <= limit


def test_a_code_span_has_no_backtick_inside() -> None:
    assert code("a`b", 10) == "`a'b`"


@each(("text", "shown"), [
    ("*bold* ~struck~ _italic_ `code`", "bold struck italic 'code'"),
    ("model_detected of gpt_4_o", "model_detected of gpt_4_o"),  # no markup within a word
    ("_x and x_", "x and x"),
    (":tada: and :+1:", "tada: and +1:"),
    ("09:30-10:30:00", "09:30-10:30:00"),
    ("at 12:30:45 UTC, HTTP 429: wait", "at 12:30:45 UTC, HTTP 429: wait"),
    ("<!channel> &", "&lt;!channel&gt; &amp;"),
    ("***", "–"),
])  # fmt: skip
def test_foreign_text_within_markup_formats_nothing(text: str, shown: str) -> None:
    assert bare(text, 100) == shown


@each(("rule", "value", "reported"), [
    ("ttft", 1840.4, "1,840 ms"),
    ("fallback", 0.6, "60 %"),
    ("fallback", 0.125, "12.5 %"),
    ("spend", Decimal("12.5"), "$12.50"),
    ("spend", Decimal("0.00031"), "$0.00031"),
    ("spend", Decimal(0), "$0.00"),
    ("down", Decimal("5.000"), "5"),
    ("no_data", 905.0, "15 min"),
    ("delivery", 15.0, "15 min"),
    ("ttft", float("inf"), "inf"),
    ("spend", Decimal("1E+400"), "1e+400"),
])  # fmt: skip
def test_amounts_carry_the_unit_of_their_rule(rule: str, value: float, reported: str) -> None:
    assert unit_of(rule).text(value) == reported


@pytest.mark.parametrize(
    ("value", "limit", "reported"),
    [
        ("2.0004", "2.00", "$2.0004"),  # over the limit, and seen to be
        ("2.0412", "2.00", "$2.04"),
        ("2.00", "2.00", "$2.00"),
        ("0.001", "0.004", "$0.001"),
        ("0.004", "0.004", "$0.004"),
        ("2.005", "2.005", "$2.005"),  # a limit, as it was set
    ],
)
def test_an_amount_of_money_shows_on_which_side_of_its_limit_it_lies(
    value: str, limit: str, reported: str
) -> None:
    assert Unit.USD.text(Decimal(value), limit=Decimal(limit)) == reported


@pytest.mark.parametrize(("seconds", "reported"), [
    (-5, "0 s"),
    (59, "59 s"),
    (60, "1 min"),
    (3_600, "1 h 0 min"),
    (86_399, "23 h 59 min"),
    (90_000, "1 d 1 h"),
])  # fmt: skip
def test_durations_show_two_units(seconds: int, reported: str) -> None:
    assert lasting(timedelta(seconds=seconds)) == reported
