"""What a rule says in parts: wrong what, how much of it, at what cost, why, and how certain."""

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from monitor.domain import (
    CERTAIN,
    SCALE,
    UNCERTAIN,
    Finding,
    Identity,
    NoticeStatus,
    Outcome,
    Severity,
    Verdict,
    VerdictState,
    certainty_text,
    cost_change_text,
    latency_text,
    log_odds,
    share_text,
)
from monitor.identity.model_names.common_name import common_name, named_apart, without_ids
from monitor.incidents.inhibitions import Inhibitions
from monitor.incidents.notices import passing_notice
from monitor.incidents.planner import plan
from monitor.incidents.silences import abandoned
from monitor.incidents.state_machine import ReminderPolicy
from monitor.notifications.plain_text import plain_text, title
from monitor.rules import (
    DEFAULT_RULES,
    DownRule,
    FallbackRule,
    KeyRule,
    ModelChangedRule,
    TtftRule,
    Window,
    of_query,
)
from tests.case_tables import each
from tests.probe_notation import (
    EVERY,
    HAIKU,
    INHIBITIONS,
    LLAMA,
    NOON,
    after,
    incident,
    marked,
    sample,
    timed,
    window,
)
from tests.unit.notices import CASES


@each(("model", "name"), [
    ("meta-llama/llama-4-scout", "Llama 4 Scout"),
    ("Llama-4-Scout-17B-16E-Instruct", "Llama 4 Scout"),
    ("anthropic/claude-3-5-haiku-20241022", "Claude 3.5 Haiku"),
    ("claude-haiku-4-5", "Claude Haiku 4.5"),
    ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "Claude 3.5 Sonnet"),
    ("openai/gpt-4o-mini-2024-07-18", "GPT-4o Mini"),
    ("chatgpt-4o-latest", "ChatGPT-4o"),
    ("o4-mini", "o4 mini"),
    ("google/gemini-2.5-flash", "Gemini 2.5 Flash"),
    ("open-mixtral-8x7b", "Mixtral 8x7B"),
    ("deepseek/deepseek-chat-v3.1:free", "DeepSeek V3.1"),
    ("accounts/fireworks/models/llama-v3p1-8b-instruct", "Llama 3.1 8B"),
    ("qwen/qwen3-32b", "Qwen 3 32B"),
    ("our-company/Helpdesk-7", "Helpdesk-7"),  # unknown: as it is
    ("", ""),
])  # fmt: skip
def test_a_model_has_the_name_people_call_it_by(model: str, name: str) -> None:
    assert common_name(model) == name


def test_two_models_of_one_name_keep_their_ids() -> None:
    dated = ("claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20241022")
    assert named_apart(dated) == dated
    assert named_apart((HAIKU, LLAMA)) == ("Claude Haiku 4.5", "Llama 4 Scout")
    assert without_ids(f"Style matches {HAIKU}.", (HAIKU,)) == "Style matches Claude Haiku 4.5."


@pytest.mark.parametrize(("now", "before", "text"), [
    ("0.6214", "0.0413", "15 × the cost: at this rate $0.62 a day, was $0.04"),
    ("0.38", "0.04", "9.5 × the cost: at this rate $0.38 a day, was $0.04"),
    ("0.040", "0.041", "About the same cost: at this rate $0.04 a day, was $0.04"),
    ("0.0031", "0.00021", "15 × the cost: at this rate $0.0031 a day, was $0.00021"),
    ("1234.5", "0.5", "2,469 × the cost: at this rate $1,234.50 a day, was $0.50"),
    ("0.62", None, "$0.62 a day at this rate"),
    ("0.62", "0", "$0.62 a day at this rate"),
])  # fmt: skip
def test_money_names_the_ratio_first(now: str, before: str | None, text: str) -> None:
    assert cost_change_text(Decimal(now), Decimal(before) if before else None) == text


def test_each_figure_has_a_unit() -> None:
    assert [latency_text(ms, beside=1200.0) for ms in (843, 2546, 1201, 1240, 1200)] == [
        "843 ms", "2.5 s", "1.201 s", "1.24 s", "1.2 s",
    ]  # fmt: skip
    assert share_text(4, 4, "answers") == "All of the last 4 answers"
    assert share_text(6, 20, "answers") == "6 of the last 20 answers (30 %)"
    assert certainty_text(log_odds(0.996)) == "almost certain (99.6 %)"
    assert certainty_text(50.0) == "almost certain (> 99.9 %)"
    assert certainty_text(0.0) == "uncertain (50 %)"


