"""Log-odds as people read them."""

import pytest

from monitor.domain import confidence_text


@pytest.mark.parametrize(
    ("log_odds", "text"),
    [
        (0.0, "50 %"),
        (1.1, "75 %"),  # three to one
        (3.0, "95 %"),
        (5.0, "99.3 %"),
        (7.0, "> 99.9 %"),  # a thousand to one
        (1e6, "> 99.9 %"),
    ],
)
def test_log_odds_are_shown_as_a_confidence(log_odds: float, text: str) -> None:
    assert confidence_text(log_odds) == text
