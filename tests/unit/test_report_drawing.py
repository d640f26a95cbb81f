"""Charts say what the figures say: gaps are gaps, limits are edges, ticks are round."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from monitor.domain import lasting, report
from monitor.reports import bar_charts
from monitor.reports.axes import TimeScale, heights, ms, share, usd
from monitor.reports.html import drawn as markup
from monitor.reports.page_data import bins, model_roles, value_of
from monitor.reports.timeline import runs, timeline
from tests.example_reports import (
    FELL,
    GONE,
    HAIKU,
    HOUR,
    LLAMA,
    SINCE,
    model_answers,
    report_page,
    target_report,
    ttft_point,
)

ROME = ZoneInfo("Europe/Rome")


@pytest.mark.parametrize(
    ("top", "ticks"),
    [(1200, (0, 250, 500, 750, 1000, 1250)), (1000, (0, 200, 400, 600, 800, 1000)),
     (7, (0, 2, 4, 6, 8)), (0.003, (0, 0.001, 0.002, 0.003)), (0, (0, 0.2, 0.4, 0.6, 0.8, 1.0))],
)  # fmt: skip
def test_ticks_are_round_and_hold_the_greatest_value(top: float, ticks: tuple[float, ...]) -> None:
    scale = heights(top)
    assert scale.ticks == pytest.approx(ticks)
    assert scale.top == pytest.approx(ticks[-1])


@pytest.mark.parametrize(
    ("span", "labels"),
    [
        (timedelta(seconds=54), "12:00:00 12:00:10 12:00:20 12:00:30 12:00:40 12:00:50"),
        (timedelta(minutes=40), "12:00 12:05 12:10 12:15 12:20 12:25 12:30 12:35 12:40"),
        (timedelta(hours=24), "12:00 15:00 18:00 21:00 Nov_21 03:00 06:00 09:00 12:00"),
        (timedelta(days=7), "Nov_21 Nov_22 Nov_23 Nov_24 Nov_25 Nov_26 Nov_27"),
        (timedelta(days=90), "Nov_30 Dec_14 Dec_28 Jan_11 Jan_25 Feb_8"),
    ],
)
def test_time_ticks_are_round_on_the_clock_of_the_zone(span: timedelta, labels: str) -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    found = [label for _, label in TimeScale(noon, noon + span, ZoneInfo("UTC")).ticks(8)]
    assert found == [label.replace("_", " ") for label in labels.split()]


def test_days_begin_at_midnight_of_the_zone_also_when_the_clock_changes() -> None:
    since = datetime(2026, 10, 23, 22, tzinfo=UTC)  # midnight in Rome, in summer time
    ticks = TimeScale(since, since + timedelta(days=4), ROME).ticks(5)
    assert [at.hour for at, _ in ticks] == [22, 22, 23, 23]
    assert [label for _, label in ticks] == ["Oct 24", "Oct 25", "Oct 26", "Oct 27"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (Decimal(0), "$0.00"), (Decimal("0.000141"), "$0.000141"),
     (Decimal("0.5"), "$0.50"), (Decimal("1.005"), "$1.00"), (Decimal("1234.5"), "$1,234.50"),
     (Decimal("1E-12"), "$0.000000000001")],
)  # fmt: skip
def test_money_is_never_shown_in_exponents(value: Decimal | None, shown: str) -> None:
    assert usd(value) == shown


def test_figures_carry_their_units() -> None:
    assert (ms(None), ms(0), ms(0.25), ms(1200)) == ("–", "0 ms", "0.2 ms", "1,200 ms")
    assert (share(None), share(0.1), share(0.125)) == ("–", "10 %", "12.5 %")
    assert lasting(timedelta(hours=25)) == "1 d 1 h"
    assert value_of("spend", Decimal(2)) == "$2.00"
    assert value_of("fallback", 0.25) == "25 %"
    assert value_of("ttft", 2200.0) == "2,200 ms"
    assert value_of("no_data", 900.0) == "15 min"
    assert value_of("down", None) == "–"


@pytest.mark.parametrize(
    ("hours", "lengths"),
    [((0, 1, 2), [3]), ((0, 1, 3), [2, 1]), ((0, 2, 4), [1, 1, 1]), ((), [])],
)
def test_a_line_breaks_where_a_step_is_missing(hours: tuple[int, ...], lengths: list[int]) -> None:
    found = runs([ttft_point("hi", hour) for hour in hours], HOUR)
    assert [len(run) for run in found] == lengths


def test_the_gap_of_the_page_breaks_every_line_once() -> None:
    drawn = markup(timeline(report_page(), target_report()))
    lines = re.findall(r'<path d="(M[^"]+)" class="line q\d"', drawn)
    plotted = [line for line in lines if line.count("M") == 2]
    assert len(plotted) == 2, "two queries, each cut once"
    assert GONE.stop < 48


def test_what_stands_alone_between_two_gaps_is_a_dot() -> None:
    alone = target_report(ttft=tuple(ttft_point("hi", hour) for hour in (0, 1, 4)))
    drawn = markup(timeline(report_page(), alone))
    (dot,) = re.findall(r'<path d="(M[^"]+)" class="q0 dot"', drawn)
    assert dot.startswith("M93.8 "), "half past four of 48 hours"
    assert drawn.count('class="line q0"') == 2, "the line of two, and the legend"


def test_a_page_of_a_minute_shows_seconds() -> None:
    short = report_page(until=SINCE + timedelta(seconds=54), made_at=SINCE + timedelta(seconds=54))
    assert short.clock(short.until) == "2026-11-20 00:00:54"
    assert report_page().clock(SINCE) == "2026-11-20 00:00"
    assert report_page().clock(SINCE, step=timedelta(seconds=5)) == "2026-11-20 00:00:00"


def test_the_limit_and_the_incident_lie_on_the_axes_of_the_lines() -> None:
    drawn = markup(timeline(report_page(), target_report()))
    # 3,000 ms is the top of 220 pixels: 1,200 ms lies 132 from it.
    assert '<path d="M0 132.00H1000" class="limit">' in drawn
    left, width = 1000 * 20 / 48, 1000 * 6 / 48
    assert f'<rect x="{left:.2f}" y="0" width="{width:g}" height="220" class="incident">' in drawn
    assert "#3 fallback: 2026-11-20 20:00 – 2026-11-21 02:00" in drawn
    assert "#4 spend" not in drawn, "incidents of other scopes are no bands of this target"


def test_an_incident_that_came_back_has_a_band_for_each_breach() -> None:
    """The healthy hours between its end and its return are not covered."""
    [first, *_] = report_page().incidents
    again = replace(first, opened_at=SINCE + 10 * HOUR, resolved_at=None,
                    earlier_breaches=((SINCE + 10 * HOUR, SINCE + 13 * HOUR),),
                    breach_since=SINCE + 40 * HOUR)  # fmt: skip
    drawn = markup(timeline(report_page(incidents=(again,)), target_report()))
    bands = re.findall(
        r'<rect x="([\d.]+)" y="0" width="([\d.]+)"[^>]*class="incident"><title>', drawn
    )
    assert [(float(x), float(w)) for x, w in bands] == [
        (pytest.approx(1000 * 10 / 48, abs=0.01), pytest.approx(1000 * 3 / 48, abs=0.01)),
        (pytest.approx(1000 * 40 / 48, abs=0.01), pytest.approx(1000 * 8 / 48, abs=0.01)),
    ]
    assert "2026-11-20 10:00 – 2026-11-20 13:00 (3 h 0 min)" in drawn
    assert "2026-11-21 16:00 – still open" in drawn
    labels = re.findall(r'class="band-label[^"]*" text-anchor="(\w+)">#3 fallback', drawn)
    assert labels == ["start", "end"], "at the right edge a label ends with its band"


def test_the_axis_begins_with_the_first_data() -> None:
    late = target_report(ttft=tuple(ttft_point("hi", hour) for hour in range(36, 48)),
                   tried=target_report().tried[-10:])  # fmt: skip
    drawn = markup(timeline(report_page(), late))
    first = re.findall(r'<text x="([\d.]+)%" y="275" class="tick[^"]*"[^>]*>([^<]+)<', drawn)
    assert ("Nov 20") not in [label for _, label in first]
    assert float(first[0][0]) < 15


@pytest.mark.parametrize(
    ("bar", "bars", "labels"),
    [(timedelta(hours=2), 24, "Nov 20|06:00|12:00|18:00|Nov 21|06:00|12:00|18:00"),
     (timedelta(days=1), 2, "Nov 20|Nov 21")],
)  # fmt: skip
def test_who_answered_is_drawn_by_hours_of_a_short_span(
    bar: timedelta, bars: int, labels: str
) -> None:
    each = tuple(
        replace(model_answers(0, LLAMA, "expected", 5), at=SINCE + k * bar)
        for k in range(timedelta(days=2) // bar)
    )
    drawn = markup(bar_charts.model_share(report_page(bar=bar), target_report(served=each)))
    assert len(re.findall(r'<rect x="[\d.]+" y="0" [^>]*class="expected0"><title>', drawn)) == bars
    shown = re.findall(r'y="165" class="tick[^"]*"[^>]*>([^<]+)<', drawn)
    assert "|".join(shown) == labels


def test_bands_show_who_answered() -> None:
    drawn = markup(timeline(report_page(), target_report()))
    fallback = re.findall(r'<rect x="([\d.]+)" y="226" width="([\d.]+)" height="10.5" '
                          r'class="fallback0">', drawn)  # fmt: skip
    assert len(fallback) == len(FELL), "18 of 24: three quarters of 14 pixels"
    assert "6 expected model" in drawn
    assert "expected model: meta-llama/llama-4-scout" in drawn


def test_one_monstrous_value_does_not_flatten_the_rest_and_is_reported() -> None:
    monster = replace(ttft_point("hi", 47), p50_ms=60_000.0)
    points = (*(ttft_point("hi", hour) for hour in range(47)), monster)
    drawn = markup(timeline(report_page(), target_report(ttft=points)))
    assert "1 of 48 medians are above the chart" in drawn
    assert ">4,000 ms</text>" in drawn
    assert "60,000 ms</text>" not in drawn


@pytest.mark.parametrize(
    ("sample", "bar"),
    [(1200.0, (1009.0, 1200.0)), (1200.1, (1200.0, 1427.0)), (600.0, (504.5, 600.0))],
)
def test_the_limit_is_an_edge_between_bars(sample: float, bar: tuple[float, float]) -> None:
    (found,) = bins([(sample, "expected", 3)], 1200.0)
    assert (round(found.low_ms, 0), round(found.high_ms, 0)) == pytest.approx(bar, abs=0.6)
    assert (found.expected, found.fallback, found.unknown) == (3, 0, 0)


@pytest.mark.parametrize(
    ("samples", "marks"),
    [((140.0, 500.0), ["150 ms", "300 ms"]), ((700.0, 2000.0), ["600 ms", "1,200 ms"]),
     ((1500.0, 9000.0), ["2,400 ms", "4,800 ms", "9,600 ms"])],
)  # fmt: skip
def test_marks_are_the_limit_doubled_and_halved(
    samples: tuple[float, ...], marks: list[str]
) -> None:
    drawn = markup(
        bar_charts.histogram(
            target_report(bins=bins([(ms_, "expected", 1) for ms_ in samples], 1200.0))
        )
    )
    shown = re.findall(r'class="tick[^"]*" text-anchor="(?:start|middle|end)">([^<]+ ms)<', drawn)
    assert shown[: len(marks)] == marks
    assert ("limit 1,200 ms" in drawn) is ("1,200 ms" in marks)


def test_empty_bars_between_samples_are_kept() -> None:
    samples = [(600.0, "expected", 1), (1200.0, "fallback", 2), (1200.0, "changed", 1)]
    found = bins(samples, 1200.0)
    assert [item.samples for item in found] == [1, 0, 0, 0, 3]
    assert (found[-1].fallback, found[-1].changed) == (2, 1)


def test_a_model_keeps_the_role_it_mostly_had() -> None:
    roles = model_roles(
        target_report(
            served=(
                model_answers(0, LLAMA, "expected", 9),
                model_answers(1, LLAMA, "disputed", 1),
                model_answers(0, HAIKU, "fallback", 1),
                model_answers(0, "x/y", "changed", 1),
                model_answers(0, None, "unknown", 1),
            )
        )
    )
    assert [roles.style(m) for m in (LLAMA, HAIKU, "x/y", None)] == [
        "expected0", "fallback0", "changed", "unknown"]  # fmt: skip


def test_spend_stacks_its_meters_up_to_the_sum() -> None:
    drawn = markup(bar_charts.spend(report_page()))
    # $2.50 is the top of 150 pixels; the second day: 0.80 account, 0.30 probes, 1.20 traffic.
    bar = r'<rect x="5[\d.]+" y="[\d.]+" width="[\d.]+" height="([\d.]+)" class="(\w+)">'
    tall = {style: float(pixels) for pixels, style in re.findall(bar, drawn)}
    assert tall == {"account": 48.0, "probes": 18.0, "traffic": 72.0}
    assert "≥ $2.30 in all" in drawn
    assert '<path d="M0 30.00H1000" class="limit">' in drawn


def test_what_has_no_price_has_no_bar() -> None:
    drawn = markup(bar_charts.costs(target_report()))
    assert "– · hi" not in drawn, "no empty rows"
    assert "2 answers have no price." in drawn
    assert drawn.count("<rect") == 2 + 3, "two bars, three keys"


def test_charts_without_data_say_so() -> None:
    bare = target_report(ttft=(), judged=(), tried=(), served=(), bins=(), queries=(), costs=())
    empty = report_page(targets=(bare,), spend=())
    for figure in (
        timeline(empty, bare),
        bar_charts.model_share(empty, bare),
        bar_charts.histogram(bare),
        bar_charts.spend(empty),
        bar_charts.phases(bare),
        bar_charts.costs(bare),
    ):
        drawn = markup(figure)
        assert "<svg" not in drawn
        assert 'class="empty"' in drawn


def ranged() -> report.DaySpend:
    """$0.40 for certain, all of it traffic, and $2.10 at most."""
    return report.DaySpend(
        day=SINCE.date(), total_usd=Decimal("0.40"), probes_usd=None, traffic_usd=Decimal("0.40"),
        account_usd=None, at_least=False, total_high_usd=Decimal("2.10"),
        traffic_high_usd=Decimal("2.10"),
    )  # fmt: skip


def test_money_between_two_ends_is_written_with_both() -> None:
    assert usd(Decimal("0.40"), high=Decimal("2.10")) == "between $0.40 and $2.10"
    assert usd(Decimal("0.40"), high=Decimal("2.10"), at_least=True) == "between $0.40 and ≥ $2.10"
    assert usd(Decimal("0.40"), high=Decimal("0.40"), at_least=True) == "≥ $0.40"
    assert usd(Decimal(0), high=Decimal("2.10")) == "between $0.00 and $2.10"


def test_what_unknown_models_may_have_cost_is_hatched_above_what_is_certain() -> None:
    drawn = markup(bar_charts.spend(report_page(spend=(ranged(),))))
    bar = r'<rect x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)" class="(\w+)">'
    tall = {style: (float(y), float(pixels)) for y, pixels, style in re.findall(bar, drawn)}
    # $2.50 is the top of 150 pixels: $0.40 from below, and $1.70 above it.
    assert tall == {"traffic": (126.0, 24.0), "unknown": (24.0, 102.0)}
    assert "between $0.40 and $2.10 in all" in drawn
    assert "upper bound, unknown models" in drawn


def test_a_query_answered_by_an_unknown_model_costs_between_two_ends() -> None:
    cost = report.QueryCost(
        target="rag", query="hi", model=None, answers=3,
        mean_usd=Decimal("0.0002"), mean_high_usd=Decimal("0.0011"),
    )  # fmt: skip
    drawn = markup(bar_charts.costs(target_report(costs=(cost,))))
    assert "between $0.0002 and $0.0011 · hi · model not identified" in drawn
    assert drawn.count('<rect x="') == 2 + 3, "what is certain, what may be, three keys"