def test_one_scale_of_certainty_has_one_word_for_each_share() -> None:
    said = [certainty_text(log_odds(share)).partition(" (")[0] for share in
            (0.5, 0.79, 0.81, 0.94, 0.951, 0.98, 0.991, 0.9999)]  # fmt: skip
    assert said == ["uncertain"] * 2 + ["likely"] * 2 + ["very likely"] * 2 + ["almost certain"] * 2
    table = (Path(__file__).parents[2] / "docs" / "identity.md").read_text(encoding="utf-8")
    rows = [f"| {word} | at least {least:g} % |" for least, word in SCALE]
    assert [row for row in (*rows, f"| {CERTAIN.partition(' (')[0]} |", f"| {UNCERTAIN} |")
            if row not in table] == []  # fmt: skip


SCALED = tuple({word for _, word in SCALE} | {UNCERTAIN, CERTAIN.partition(" (")[0]})


def test_every_rule_states_its_certainty_on_that_scale() -> None:
    """A message with another word, or with a figure alone, cannot be compared with the others."""
    said = [notice.finding.certainty for notice in CASES.values() if notice.finding.certainty]
    assert len(said) > 30
    assert [text for text in said if not text.startswith(SCALED)] == []
    modules = Path(__file__).parents[2].glob("monitor/**/*.py")
    written = [
        (path.name, found)
        for path in modules
        for found in re.findall(r"certainty=f?\"([^\"]*)", path.read_text(encoding="utf-8"))
    ]
    assert len(written) > 12
    stated = ("{CERTAIN}", "{UNCERTAIN}", "{certainty_text(")
    assert [one for one in written if not one[1].startswith(stated)] == []


def fallen(marks: str) -> Finding:
    costs: dict[str, dict[str, Any]] = {
        "F": {"why": f"Style matches {HAIKU} in 7 answers (confidence > 99.9 %).",
              "cost_usd": Decimal("0.003"), "confidence": 0.9999},
        ".": {"cost_usd": Decimal("0.0002")},
    }  # fmt: skip
    samples = [
        sample(mark, id=UUID(int=n), at=NOON + timedelta(seconds=n), **costs[mark])
        for n, mark in enumerate(marks)
    ]
    seen = Window.of(samples, scope="rag", every=EVERY, queries=4, a_day=200)
    return FallbackRule().judge(seen, None, after(seen)).finding


def test_a_fallback_says_who_answers_instead_of_whom_and_what_it_costs() -> None:
    assert fallen("....FFFF") == Finding(
        what="Claude Haiku 4.5 answers instead of Llama 4 Scout",
        was="{when} Claude Haiku 4.5 gave {peak} of the answers",
        restored="Llama 4 Scout answers again",
        extent="All of the last 4 answers came from it",
        money="15 × the cost: at this rate $0.60 a day, was $0.04",
        first_step="Check the key, credit and rate limits at the provider of Llama 4 Scout.",
        certainty="almost certain (> 99.9 %): Style matches Claude Haiku 4.5 in 7 answers.",
        usd_a_day=Decimal("0.600"),
        usual_usd_a_day=Decimal("0.0400"),
    )


def test_answers_that_could_not_be_identified_are_counted_beside_the_others() -> None:
    """Writing style counts all of them: `4 of 4` beside `7 answers` would be a contradiction."""
    samples = list(marked("...|?..|?FF|?FF"))
    seen = Window.of(samples, scope="rag", every=EVERY, queries=3)
    verdict = FallbackRule().judge(seen, None, after(seen))
    assert verdict.because.startswith("4 of the last 4 identified answers (100%) came from ")
    extent = "All of the last 4 identified answers came from it (2 more could not be identified)"
    assert verdict.finding.extent == extent


def test_the_answer_with_the_strongest_evidence_is_shown_with_its_own_certainty() -> None:
    whys = [(0.99, "Strong."), (0.9999, "Strongest."), (0.9, "Weak."), (0.97, "Latest.")]
    samples = [
        *marked("...."),
        *(sample("F", id=UUID(int=90 + n), at=NOON + timedelta(minutes=50 + n), why=why,
                 confidence=sure) for n, (sure, why) in enumerate(whys)),
    ]  # fmt: skip
    seen = Window.of(samples, scope="rag", every=EVERY, queries=4)
    verdict = FallbackRule().judge(seen, None, after(seen))
    assert verdict.finding.certainty == "almost certain (> 99.9 %): Strongest."
    assert verdict.facts["Evidence"] == "Strongest."


