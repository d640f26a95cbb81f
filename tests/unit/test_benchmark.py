"""The benchmark's arithmetic: pairing with the truth, percentiles, medians, ratios, goals."""

import resource
import time
from dataclasses import replace
from datetime import date

import pytest

from benchmarks.truth.figures import (
    OURS,
    Error,
    Figures,
    Row,
    figures,
    paired,
    percentile,
    ratios,
    summary,
)
from benchmarks.truth.load import Ran, Sample
from benchmarks.truth.machine import Machine, busy
from benchmarks.truth.pages import BESIDE, document, number, page, placed
from benchmarks.truth.server import Truth
from benchmarks.truth.verdicts import Goal, goals
from tests.case_tables import each

MS = 1_000_000
MACHINE = Machine(cores=2, kernel="6.1", others=0.5, steal=0, load=1, day=date(2026, 11, 27))

FIGURES = Figures(
    requests=1500,
    failed=0,
    degraded=0,
    error_p50_ms=0.02,
    error_p95_ms=0.04,
    error_p99_ms=0.1,
    error_max_ms=0.5,
    beyond_max_ms=0.4,
    late_max_ms=0.2,
    degraded_max_ms=None,
    request_p50_ms=0.01,
    token_p50_ms=0.01,
    token_p99_ms=0.01,
    cpu_s_per_1000=1.5,
    rss_mib=100,
    lag_p99_ms=5,
)


def row(client: str = OURS, *, tls: bool = False, streams: int = 500, **seen: float | None) -> Row:
    measured = replace(FIGURES, **seen)  # type: ignore[arg-type]
    return Row(client=client, tls=tls, streams=streams, runs=1, figures=measured)


def ran(*samples: Sample) -> Ran:
    return Ran(samples=samples, wall_s=1, cpu_s=3, rss_mib=50, lag_ms=(1, 2, 3))


def test_the_error_is_what_was_reported_less_what_was_true_and_splits_in_two_sides() -> None:
    # Asked at 100 ms, read at 102; written at 602, noticed at 605: told 505, true 500.
    truth = Truth(read_ns=102 * MS, first_ns=602 * MS)
    sample = Sample(id="a", ttft_ms=505, start_ns=100 * MS)
    assert paired([sample], {"a": truth}) == (
        [Error(error_ms=5, request_ms=2, token_ms=3, degraded=False)],
        0,
    )


def test_without_a_start_an_error_has_no_sides() -> None:
    truth = Truth(read_ns=0, first_ns=500 * MS)
    [error], _ = paired([Sample(id="a", ttft_ms=501)], {"a": truth})
    assert (error.error_ms, error.request_ms, error.token_ms) == (1, None, None)


def test_what_the_server_is_proven_to_have_read_late_is_distinguished() -> None:
    # Sent at 100 ms and received then, read at 107: the client's 507 is true of what it saw.
    late = Truth(read_ns=107 * MS, first_ns=607 * MS, arrived_ns=100 * MS)
    unknown = Truth(read_ns=107 * MS, first_ns=607 * MS)
    early = Truth(read_ns=107 * MS, first_ns=607 * MS, arrived_ns=100 * MS)
    samples = [Sample(id="late", ttft_ms=507.5), Sample(id="unknown", ttft_ms=503)]
    seen = figures(ran(*samples), {"late": late, "unknown": unknown}, requests=2)
    assert (seen.error_max_ms, seen.beyond_max_ms, seen.late_max_ms) == (7.5, 3, 7)
    seen = figures(ran(Sample(id="early", ttft_ms=494)), {"early": early}, requests=1)
    assert seen.beyond_max_ms == 6, "lateness of the server is no excuse for a figure too small"


def test_too_early_is_as_wrong_as_too_late() -> None:
    truth = Truth(read_ns=0, first_ns=500 * MS)
    [error], _ = paired([Sample(id="a", ttft_ms=470)], {"a": truth})
    assert error.error_ms == 30


def test_what_has_no_truth_or_no_first_token_counts_as_failed() -> None:
    known = {"a": Truth(0, 500 * MS), "b": Truth(0, 500 * MS)}
    notified = [Sample(id="a", ttft_ms=500), Sample(id="b"), Sample(id="stranger", ttft_ms=500)]
    errors, unpaired = paired(notified, known)
    assert (len(errors), unpaired) == (1, 2)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 2), (0.51, 3), (0.75, 3), (0.76, 4), (0.99, 4), (1, 4), (0, 1)]
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    share: float, expected: float
) -> None:
    assert percentile([4, 1, 3, 2], share) == expected


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 0.5) is None


def test_flagged_samples_stand_apart_and_the_lost_are_failures() -> None:
    known = {name: Truth(0, 500 * MS) for name in "abc"}
    notified = ran(
        Sample(id="a", ttft_ms=501),
        Sample(id="b", ttft_ms=503),
        Sample(id="c", ttft_ms=530, degraded=True),
    )
    seen = figures(notified, known, requests=4)
    assert (seen.requests, seen.failed, seen.degraded) == (4, 1, 1)
    assert (seen.error_p50_ms, seen.error_max_ms, seen.degraded_max_ms) == (1, 3, 30)
    assert seen.cpu_s_per_1000 == 750
    assert seen.lag_p99_ms == 3
    assert seen.request_p50_ms is None


