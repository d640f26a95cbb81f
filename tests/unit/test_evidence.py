"""Evidence in nats, on numbers one can check."""

from math import isclose, log

import pytest

from monitor.rules.statistics import credible_low, distance_evidence, divergence, scatter


@pytest.mark.parametrize(
    ("share", "expected", "log_odds"),
    [
        (0.1, 0.1, 0.0),
        (1.0, 0.1, log(10)),  # four of four at 10 %: 9.2 nats
        (0.0, 0.5, log(2)),
        (0.5, 0.1, 0.5 * log(5) + 0.5 * log(5 / 9)),
    ],
)
def test_divergence_is_what_each_answer_brings(
    share: float, expected: float, log_odds: float
) -> None:
    assert isclose(divergence(share, expected), log_odds, abs_tol=1e-12)


@pytest.mark.parametrize(
    ("hits", "of", "low"), [(4, 4, 0.5), (0, 10, 0.0), (50, 100, 0.4019), (5000, 10000, 0.49)]
)
def test_the_credible_low_lies_two_standard_errors_below(hits: int, of: int, low: float) -> None:
    assert isclose(credible_low(hits, of), low, abs_tol=1e-4)


def test_distance_speaks_with_its_square_and_with_every_value() -> None:
    once = distance_evidence(0.1, values=1, scatter=0.1)
    assert isclose(once, 1 / 3.14)
    assert isclose(distance_evidence(0.2, values=3, scatter=0.1), 12 * once)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 0.30),  # the prior alone
        ([7.0], 0.30),
        ([7.0, 7.0], 0.2121),  # it weighs as much as one step
        ([7.0] * 9, 0.10),
        ([7.0] * 1000, 0.05),  # the floor
        ([7.0, 7.4, 7.0], 0.2887),  # sqrt((0.09 + 0.08 + 0.08) / 3)
    ],
)
def test_scatter_is_learnt_from_a_prior(values: list[float], expected: float) -> None:
    found = scatter(values, prior=0.30, floor=0.05, learnt=24)
    assert isclose(found, expected, abs_tol=1e-4)


def test_once_learnt_single_spikes_do_not_move_it() -> None:
    calm = [7.0, 7.1] * 100
    spiked = [*calm[:100], 9.0, *calm[100:]]
    known = scatter(calm, prior=0.30, floor=0.01, learnt=24)
    assert isclose(known, scatter(spiked, prior=0.30, floor=0.01, learnt=24), rel_tol=0.02)


def test_a_slow_drift_does_not_inflate_it() -> None:
    drift = [7.0 + n / 1000 for n in range(300)]
    assert scatter(drift, prior=0.30, floor=0.02, learnt=24) == 0.02