def test_a_partial_fallback_is_priced_at_its_share() -> None:
    finding = fallen("." * 4 + "F.FFF.FFF")
    assert finding.extent == "6 of the last 8 answers (75 %) came from it"
    assert finding.usd_a_day is not None
    assert abs(finding.usd_a_day - Decimal("0.46")) < Decimal("0.001")


def test_the_expected_model_is_remembered_when_its_answers_are_too_long_ago() -> None:
    """Of a breach of days the window holds no expected answer."""
    seen = window(marked("FFF|FFF|FFF"))
    told = Finding(what="Claude Haiku 4.5 answers instead of Llama 4 Scout", was="it did",
                   money="15 × the cost: at this rate $0.60 a day, was $0.04")  # fmt: skip
    opened = incident("fallback", since=NOON, finding=told)
    verdict = FallbackRule().judge(seen, opened, after(seen))
    assert verdict.state is VerdictState.BREACH
    assert verdict.finding.extent == "All of the last 9 answers came from it"
    assert told.updated(verdict.finding).what == told.what
    assert told.updated(verdict.finding).money == told.money
    changed = marked("CCC|CCC|CCC")
    told = replace(told, what="answers no longer match Llama 4 Scout")
    opened = incident("model_changed", since=NOON, finding=told)
    seen = window(changed)
    verdict = ModelChangedRule().judge(seen, opened, after(seen))
    assert verdict.state is VerdictState.BREACH
    assert verdict.finding.what == told.what


def test_an_outage_says_what_failed_and_what_the_service_said() -> None:
    error = 'HTTP 500: {"error":"upstream key expired"}'
    down = [
        replace(one, outcome=Outcome.HTTP_STATUS, error=error)
        for one in marked("xxx|xxx")
    ]  # fmt: skip
    seen = window(down)
    finding = DownRule().judge(seen, None, after(seen)).finding
    assert finding.what == "does not answer: HTTP 500 on 6 of 6 probes"
    assert finding.certainty == "certain (100 %) that probes failed, counted over 6 probes"
    assert finding.first_step.startswith("Check what the service reports, then the service, ")
    assert (finding.began, finding.extent) == ("no answer since {since}", "")


def test_an_outage_with_answers_in_between_does_not_claim_that_none_came() -> None:
    seen = window(marked("xxx|x.x|xxx"))
    finding = DownRule().judge(seen, None, after(seen)).finding
    assert finding.began == "probes have failed since {since}; "
    assert finding.extent == "1 of 9 since then succeeded"
    assert finding.was.startswith("probes failed {when} (")


def test_only_a_key_that_explains_another_model_asks_for_a_look_at_the_model() -> None:
    key = replace(
        breach("key", Finding(what="rejects the key", first_step="Renew the key at the provider.")),
        scope="openrouter",
    )
    for verdicts, step in (
        ([key], "Renew the key at the provider."),
        ([key, breach("ttft")], "Renew the key at the provider."),
        (
            [key, breach("fallback")],
            "Renew the key at the provider, then check that the expected model answers again.",
        ),
    ):
        steps = plan((), verdicts, inhibitions=INHIBITIONS, policy=ReminderPolicy(), now=NOON)
        (notice,) = [step.notice for step in steps if step.notice]
        assert notice.finding.first_step == step
        assert notice.consequences is (len(verdicts) > 1)


def test_a_slow_service_says_whether_all_queries_are_slow() -> None:
    seen = window(timed([[2500, 2400], [2500, 2400], [2600, 2500], [2500, 2400]]))
    finding = TtftRule().judge(seen, None, after(seen)).finding
    assert finding.what == "slow: 2.5 s to first token, limit 1.2 s"
    assert finding.extent == "the median of the last 3 rounds is 2.0 × the limit"
    assert finding.cause == "the model or its host, as all 2 queries were slow"
    seen = window(timed([[800, 2400]] * 9))
    finding = TtftRule().judge(seen, None, after(seen)).finding
    assert finding.first_step.startswith("Check the retrieval of query ")
    assert finding.cause.startswith("retrieval, as only 1 of 2 queries was slow: ")


def test_parts_that_are_not_stated_again_are_kept() -> None:
    first = Finding(what="a", extent="1", money="m", cause="c", certainty="s")
    assert first.updated(Finding()) is first
    assert first.updated(Finding(what="b", certainty="t")) == replace(
        first, what="b", extent="", certainty="t"
    )


