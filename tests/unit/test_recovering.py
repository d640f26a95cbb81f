"""What is true now: an incident that is not in breach says so, and the live fault leads."""

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.cli.alerting import _lines, _whole
from monitor.cli.incident_evidence import evidence
from monitor.domain import (
    AccountReading,
    AccountState,
    Incident,
    NoticeStatus,
    Verdict,
    VerdictState,
)
from monitor.incidents.planner import plan
from monitor.incidents.state_machine import ReminderPolicy
from monitor.notifications.slack.render import render
from monitor.rules import (
    DeliveryBacklog,
    DeliveryRule,
    DownRule,
    FallbackRule,
    KeyRule,
    ModelChangedRule,
    NoDataRule,
    TtftRule,
)
from monitor.storage.incident_details import AnswerExcerpts
from tests.case_tables import each
from tests.probe_notation import INHIBITIONS, NOON, after, incident, marked, timed, window

MINUTE = timedelta(minutes=1)


class Story:
    """The latest incident of each rule, as one verdict after the other makes them."""

    def __init__(self) -> None:
        self.now = NOON
        self.incidents: dict[tuple[str, str], Incident] = {}

    def judge(self, later: timedelta, **states: VerdictState) -> list[tuple[str, str]]:
        """Judge rules a while later; status and text of each audible message."""
        self.now += later
        verdicts = [
            Verdict(rule=rule, scope="rag", state=state, value=1.0, limit=1.0,
                    because=f"{rule} {state}.")
            for rule, state in states.items()
        ]  # fmt: skip
        messages = []
        for step in plan(
            self.incidents.values(),
            verdicts,
            inhibitions=INHIBITIONS,
            policy=ReminderPolicy(),
            now=self.now,
        ):
            assert step.incident is not None
            number = step.incident.number or len(self.incidents) + 1
            self.incidents[step.incident.key] = replace(step.incident, number=number)
            if step.notice is not None and not step.notice.quiet:
                named = replace(step.notice, number=step.notice.number or number)
                messages.append((named.rule, render(named).text))
        return messages


def in_its_calm(rule: str) -> Story:
    """A rule that came back once, and is well again: it stays open for 15 minutes."""
    group = Story()
    for state in (VerdictState.BREACH, VerdictState.OK, VerdictState.BREACH):
        group.judge(MINUTE, **{rule: state})
    group.judge(MINUTE, **{rule: VerdictState.OK})
    return group


@each(
    ("rule", "joins"),
    [("down", "fallback"), ("down", "model_changed"), ("down", "ttft"), ("fallback", "ttft"),
     ("model_changed", "ttft"), ("ttft", "fallback"), ("fallback", "down"), ("key", "fallback")],
)  # fmt: skip
def test_what_joins_an_incident_in_its_calm_leads_with_its_own_first_step(
    rule: str, joins: str
) -> None:
    group = in_its_calm(rule)
    ((leads, text),) = group.judge(MINUTE, **{joins: VerdictState.BREACH, rule: VerdictState.OK})
    first = text.splitlines()[0]
    assert leads == joins
    assert first.startswith(f"STILL FIRING #1 {joins} · rag: {joins} breach.")
    assert f"{rule}: Within the limit again since 12:04 UTC: {rule} ok." in first
    assert f"Runbook: monitor runbook {joins}\n" in text  # the runbook's section
    assert f"{rule} breach" not in first


def test_a_return_after_a_message_said_that_it_recovers_is_audible_once() -> None:
    group = in_its_calm("down")
    group.judge(MINUTE, fallback=VerdictState.BREACH, down=VerdictState.OK)
    ((leads, text),) = group.judge(MINUTE, down=VerdictState.BREACH, fallback=VerdictState.BREACH)
    assert leads == "down"
    assert "Occurred again: down breach." in text
    assert (
        group.judge(MINUTE, down=VerdictState.OK)
        == group.judge(MINUTE, down=VerdictState.BREACH)
        == []
    )


def test_a_reminder_in_the_calm_says_how_it_is_now() -> None:
    group = in_its_calm("down")
    group.incidents = {
        key: replace(one, reopenings=5) for key, one in group.incidents.items()
    }  # four hours of calm
    group.judge(timedelta(hours=3), down=VerdictState.BREACH)
    ((_, text),) = group.judge(timedelta(hours=2), down=VerdictState.OK)
    assert text.startswith("STILL FIRING #1 down · rag: Within the limit again since 17:04 UTC: ")
    assert "The incident stays open until the recovery has lasted long enough." in text
    assert "down breach" not in text.splitlines()[0]
    assert "First step: Nothing now." in text
    assert "Open the service itself" not in text