def test_several_runs_are_summed_up_by_medians_but_maxima_by_the_worst() -> None:
    runs = [
        replace(FIGURES, error_p50_ms=p50, error_max_ms=most, degraded=flagged, rss_mib=rss)
        for p50, most, flagged, rss in ((0.01, 1, 0, 90), (0.09, 7, 2, 80), (0.03, 2, 1, 95))
    ]
    seen = summary(runs)
    assert (seen.error_p50_ms, seen.error_max_ms, seen.degraded) == (0.03, 7, 3)
    assert (seen.rss_mib, seen.requests) == (95, 4500)


def test_what_some_runs_could_not_measure_is_taken_from_those_that_could() -> None:
    seen = summary([FIGURES, replace(FIGURES, degraded_max_ms=30)])
    assert seen.degraded_max_ms == 30
    assert summary([FIGURES]).degraded_max_ms is None


def test_ratios_compare_with_our_row_of_the_same_setting_only() -> None:
    rows = [row(), row(tls=True, error_p50_ms=9), row(streams=100, error_p50_ms=9),
            row("aiohttp", error_p50_ms=4, error_p99_ms=50)]  # fmt: skip
    assert ratios(rows[-1], rows) == pytest.approx((200, 500))
    assert ratios(row("aiohttp", streams=10), rows) == (None, None)


def judged(*rows: Row) -> dict[str, bool]:
    return {goal.what: goal.met for goal in goals(rows)}


@each(
    ("streams", "figure", "value", "met"),
    [
        (1, "error_p50_ms", 0.1, True),
        (1, "error_p50_ms", 0.11, False),
        (10, "error_p99_ms", 0.5, True),
        (100, "error_p99_ms", 0.21, False),
        (500, "error_p50_ms", 0.05, True),
        (500, "error_p50_ms", 0.051, False),
        (500, "error_max_ms", 2, True),
        (1000, "error_max_ms", 5, True),
        (1000, "error_max_ms", 5.1, False),
        (1000, "error_p99_ms", None, False),  # not measured is not reached
        (500, "rss_mib", 140, True),
        (500, "rss_mib", 141, False),
        (1000, "rss_mib", 141, True),  # judged at 500 only
        (500, "cpu_s_per_1000", 2, True),
        (500, "cpu_s_per_1000", 2.1, False),
        (100, "failed", 1, False),
    ],
)
def test_goals_have_sharp_edges(streams: int, figure: str, value: float | None, met: bool) -> None:
    seen = replace(FIGURES, **{figure: value})  # type: ignore[arg-type]
    assert all(judged(replace(row(streams=streams), figures=seen)).values()) is met


@pytest.mark.parametrize(("p50", "met"), [(0.15, True), (0.16, False)])
def test_over_tls_the_median_and_unflagged_errors_are_judged(p50: float, met: bool) -> None:
    assert (
        all(judged(row(tls=True, error_p50_ms=p50, error_p99_ms=4, beyond_max_ms=5)).values())
        is met
    )
    assert not all(judged(row(tls=True, beyond_max_ms=5.1)).values())


def test_the_nearest_rival_decides_how_many_times_smaller_we_are() -> None:
    far = row("httpx", error_p50_ms=900, error_p99_ms=900)
    near = row("aiohttp", error_p50_ms=1.9, error_p99_ms=10)
    times = {goal.what[-3:]: goal for goal in goals([row(), far, near]) if goal.at_least}
    assert times["p50"].found == pytest.approx(95)
    assert not times["p50"].met
    assert times["p99"].found == pytest.approx(100)
    assert times["p99"].met


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (0.0234, "0.023"), (1.234, "1.23"), (12.34, "12.3"), (6895.2, "6,895")],
)
def test_numbers_keep_the_digits_that_matter(value: float | None, text: str) -> None:
    assert number(value) == text


def test_the_page_and_the_document_agree() -> None:
    rows = [row(), row("aiohttp", error_p50_ms=4, error_p99_ms=50)]
    goal = Goal(what="anything", limit=1, found=2)
    text = page(rows, [goal], MACHINE)
    assert "| anything | ≤ 1" in text
    assert "**missed**" in text
    assert "200 ×" in text
    reported = document(rows, [goal], MACHINE)
    assert reported["goals"] == [
        {"what": "anything", "limit": 1, "found": 2, "at_least": False, "met": False}
    ]
    assert [line["client"] for line in reported["rows"]] == [OURS, "aiohttp"]
    assert reported["rows"][1]["times_ours_p50"] == pytest.approx(200)
    assert reported["rows"][0]["error_p50_ms"] == 0.02


def test_new_results_take_the_place_of_old_ones_and_of_nothing_else() -> None:
    assert placed("new\n", "# Page\n\nwords\n\n## Results\n\nold\n") == (
        "# Page\n\nwords\n\n## Results\n\nnew\n"
    )
    assert placed("new\n", "old\n") == "new\n"
    page = "words\n\n## Beside other work\n\nold\n\n### More\n\n## Results\n\nkept\n"
    assert placed("new\n", page, BESIDE) == (
        "words\n\n## Beside other work\n\nnew\n\n## Results\n\nkept\n"
    )


def test_the_machine_is_kept_busy_and_then_left_alone() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with busy(1):
        time.sleep(0.5)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime > before