def breach(rule: str, finding: Finding | None = None) -> Verdict:
    return Verdict(rule=rule, scope="rag", state=VerdictState.BREACH, value=1.0, limit=0.1,
                   because=f"{rule} is so.", finding=finding or Finding(what=f"{rule} is wrong"),
                   since=NOON)  # fmt: skip


def test_a_message_has_the_severity_of_the_most_urgent_of_what_it_reports() -> None:
    severities = {"ttft": Severity.PAGE, "fallback": Severity.WARN}
    rules = {**DEFAULT_RULES, "ttft": TtftRule(severity=Severity.PAGE),
             "fallback": FallbackRule(severity=Severity.WARN)}  # fmt: skip
    steps = plan((), [breach(rule) for rule in severities], inhibitions=Inhibitions(rules),
                 policy=ReminderPolicy(), now=NOON)  # fmt: skip
    (notice,) = [step.notice for step in steps if step.notice]
    assert notice.rule == "fallback"
    assert notice.severity is Severity.PAGE
    assert notice.also == ("ttft is wrong",)
    assert notice.finding.what == "fallback is wrong"


def test_the_severity_of_a_notice_is_never_above_its_rules() -> None:
    def told(rule: str, severity: Severity | None, rules: Any = DEFAULT_RULES) -> Severity:
        verdict = Verdict(rule=rule, scope="rag", state=VerdictState.NOTICE, value=None, limit=None,
                          because="So.", severity=severity)  # fmt: skip
        return passing_notice(verdict, Inhibitions(rules), now=NOON).severity

    assert told("key", Severity.INFO) is Severity.INFO
    assert told("unpriced", None) is Severity.INFO
    warning = {**DEFAULT_RULES, "key": KeyRule(severity=Severity.INFO)}
    assert told("key", Severity.WARN, warning) is Severity.INFO
    assert told("storage", None) is Severity.PAGE


def test_an_end_says_what_it_cost_beyond_the_usual() -> None:
    finding = Finding(
        what="Haiku answers", usd_a_day=Decimal("2.5"), usual_usd_a_day=Decimal("0.1")
    )
    opened = plan((), [breach("fallback", finding)], inhibitions=INHIBITIONS,
                  policy=ReminderPolicy(), now=NOON)  # fmt: skip
    incidents = [
        replace(step.incident, number=1, since=NOON, last_breach_at=NOON + timedelta(hours=1))
        for step in opened if step.incident
    ]  # fmt: skip
    good = replace(breach("fallback"), state=VerdictState.OK, finding=Finding(), since=None)
    (step,) = plan(incidents, [good], inhibitions=INHIBITIONS, policy=ReminderPolicy(),
                   now=NOON + timedelta(hours=2))  # fmt: skip
    assert step.notice is not None
    assert step.notice.status is NoticeStatus.RESOLVED
    assert step.notice.finding.money == "It cost about $0.10 more than usual"
    assert step.notice.finding.what == "Haiku answers"


def test_the_cost_of_probes_alone_is_called_so() -> None:
    """Without `daily_queries` the cost of a day is that of the probes."""
    rule, marks = FallbackRule(), "...|" * 10 + "FFF|FFF"
    usd = {Identity.EXPECTED: Decimal("0.0001"), Identity.FALLBACK: Decimal("0.001")}
    seen = Window("rag", every=EVERY, queries=3, a_day=864, of_probes=True)
    for one in marked(marks):
        seen.add(replace(one, cost_usd=usd[one.identity]))
    verdict = rule.judge(seen, None, after(seen))
    money = "10 × the cost: at this rate $0.86 a day, was $0.09"
    assert (verdict.finding.money, verdict.finding.of_probes) == (money, True)
    assert verdict.facts["Cost a day"] == "$0.864, before $0.0864, for 864 probes"
    (step,) = plan((), [verdict], inhibitions=INHIBITIONS, policy=ReminderPolicy(), now=NOON)
    assert step.incident is not None
    assert step.notice is not None
    assert f"{money}. This is the cost of the monitor's own probes." in plain_text(step.notice)
    start = step.incident.breach_since
    over = replace(
        verdict, state=VerdictState.OK, finding=Finding(), facts={}, since=start + timedelta(days=1)
    )
    open_ = replace(step.incident, number=1, last_breach_at=start + timedelta(days=1))
    (step,) = plan(
        [open_], [over], inhibitions=INHIBITIONS, policy=ReminderPolicy(),
        now=start + timedelta(days=1, hours=1),
    )  # fmt: skip
    assert step.notice is not None
    assert (
        "It cost about $0.78 more than usual. This is the cost of the monitor's own probes."
        in plain_text(step.notice)
    )


