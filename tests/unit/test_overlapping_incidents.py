"""Two or three incidents of one target that overlap: each message is true at its moment.

Rounds are written as marks of `tests.probe_notation`, five minutes apart from noon, behind four
good rounds. The rules judge each round as the worker does.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import product

from monitor.domain import (
    CostSource,
    Finding,
    Incident,
    Notice,
    NoticeStatus,
    Sample,
    Verdict,
    VerdictState,
)
from monitor.incidents.planner import plan
from monitor.incidents.state_machine import IncidentChange, ReminderPolicy, advance
from monitor.notifications.plain_text import plain_text, summary, title
from monitor.rules import DEFAULT_RULES, Window
from tests.case_tables import each
from tests.probe_notation import EVERY, INHIBITIONS, NOON, after, incident, marked

RULES = ("down", "fallback", "model_changed", "ttft")
USUAL = "...|...|...|..."
WELL = "|".join(["..."] * 8)
CHANGED, OUTAGE = "answers no longer match Llama 4 Scout", "does not answer: connection refused on"


def messages(rounds: str) -> Iterator[Notice]:
    """Every notice of these rounds, also corrections without a sound, with its number."""
    return notices(list(marked(f"{USUAL}|{rounds}")), RULES)


def notices(samples: Sequence[Sample], rules: Sequence[str], *, begin: int = 0) -> Iterator[Notice]:
    """Every notice of these rules, judged round by round from the round `begin` on."""
    incidents: dict[tuple[str, str], Incident] = {}
    numbers = iter(range(1, 99))
    for slot in sorted({one.round for one in samples})[begin:]:
        seen = Window.of(
            [one for one in samples if one.round <= slot], scope="rag", every=EVERY, queries=3
        )
        now = after(seen)
        verdicts = [
            DEFAULT_RULES[rule].judge(seen, incidents.get((rule, "rag")), now) for rule in rules
        ]
        for step in plan([*incidents.values()], verdicts, inhibitions=INHIBITIONS,
                         policy=ReminderPolicy(), now=now):  # fmt: skip
            latest = step.incident
            assert latest is not None
            if latest.number is None:
                latest = replace(latest, number=next(numbers))
            incidents[latest.key] = latest
            if step.notice is not None:
                number = step.notice.number or latest.number
                yield replace(step.notice, number=number)


def audible(rounds: str) -> list[str]:
    """Time, status and title of each audible message."""
    return [
        f"{one.at:%H:%M} {one.status}: {title(one).removeprefix('rag: ')}"
        for one in messages(rounds)
        if not one.quiet
    ]


@each(("rounds", "expected"), [
    # a change, then an outage; both end with the outage
    (f"CCC|CCC|CCC|xxx|xxx|xxx|{WELL}", [
        f"12:20 FIRING: {CHANGED} · #1",
        f"12:40 STILL FIRING: {OUTAGE} 6 of 6 probes · new in #1",
        f"12:55 STILL FIRING: answers again after 15 min; still: {CHANGED} · #1",
        "13:10 RESOLVED: answers match Llama 4 Scout again, after 30 min · #1",
    ]),
    # only the outage ends
    (f"CCC|CCC|CCC|xxx|xxx|xxx|CCC|CCC|CCC|{WELL}", [
        f"12:20 FIRING: {CHANGED} · #1",
        f"12:40 STILL FIRING: {OUTAGE} 6 of 6 probes · new in #1",
        f"12:55 STILL FIRING: answers again after 15 min; still: {CHANGED} · #1",
        "13:25 RESOLVED: answers match Llama 4 Scout again, after 45 min · #1",
    ]),
    # an outage, then a change that may follow from it
    (f"xxx|xxx|CCC|CCC|CCC|{WELL}", [
        f"12:25 FIRING: {OUTAGE} 6 of 6 probes · #1",
        f"12:30 STILL FIRING: {CHANGED} · new in #1",
        "13:05 RESOLVED: answers again after 10 min; answers match Llama 4 Scout again after 15 "
        "min · #1",
    ]),
    # an outage that comes back
    (f"xxx|xxx|...|...|xxx|xxx|{WELL}", [
        f"12:25 FIRING: {OUTAGE} 6 of 6 probes · #1",
        "12:35 RESOLVED: answers again, after 10 min · #1",
        f"12:45 STILL FIRING: {OUTAGE} 6 of 6 probes · #1, again",
        "13:00 RESOLVED: answers again, after 2 breaches in 30 min · #1",
    ]),
    # a change, an outage that ends, and comes back before the change ends
    (f"CCC|CCC|xxx|xxx|...|...|xxx|xxx|{WELL}", [
        f"12:20 FIRING: {CHANGED} · #1",
        f"12:35 STILL FIRING: {OUTAGE} 6 of 6 probes · new in #1",
        f"12:45 STILL FIRING: answers again after 10 min; still: {CHANGED} · #1",
        f"12:55 STILL FIRING: {OUTAGE} 6 of 6 probes · #1, again",
        "13:10 RESOLVED: answers again after 2 breaches in 30 min; answers match Llama 4 Scout "
        "again after 20 min · #1",
    ]),
    # a change that ended comes back in the incident of a later outage
    (f"CCC|CCC|{WELL}|xxx|xxx|CCC|CCC|{WELL}", [
        f"12:20 FIRING: {CHANGED} · #1",
        "12:50 RESOLVED: answers match Llama 4 Scout again, after 10 min · #1",
        f"13:15 FIRING: {OUTAGE} 6 of 6 probes · #2",
        f"13:20 STILL FIRING: {CHANGED} · #2, again",
        f"13:55 STILL FIRING: answers again after 10 min; open: {CHANGED} · #2, recovering",
        "14:00 RESOLVED: answers match Llama 4 Scout again, after 10 min · #2",
    ]),
    # a change, then an outage, then a fallback that is known by name
    (f"CCC|CCC|xxx|xxx|FFF|FFF|FFF|{WELL}", [
        f"12:20 FIRING: {CHANGED} · #1",
        f"12:35 STILL FIRING: {OUTAGE} 6 of 6 probes · new in #1",
        "12:45 STILL FIRING: answers again after 10 min; now: Claude Haiku 4.5 answers instead of "
        "Llama 4 Scout · new in #1",
        "13:15 RESOLVED: Llama 4 Scout answers again, after 15 min · #1",
    ]),
])  # fmt: skip
def test_titles_of_incidents_that_overlap(rounds: str, expected: list[str]) -> None:
    assert audible(rounds) == expected


def test_each_part_of_an_end_has_its_own_times() -> None:
    (*_, end) = messages(f"CCC|CCC|xxx|xxx|...|...|xxx|xxx|{WELL}")
    assert (end.status, f"{end.since:%H:%M}", f"{end.until:%H:%M}") == (
        NoticeStatus.RESOLVED, "12:30", "13:00",
    )  # fmt: skip
    assert list(summary(end)) == [
        "No answer from 12:30 to 12:40 UTC and from 12:50 to 13:00 UTC (connection refused on 6 of "
        "6 probes).",
        f"Also it was: {CHANGED}, from 12:20 to 12:40 UTC.",
    ]
    assert end.sentence.startswith("Over after 40 min. down 2 breaches in 30 min: ")


def test_an_outage_explains_no_change_that_was_there_before() -> None:
    joined = list(messages("CCC|CCC|CCC|xxx|xxx"))[-1]
    assert f"Also: {CHANGED}, since 12:20 UTC." in summary(joined)


def test_a_change_that_gets_a_name_later_follows_from_it() -> None:
    named = list(messages("CCC|CCC|CCC|CCC|FFF|FFF"))[-1]
    assert f"Also (likely a consequence): {CHANGED}." in summary(named)


def test_a_message_about_what_joined_says_that_the_outage_is_over() -> None:
    (_, joined, *_) = messages("xxx|xxx|CCC|CCC")
    assert "Also: down: Answers again since 12:30 UTC: None of the last 3 probes failed." in (
        summary(joined)
    )


def test_no_message_of_any_order_states_a_time_without_the_fault() -> None:
    """Every order of three stretches: an outage begins with a failure and ends with an answer."""
    faults = []
    for order in product(("CCC|CCC", "xxx|xxx", "...|...", "FFF|FFF"), repeat=3):
        rounds = f"{'|'.join(order)}|{WELL}"
        failed = {f"{one.at:%H:%M}" for one in marked(f"{USUAL}|{rounds}") if not one.outcome.good}
        for one in messages(rounds):
            said = plain_text(one)
            starts = set(re.findall(r"[Nn]o answer (?:since|from) (\d\d:\d\d)", said))
            ends = set(re.findall(r"[Nn]o answer from \S+ to (\d\d:\d\d)", said))
            down = one.status is not NoticeStatus.RESOLVED and "does not answer" in title(one)
            if down and not one.recovering and not one.quiet:
                starts.add(f"{one.at:%H:%M}")
            if starts - failed or ends & failed or ".." in said.replace("...", ""):
                faults.append((rounds, said))
    assert faults == []


def test_a_key_that_is_read_later_explains_what_was_there_before() -> None:
    """A provider is read every few minutes, so its fault is a little older than it seems."""
    fallen = incident("fallback", opened_at=NOON)
    for rule, scope, later, follows in (
        ("key", "openrouter", EVERY, True),
        ("key", "openrouter", 3 * EVERY, True),
        ("key", "openrouter", 4 * EVERY, False),  # it was read before, and it was accepted
        ("down", "rag", EVERY, False),
    ):
        cause = incident(rule, scope=scope, opened_at=NOON + later)
        assert INHIBITIONS.causes(cause, fallen)
        assert INHIBITIONS.follows_not(cause, fallen) is not follows


def test_the_cause_of_an_earlier_breach_is_not_that_of_its_return() -> None:
    """A cause is searched for at each opening; none may be found the second time."""
    policy, cause = ReminderPolicy(), Finding(what="does not answer", cause="the key expired")
    verdict = Verdict(rule="down", scope="rag", state=VerdictState.BREACH, value=5.0, limit=5.0,
                      because="Failed.", finding=cause, since=NOON)  # fmt: skip
    found = replace(verdict, finding=replace(cause, cause=""))
    well = replace(verdict, state=VerdictState.OK, finding=Finding(), because="Good.", since=None)
    latest, _ = advance(None, verdict, policy=policy, now=NOON)
    latest, _ = advance(latest, found, policy=policy, now=NOON + EVERY)
    assert latest is not None
    assert latest.finding.cause == "the key expired", "while it lasts"
    latest, _ = advance(latest, well, policy=policy, now=NOON + 2 * EVERY)
    later = replace(found, since=NOON + 3 * EVERY)
    latest, change = advance(latest, later, policy=policy, now=NOON + 3 * EVERY)
    assert latest is not None
    assert change is IncidentChange.REOPENED
    assert latest.finding.cause == ""


def answered(marks: str, *, edited: bool = False) -> list[Sample]:
    """Rounds of three queries by their number of sources, which make most of the prompt."""
    return [
        replace(
            one,
            query=f"q{nth % 3}",
            source_count=int(mark),
            source_best_score=0.7 + nth % 7 / 1000 if mark != "0" else None,
            prompt_tokens=(2000 if edited and nth > 150 else 400) + 200 * int(mark) + nth % 5,
            answer_tokens=200 + nth % 9,
            cost_usd=Decimal(400 + 200 * int(mark) + nth % 5) / 10**7,
            cost_source=CostSource.REPORTED,
        )
        for nth, (one, mark) in enumerate(
            zip(marked(re.sub("[0-9]", ".", marks)), marks.replace("|", ""), strict=True)
        )
    ]


BOTH = ("retrieval", "cost_drift")


def test_a_shorter_prompt_without_sources_is_stated_in_the_message_of_its_cause() -> None:
    marks = "|".join(["888"] * 30 + ["000"] * 30 + ["888"] * 30)
    found = list(notices(answered(marks), BOTH, begin=29))
    assert [(one.status, one.rule) for one in found if not one.quiet] == [
        (NoticeStatus.FIRING, "retrieval"),
        (NoticeStatus.RESOLVED, "retrieval"),
    ]
    facts = [one.facts["cost_drift"] for one in found if "cost_drift" in one.facts]
    assert facts[0].startswith("Prompt tokens of 3 queries: 40")
    assert not next(one for one in found if one.status is NoticeStatus.RESOLVED).worse


def test_a_prompt_edit_during_an_older_loss_of_sources_is_reported() -> None:
    marks = "|".join(["888"] * 30 + ["000"] * 60)
    found = [one for one in notices(answered(marks, edited=True), BOTH, begin=29) if not one.quiet]
    assert [(one.status, one.rule) for one in found] == [
        (NoticeStatus.FIRING, "retrieval"),
        (NoticeStatus.STILL_FIRING, "retrieval"),
    ]
    assert "Prompt tokens of 3 queries: 2,00" in found[1].facts["cost_drift"]
