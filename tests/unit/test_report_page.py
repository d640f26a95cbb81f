"""The page is safe and whole: foreign text stays text, nothing is loaded, nothing runs."""

import re
from base64 import b64encode
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from html.parser import HTMLParser
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from monitor.domain import report
from monitor.reports.html import html_page
from monitor.reports.picture import PictureFailed, png, svg
from monitor.reports.terminal import show, slots, sparkline
from tests.example_reports import (
    HAIKU,
    HOUR,
    LLAMA,
    SINCE,
    changed_page,
    model_answers,
    query_figures,
    report_page,
    target_report,
    ttft_point,
)

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=y>&lt;[bold]\x1b[31m\u202e"
VOID = {"meta", "br", "hr"}


def hostile_page() -> Any:
    """A page on which every foreign text tries to break out."""
    notified = tuple(
        replace(item, rule=HOSTILE, because=HOSTILE, opening_because=HOSTILE)
        for item in report_page().incidents
    )
    bad = target_report(
        name=HOSTILE,
        ttft=(replace(ttft_point("hi", 0), query=HOSTILE),),
        served=(model_answers(0, HOSTILE, HOSTILE, 3),),
        queries=(query_figures(HOSTILE),),
        costs=(replace(target_report().costs[0], query=HOSTILE, model=HOSTILE),),
        outcomes=((HOSTILE, 1),),
        health=replace(target_report().health, says=HOSTILE, contradiction=HOSTILE),
    )
    own = replace(notified[0], scope=HOSTILE)
    return report_page(targets=(bad,), incidents=(own, *notified), version=HOSTILE)


class Reader(HTMLParser):
    """Reads a page as a browser does, and notes what it would do."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_foreign_text_stays_text_wherever_it_stands() -> None:
    reader = read(html_page(hostile_page()))
    assert not reader.seen & {"script", "img", "iframe", "object", "link", "a", "form"}
    assert not {name for name in reader.attributes if name.startswith("on")}
    assert reader.text.count("<script>alert(1)</script>") > 10
    assert "\x1b" not in reader.text
    assert "\u202e" not in reader.text


def test_nothing_is_loaded_and_nothing_runs() -> None:
    text = html_page(report_page())
    assert not re.search(r"(?:https?:)?//|@import|javascript:|<script|<link", text)
    assert set(re.findall(r"url\(([^)]*)\)", text)) == {"#hatch"}
    assert "style" not in read(text).attributes, "the policy would drop it"


def test_the_policy_admits_the_one_stylesheet_and_nothing_else() -> None:
    text = html_page(report_page())
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.replace("&#39;", "'") == (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{digest}'"
    )


def test_every_chart_has_words_for_those_who_cannot_see_it() -> None:
    charts = re.findall(
        r'<(?:svg|div)[^>]*role="img"[^>]*aria-label="([^"]+)"', html_page(report_page())
    )
    assert len(charts) == 6
    assert all(len(label) > 20 for label in charts)
    assert html_page(report_page()).startswith('<!doctype html>\n<html lang="en">')


def test_a_page_without_anything_is_still_a_page() -> None:
    reader = read(html_page(report_page(targets=(), incidents=(), spend=())))
    assert "No target was probed in this period." in reader.text
    assert "No incident was open in this period." in reader.text


@pytest.mark.parametrize(
    ("values", "drawn"),
    [([0.0, 700.0], "▁█"), ([None, 350.0, None], " ▅ "), ([9999.0], "█"), ([], "")],
)
def test_a_sparkline_leaves_gaps_blank(values: list[float | None], drawn: str) -> None:
    assert sparkline(values, top=700.0) == drawn


def test_a_character_of_a_sparkline_stands_for_the_worst_of_its_span() -> None:
    seen = [(SINCE, 1.0), (SINCE + 0.5 * HOUR, 3.0), (SINCE + 2.5 * HOUR, 2.0)]
    assert slots(seen, since=SINCE, until=SINCE + 3 * HOUR, many=3) == [3.0, None, 2.0]


def test_the_terminal_shows_foreign_text_as_it_stands() -> None:
    out = StringIO()
    show(hostile_page(), Console(file=out, width=400, force_terminal=True, highlight=False))
    assert "[bold]" in out.getvalue(), "markup of rich is shown, not obeyed"
    assert "\x1b[31m\u202e" not in out.getvalue()


def test_the_terminal_names_what_is_over_its_limit() -> None:
    out = StringIO()
    show(report_page(), Console(file=out, width=160, highlight=False))
    assert "fallback 14 %" in out.getvalue()
    assert "open, 4 h 0 min" in out.getvalue()
    assert "≥ $2.30" in out.getvalue()


def test_a_change_is_never_hidden_behind_a_fallback_share_of_nothing() -> None:
    out = StringIO()
    show(changed_page(), Console(file=out, width=200, highlight=False))
    headline = next(line for line in out.getvalue().splitlines() if "median TTFT" in line)
    assert "fallback 0 % (0 of 44 identified)  changed 63 % (75 of 119)" in headline
    assert "model not identified (changed)" in out.getvalue()
    shown = read(html_page(changed_page())).text
    assert "0 of 44 identified" in shown
    assert "63 % changed" in shown
    assert "no longer match the expected model63 %75 of 119 answers" in shown
    assert "changed: matches no known model" in shown
    assert "nobody" not in out.getvalue() + shown


def test_no_phase_and_no_meter_has_the_colour_of_an_identity() -> None:
    """Orange means a fallback and nothing else: colours apart as far as an eye tells quickly."""
    text = html_page(report_page())
    for block in re.findall(r":root \{(.*?)\}", text, re.DOTALL)[:2]:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        told = [colours[name] for name in ("f0", "f1", "f2", "changed", "disputed", "unknown")]
        for name in ("p0", "p1", "p2", "p3", "p4", "m0", "m1", "m2"):
            nearest = min(distance(colours[name], colour) for colour in told)
            assert nearest > 70, f"{name} {colours[name]} is {nearest:.0f} from an identity"


def distance(one: str, other: str) -> float:
    """Of two colours, in a weighting of red, green and blue close to how eyes see."""
    pairs = [(int(one[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    return sum(w * (a - b) ** 2 for w, (a, b) in zip((2, 4, 3), pairs, strict=True)) ** 0.5 / 3**0.5


def test_the_title_names_the_target_and_long_lists_end() -> None:
    assert "<title>rag: rag-monitor report</title>" in html_page(report_page())
    many = report_page(targets=tuple(target_report(name=f"t{n}") for n in range(6)))
    assert "<h1>t0, t1, t2 and 3 more</h1>" in html_page(many)


def test_a_good_and_a_bad_answer_stand_on_the_page() -> None:
    told = {"target": "rag", "query": "kbli", "at": SINCE, "error": None}
    good = report.AnswerExcerpt(is_good=True, model=LLAMA, identity="expected", outcome="answered",
                                text="A KBLI code is five digits.", **told)  # fmt: skip
    bad = replace(good, is_good=False, model=HAIKU, identity="fallback", text="I'd be <b>happy</b>")
    failed = replace(bad, outcome="http_status", error="HTTP 502", text=None)
    shown = html_page(report_page(targets=(target_report(excerpts=(good, bad)),)))
    assert '<blockquote class="fine">A KBLI code is five digits.</blockquote>' in shown
    assert '<blockquote class="wrong">I&#39;d be &lt;b&gt;happy&lt;/b&gt;</blockquote>' in shown
    assert "kbli · 2026-11-20 00:00 · anthropic/claude-haiku-4-5 (fallback)" in shown
    shown = html_page(report_page(targets=(target_report(excerpts=(failed,)),)))
    assert "A failed probe" in shown and ">HTTP 502</blockquote>" in shown


def test_limits_of_counts_have_a_unit() -> None:
    [first, *_] = report_page().incidents
    down = replace(first, rule="down", peak=5.0, limit=1.0)
    shown = read(html_page(report_page(incidents=(down,)))).text
    assert "5 probes" in shown and "1 probe" in shown


def test_every_identity_has_a_colour_of_its_own() -> None:
    text = html_page(changed_page())
    for role in ("expected0", "changed", "disputed", "unknown"):
        assert re.search(rf'<rect [^>]*class="{role}"', text), role
    fills = dict(re.findall(r"\.(expected0|fallback0|changed|disputed) \{ fill: ([^;]+); \}", text))
    assert len(fills) == len(set(fills.values())) == 4
    for block in re.findall(r":root \{(.*?)\}", text, re.DOTALL)[:2]:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        own = [colours[name] for name in ("e0", "f0", "changed", "disputed", "unknown")]
        assert len(set(own)) == 5


def test_the_terminal_says_why_in_whole_words_at_eighty_columns() -> None:
    out, because = StringIO(), "12 of 12 answers came from anthropic/claude-haiku-4-5; limit 10 %"
    notified = tuple(replace(item, because=because) for item in report_page().incidents)
    show(report_page(incidents=notified), Console(file=out, width=80, highlight=False))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert max(len(line) for line in lines) <= 80
    assert lines.count(f"   {because}") == len(notified)


def size(drawn: bytes) -> tuple[int, int]:
    """Width and height of a PNG, as its header states them."""
    assert drawn.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(drawn[16:20]), int.from_bytes(drawn[20:24])


def test_the_picture_is_of_the_size_slack_shows() -> None:
    drawn = png(report_page(), target_report())
    assert size(drawn) == (1200, 630)
    assert len(png(report_page(), target_report(ttft=()))) < len(drawn)


def test_the_picture_is_the_drawing_of_the_page() -> None:
    """The same shapes, narrower; colours stand in it, for the library knows no variables."""
    drawn = svg(changed_page(), changed_page().targets[0])
    classes = set(re.findall(r'class="([^"]*)"', drawn))
    assert {"grid", "limit", "changed", "expected0", "line q0", "tick"} <= classes
    assert "fallback0" not in classes
    assert ".changed { fill: #7d3cb5; }" in drawn
    assert "var(" not in drawn
    assert "changed 63 %" in drawn


def test_names_too_many_or_too_long_stay_inside_the_picture() -> None:
    names = ["x" * 300, *(f"query-number-{n}" for n in range(20))]
    many = target_report(ttft=tuple(replace(ttft_point("hi", hour), query=name)
                              for name in names for hour in range(3)))  # fmt: skip
    drawn = svg(report_page(), many)
    legend = re.findall(r'<g transform="translate\((\d+) 52\)">.*?font-size="11">([^<]*)<', drawn)
    assert [int(left) for left, _ in legend] == [14, 159, 304, 449]
    assert all(len(name) <= 16 for _, name in legend)
    assert legend[-1][1] == "and 18 more"
    assert size(png(report_page(), many)) == (1200, 630)


def test_foreign_text_stays_text_in_the_picture() -> None:
    found = hostile_page()
    drawn = svg(found, found.targets[0])
    assert "<script>alert" not in drawn and "<img" not in drawn
    assert size(png(found, found.targets[0])) == (1200, 630)


def test_a_library_that_is_missing_or_fails_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.reports.picture._DRAW", "import no_such_library")
    with pytest.raises(PictureFailed, match=r"could not be drawn: .*No module named"):
        png(report_page(), target_report())


def luminance(colour: str) -> float:
    """Of a colour as WCAG reckons it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_shapes_stand_out_from_the_paper_in_both_themes(theme: int) -> None:
    text = html_page(report_page())
    block = re.findall(r":root \{(.*?)\}", text, re.DOTALL)[theme]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
    papers = [colours.pop("paper"), colours.pop("raised")]
    colours.pop("hair")  # grid lines, which stand back on purpose
    words_ = {"ink", "soft", "bad", "good", "limit"}
    weak = {
        name: round(contrast(colour, papers[0]), 2)
        for name, colour in colours.items()
        if contrast(colour, papers[0]) < (4.5 if name in words_ else 3.0)
    }
    assert weak == {}
    assert min(contrast(colours[name], papers[1]) for name in words_) >= 4.5
    assert len(colours) > 25


def test_every_report_names_both_ends_of_what_unknown_models_cost() -> None:
    day = report.DaySpend(
        day=SINCE.date(), total_usd=Decimal("0.40"), probes_usd=Decimal("0.10"),
        traffic_usd=Decimal("0.30"), account_usd=None, at_least=False,
        total_high_usd=Decimal("2.10"), probes_high_usd=Decimal("0.60"),
        traffic_high_usd=Decimal("1.50"),
    )  # fmt: skip
    [first, *_] = report_page().incidents
    shown = report_page(spend=(day,), incidents=(replace(first, cost_high_usd=Decimal("1.10")),))
    out = StringIO()
    show(shown, Console(file=out, width=80, highlight=False))
    [line] = [line for line in out.getvalue().splitlines() if "and $2.10" in line]
    assert "between $0.40 and $2.10" in line
    assert "$0.10 – $0.60" in line and "$0.30 – $1.50" in line
    assert "cost between $0.40 and $1.10" in out.getvalue()
    written = html_page(shown)
    assert "<b>between $0.40 and $2.10</b>" in written
    assert "between $0.40 and $1.10" in written