def test_each_part_of_an_end_has_its_own_times() -> None:
    """An outage that joined an older change of model began when it began."""
    changed = Finding(what="answers no longer match", was="answers did not match {when}")
    outage = Finding(what="no answer", was="no answer {when}", restored="answers again")
    bad = {"model_changed": breach("model_changed", changed), "down": breach("down", outage)}
    bad["down"] = replace(bad["down"], since=NOON + timedelta(minutes=17))
    good = [replace(one, state=VerdictState.OK, finding=Finding(), since=None)
            for one in bad.values()]  # fmt: skip
    incidents: dict[Any, Any] = {}
    ends = []
    for minute, verdicts in ((0, [bad["model_changed"]]), (17, [*bad.values()]), (18, good),
                             (40, good)):  # fmt: skip
        now = NOON + timedelta(minutes=minute)
        for step in plan([*incidents.values()], verdicts, inhibitions=INHIBITIONS,
                         policy=ReminderPolicy(), now=now):  # fmt: skip
            if step.incident is not None:
                incidents[step.incident.key] = replace(step.incident, number=1)
            if step.notice and step.notice.status is NoticeStatus.RESOLVED:
                ends.append(step.notice)
    (end,) = ends
    assert end.rule == "down"
    assert end.finding.when == "from 12:17 to 12:18 UTC"
    assert end.also == ("answers no longer match, from 12:00 to 12:18 UTC",)
    message = plain_text(end, limit=3_000)
    assert "No answer from 12:17 to 12:18 UTC." in message
    assert "after 18 min" not in title(end), "the outage lasted one minute"


def test_the_healthy_time_between_two_breaches_costs_nothing() -> None:
    """Ten minutes, 55 minutes without a fault, ten minutes, 15 minutes of calm; $0.15 a minute."""
    finding = Finding(what="Haiku answers", usd_a_day=Decimal(217), usual_usd_a_day=Decimal(1))
    bad = replace(breach("fallback", finding), since=NOON)
    back = replace(bad, since=NOON + timedelta(minutes=65))
    good = replace(breach("fallback"), state=VerdictState.OK, finding=Finding(), since=None)
    incidents, money = (), []
    for minute, verdict in ((0, bad), (10, bad), (10, good), (65, back), (75, back), (90, good)):
        steps = plan(incidents, [verdict], inhibitions=INHIBITIONS, policy=ReminderPolicy(),
                     now=NOON + timedelta(minutes=minute))  # fmt: skip
        incidents = tuple(replace(step.incident, number=1) for step in steps if step.incident)
        money += [step.notice.finding.money for step in steps
                  if step.notice and step.notice.status is NoticeStatus.RESOLVED]  # fmt: skip
    assert money == [f"It cost about ${usd} more than usual" for usd in ("1.50", "3.00")]


def test_what_ended_without_a_measurement_says_why() -> None:
    finding = Finding(what="rag is down", extent="All failed", restored="answers again")
    opened = plan((), [breach("down", finding)], inhibitions=INHIBITIONS, policy=ReminderPolicy(),
                  now=NOON)  # fmt: skip
    incidents = [replace(step.incident, number=1) for step in opened if step.incident]
    later = NOON + timedelta(days=1)
    ends = list(abandoned(incidents, rules={}, scopes={}, now=later))
    (step,) = plan(incidents, ends, inhibitions=INHIBITIONS, policy=ReminderPolicy(), now=later)
    assert step.notice is not None
    assert step.notice.finding.extent == "Rule down is switched off; closed without a final check"
    assert step.notice.finding.restored == ""


@pytest.mark.parametrize(("what", "named"), [
    ("slow: 2 s for query hi", "slow: 2 s for query hi"),
    ("Haiku answers", "Haiku answers (query hi)"),
    ("", ""),
])  # fmt: skip
def test_the_query_is_named_where_each_is_judged_alone(what: str, named: str) -> None:
    verdict = of_query(breach("fallback", Finding(what=what, was=what)), "hi")
    assert verdict.finding.what == named
    assert verdict.finding.was == named