def test_incidents_show_and_list_say_how_it_is_now_beside_the_sentence_it_fired_with() -> None:
    (calm,) = in_its_calm("down").incidents.values()
    (line,) = _lines([calm], [])
    assert line.endswith(": down breach. Now: Within the limit again since 12:04 UTC: down ok.")
    assert "  latest: Within the limit again since 12:04 UTC: down ok." in _whole(calm)


def test_an_excerpt_is_an_answer_now_only_while_the_incident_is_in_breach() -> None:
    found = AnswerExcerpts("hours", "Hello.", None)
    (fallback,) = in_its_calm("fallback").incidents.values()
    (line, *_) = evidence(fallback, (), found, now=NOON)
    assert line == "Answer during the breach (hours): Hello."
    assert list(found.facts(in_breach=True)) == ["Answer now (hours)"]


def test_the_end_and_a_new_breach_clear_the_recovery() -> None:
    group = in_its_calm("down")
    assert group.incidents["down", "rag"].recovering_since == NOON + 4 * MINUTE
    group.judge(MINUTE, down=VerdictState.BREACH)
    assert group.incidents["down", "rag"].in_breach
    group.judge(timedelta(hours=1), down=VerdictState.OK)
    assert group.incidents["down", "rag"].recovering_since is None
    assert group.incidents["down", "rag"].told is NoticeStatus.RESOLVED


# ------------------------------------------------------------ what the rules say


@pytest.mark.parametrize(
    ("rule", "marks", "recovered", "because"),
    [
        (DownRule(), "xxx|xxx|xx.|...|.", "Answers again", "None of the last 5 probes failed."),
        (DownRule(), "xxx|xxx|xx.", "Answers again", "The latest probe did not fail."),
        (
            FallbackRule(),
            "FFF|FFF|FF.|...|...|...|...|...|...|...|...|...",
            "Within the limit again",
            "None of the last ",
        ),
        (
            ModelChangedRule(),
            "CCC|CCC|CC.|...|...|...|...|...|...|...|...|...",
            "Answers match the expected model again",
            " answers match the expected model.",
        ),
    ],
)
def test_a_rule_says_what_is_true_again_since_its_first_good_row(
    rule: DownRule | FallbackRule | ModelChangedRule, marks: str, recovered: str, because: str
) -> None:
    seen = window(marked(marks))
    open_ = incident(rule.name)
    verdict = rule.judge(seen, open_, after(seen))
    good = [sample.at for sample in seen.samples]
    assert verdict.state in (VerdictState.OK, VerdictState.HOLD)
    assert verdict.recovered == recovered
    assert because in verdict.because
    assert verdict.since == good[8]


@pytest.mark.parametrize(("within", "state"), [(1, VerdictState.HOLD), (5, VerdictState.OK)])
def test_ttft_is_within_the_limit_since_its_first_quick_round(
    within: int, state: VerdictState
) -> None:
    seen = window(timed([[3000.0] * 3] * 3 + [[400.0] * 3] * within))
    verdict = TtftRule().judge(seen, incident("ttft"), after(seen))
    assert verdict.state is state
    assert verdict.recovered == "Within the limit again"
    assert verdict.because.startswith("TTFT is 400 ms")
    assert verdict.since == NOON + timedelta(minutes=15, seconds=1)


def test_samples_a_key_and_a_channel_say_what_is_true_again() -> None:
    seen = window(marked("...|...|..."))
    silent = incident("no_data", opened_at=NOON + MINUTE)
    verdict = NoDataRule().judge(seen, silent, after(seen))
    assert verdict.recovered == "Samples arrive again"
    assert verdict.since == NOON + timedelta(minutes=5, seconds=1)

    reading = AccountReading(provider="openrouter", at=NOON, state=AccountState.OK, detail="")
    verdict = KeyRule().judge(reading, incident("key"), NOON)
    assert (verdict.recovered, verdict.since) == ("Key accepted again", NOON)

    drained = DeliveryBacklog(channel="console")
    verdict = DeliveryRule().judge(drained, incident("delivery"), NOON)
    assert verdict.recovered == "Messages are delivered again"
