"""The plan: one cause, one message; what a mute holds back and what it does not lose."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from monitor.domain import (
    CauseOwner,
    Finding,
    Incident,
    Notice,
    NoticeStatus,
    Verdict,
    VerdictState,
)
from monitor.incidents.planner import IncidentStep, plan
from monitor.incidents.silences import Mute, Silence, abandoned
from monitor.incidents.state_machine import ReminderPolicy
from monitor.rules import RULES
from tests.case_tables import each
from tests.probe_notation import INHIBITIONS, NOON

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
POLICY = ReminderPolicy()
FIRING, STILL, RESOLVED = NoticeStatus.FIRING, NoticeStatus.STILL_FIRING, NoticeStatus.RESOLVED


def verdict(rule: str, state: VerdictState, *, scope: str = "rag", **changes: object) -> Verdict:
    reported = "breaks" if state is VerdictState.BREACH else "is well"
    ordinary = Verdict(
        rule=rule, scope=scope, state=state, value=2.0, limit=1.2, because=f"{rule} {reported}."
    )
    return replace(ordinary, **changes)  # type: ignore[arg-type]


def breach(rule: str, **changes: object) -> Verdict:
    return verdict(rule, VerdictState.BREACH, **changes)  # type: ignore[arg-type]


def well(rule: str, **changes: object) -> Verdict:
    return verdict(rule, VerdictState.OK, **changes)  # type: ignore[arg-type]


class Story:
    """A store that keeps the latest incident of each rule and scope, and what was told."""

    def __init__(self) -> None:
        self.incidents: dict[tuple[str, str], Incident] = {}
        self.now = NOON
        self.silence: Silence = ()
        self.numbers = 40
        self.seen: set[object] = set()

    def judge(self, *verdicts: Verdict, later: timedelta = MINUTE) -> list[Notice]:
        """Plan and apply what is judged a while later; returns what is told."""
        self.now += later
        steps = plan(self.incidents.values(), verdicts, inhibitions=INHIBITIONS,
                     silence=self.silence, policy=POLICY, now=self.now)  # fmt: skip
        return list(self.apply(steps))

    def apply(self, steps: Iterable[IncidentStep]) -> Iterable[Notice]:
        for step in steps:
            incident, number = step.incident, None
            if incident is not None:
                if incident.number is None:
                    self.numbers += 1
                    incident = replace(incident, number=self.numbers)
                if incident.part_of:
                    primary = self.incidents[incident.part_of]
                    incident = replace(
                        incident, announced_as=primary.announced_as or primary.number
                    )
                self.incidents[incident.key] = incident
                number = incident.number
            if step.notice is not None and step.notice.id not in self.seen:
                self.seen.add(step.notice.id)
                yield replace(step.notice, number=step.notice.number or number)

    def mute(self, span: timedelta, *, rule: str = "all") -> None:
        self.silence = [Mute(until=self.now + span, reason="test", rule=rule)]


def heads(notices: Iterable[Notice]) -> list[str]:
    return [f"{n.status} #{n.number} {n.rule}{' (quiet)' if n.quiet else ''}" for n in notices]


def test_a_breach_is_reported_once_and_its_end_with_its_length() -> None:
    group = Story()
    (fired,) = group.judge(breach("ttft"))
    assert (fired.status, fired.number, fired.sentence) == (FIRING, 41, "ttft breaks.")
    assert (fired.value, fired.limit, fired.since) == (2.0, 1.2, group.now)
    assert group.judge(breach("ttft", value=3.0)) == []
    (ended,) = group.judge(well("ttft", value=1.0), later=2 * HOUR)
    assert (ended.status, ended.number) == (RESOLVED, 41)
    assert ended.sentence == "Over after 2 h 1 min. ttft is well."
    assert (ended.value, ended.peak, ended.until) == (1.0, 3.0, group.now)
    assert group.judge(well("ttft")) == []


def test_a_reminder_comes_after_four_hours_and_then_daily() -> None:
    group = Story()
    group.judge(breach("ttft"))
    notified = [
        (notice.status, quarter / 4)
        for quarter in range(1, 4 * 60)
        for notice in group.judge(breach("ttft"), later=15 * MINUTE)
    ]
    assert notified == [(STILL, 4), (STILL, 28), (STILL, 52)]


def test_after_a_long_absence_it_is_reminded_of_once_it_was_seen_to_be_still_true() -> None:
    group = Story()
    group.judge(breach("ttft"))
    nothing = verdict("ttft", VerdictState.NO_DATA)
    assert group.judge(nothing, later=72 * HOUR) == []
    assert group.judge(later=MINUTE) == [], "another target's turn"
    (reminder,) = group.judge(breach("ttft"), later=MINUTE)
    assert (reminder.status, reminder.number, reminder.since) == (STILL, 41, NOON + MINUTE)
    assert group.judge(breach("ttft"), later=23 * HOUR) == []


def test_after_a_long_absence_what_is_well_is_over_and_nothing_else_is_reported() -> None:
    group = Story()
    group.judge(breach("ttft"), breach("fallback"))
    silence = [verdict(rule, VerdictState.NO_DATA) for rule in ("ttft", "fallback")]
    assert group.judge(*silence, later=72 * HOUR) == []
    (ended,) = group.judge(well("ttft"), well("fallback"))
    assert ended.status is RESOLVED
    assert ended.sentence.startswith("Over after 3 d 0 h.")
    assert group.judge(well("ttft"), well("fallback")) == []


# ------------------------------------------------------------ one cause, one message


def test_fallback_and_slow_are_one_message_with_two_facts() -> None:
    group = Story()
    assert heads(group.judge(breach("fallback"))) == ["FIRING #41 fallback"]
    (joined,) = group.judge(breach("fallback"), breach("ttft"))
    assert heads([joined]) == ["STILL FIRING #41 fallback"]
    assert joined.sentence == "fallback breaks. Now also ttft: ttft breaks."
    assert joined.facts["ttft"] == "ttft breaks. Since 12:02 UTC, 0 s."
    assert group.incidents["ttft", "rag"].part_of == ("fallback", "rag")
    assert group.incidents["ttft", "rag"].number == 42  # a row of its own, for its length


@each(
    ("cause", "symptom"),
    [("down", "ttft"), ("down", "fallback"), ("key", "fallback"), ("key", "ttft"),
     ("key", "spend"), ("fallback", "ttft"), ("key", "model_changed"),
     ("down", "model_changed"), ("fallback", "model_changed"), ("model_changed", "ttft"),
     ("probe_budget", "no_data")],
)  # fmt: skip
def test_found_together_the_cause_leads(cause: str, symptom: str) -> None:
    group = Story()
    scopes = {"key": "openrouter", "spend": "all", "probe_budget": "all"}
    found = [breach(rule, scope=scopes.get(rule, "rag")) for rule in (symptom, cause)]
    (notice,) = group.judge(*found)
    assert (notice.rule, notice.number) == (cause, 41)
    assert any(label.startswith(symptom) for label in notice.facts)


def test_a_change_that_gets_a_name_stays_one_message_with_one_number_and_one_end() -> None:
    group = Story()
    assert heads(group.judge(breach("model_changed"))) == ["FIRING #41 model_changed"]
    (named,) = group.judge(breach("model_changed"), breach("fallback"))
    assert heads([named])[0].endswith("#41 fallback")
    assert "model_changed" in named.facts
    assert group.incidents["fallback", "rag"].part_of == ("model_changed", "rag")
    assert group.judge(breach("model_changed"), breach("fallback"), later=2 * HOUR) == []
    (ended,) = group.judge(well("model_changed"), well("fallback"))
    assert heads([ended]) == ["RESOLVED #41 fallback"]


def test_a_cause_found_later_joins_the_message_of_its_symptom() -> None:
    group = Story()
    group.judge(breach("ttft"))
    (joined,) = group.judge(breach("key", scope="openrouter"))
    assert heads([joined]) == ["STILL FIRING #41 key"]
    (symptom,) = (fact for label, fact in joined.facts.items() if label.startswith("ttft"))
    assert symptom.startswith("ttft breaks.")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("down", "no_data"),
        ("down", "spend"),
        ("fallback", "spend"),
        ("ttft", "spend"),
        ("key", "down"),
    ],
)
def test_what_does_not_follow_is_reported_by_itself(first: str, second: str) -> None:
    group = Story()
    assert heads(group.judge(breach(first))) == [f"FIRING #41 {first}"]
    assert heads(group.judge(breach(second))) == [f"FIRING #42 {second}"]


def test_spend_over_all_targets_ties_their_troubles_to_nothing() -> None:
    group = Story()
    assert heads(group.judge(breach("down", scope="a"))) == ["FIRING #41 down"]
    assert heads(group.judge(breach("spend", scope="all"))) == ["FIRING #42 spend"]
    assert heads(group.judge(breach("down", scope="b"))) == ["FIRING #43 down"]
    assert heads(group.judge(breach("ttft", scope="b"))) == ["STILL FIRING #43 down"]
    ended = group.judge(well("down", scope="a"), later=30 * MINUTE)
    assert heads(ended) == ["RESOLVED #41 down"]


def test_another_target_is_another_story() -> None:
    group = Story()
    group.judge(breach("fallback"))
    assert heads(group.judge(breach("ttft", scope="other"))) == ["FIRING #42 ttft"]


def test_a_part_that_ends_first_corrects_the_message_in_silence() -> None:
    group = Story()
    group.judge(breach("fallback"), breach("ttft"))
    (corrected,) = group.judge(well("ttft"), later=30 * MINUTE)
    assert heads([corrected]) == ["FIRING #41 fallback (quiet)"]
    assert corrected.facts["ttft"] == ("Over after 30 min, 12:01 UTC to 12:31 UTC. ttft is well.")
    (ended,) = group.judge(well("fallback"), later=10 * MINUTE)
    assert heads([ended]) == ["RESOLVED #41 fallback"]
    assert ended.facts["ttft"].startswith("Over after 30 min")


def explained(owner: CauseOwner, cause: str) -> Verdict:
    finding = Finding(what="ttft breaks", cause=cause, cause_owner=owner)
    return replace(breach("ttft"), finding=finding)


def test_a_cause_that_becomes_known_later_corrects_the_message_in_silence() -> None:
    group = Story()
    [fired] = group.judge(explained(CauseOwner.CANNOT_TELL, ""))
    assert not fired.quiet
    assert group.judge(explained(CauseOwner.CANNOT_TELL, "")) == []
    [corrected] = group.judge(explained(CauseOwner.PROVIDER, "HTTP 429 of 7 answers"))
    assert heads([corrected]) == ["FIRING #41 ttft (quiet)"]
    assert corrected.finding.cause == "HTTP 429 of 7 answers"
    assert group.judge(explained(CauseOwner.PROVIDER, "HTTP 429 of 9 answers")) == [], "no news"
    [turned] = group.judge(explained(CauseOwner.CANNOT_TELL, "the evidence disagrees"))
    assert heads([turned]) == ["FIRING #41 ttft (quiet)"]
    [slow] = group.judge(explained(CauseOwner.CANNOT_TELL, "cannot tell"), breach("spend"))
    assert not slow.quiet, "news of another part is audible"


def test_a_cause_that_returns_corrects_the_message_again() -> None:
    group, ids = Story(), set()
    group.judge(explained(CauseOwner.CANNOT_TELL, ""))
    causes = 3 * [(CauseOwner.US, "the configuration changed"),
                  (CauseOwner.CANNOT_TELL, "cannot tell, the evidence disagrees")]  # fmt: skip
    for owner, cause in causes:
        planned = [
            plan(group.incidents.values(), [explained(owner, cause)], inhibitions=INHIBITIONS,
                 policy=POLICY, now=group.now + later)
            for later in (MINUTE, MINUTE + timedelta(seconds=1))
        ]  # fmt: skip
        [first, second] = [step.notice for steps in planned for step in steps]
        assert first is not None
        assert second is not None
        assert first.id == second.id, "two workers plan the same correction"
        [corrected] = group.judge(explained(owner, cause))
        assert (corrected.quiet, corrected.finding.cause) == (True, cause)
        ids.add(corrected.id)
        assert group.judge(explained(owner, cause)) == [], "nothing new"
    assert len(ids) == len(causes)


def test_the_cause_of_a_muted_incident_is_not_reported() -> None:
    group = Story()
    group.mute(HOUR)
    assert group.judge(explained(CauseOwner.CANNOT_TELL, "")) == []
    assert group.judge(explained(CauseOwner.PROVIDER, "HTTP 429")) == []


def test_what_outlives_its_cause_turns_the_message_and_is_reported_before_long() -> None:
    group = Story()
    group.judge(breach("fallback"), breach("ttft"))
    (turned,) = group.judge(well("fallback"), breach("ttft"), later=HOUR)
    assert heads([turned]) == ["FIRING #41 ttft (quiet)"]
    assert turned.facts["fallback"].startswith("Over after 1 h 0 min")
    assert group.judge(breach("ttft"), later=29 * MINUTE) == []
    assert heads(group.judge(breach("ttft"), later=MINUTE)) == ["STILL FIRING #41 ttft"]
    assert group.judge(breach("ttft"), later=23 * HOUR) == []
    (ended,) = group.judge(well("ttft"), later=MINUTE)
    assert heads([ended]) == ["RESOLVED #41 ttft"], "the end of the fallback was sent before"
    assert ended.sentence == (
        "Over after 1 d 0 h. fallback 1 h 0 min: fallback is well; ttft 1 d 0 h: ttft is well."
    )
    assert (ended.since, ended.until) == (NOON + MINUTE, group.now)
    assert ended.facts["fallback"].startswith("Over after 1 h 0 min")


def test_a_cause_that_comes_back_while_its_symptom_lasts_is_the_same_story() -> None:
    group = Story()
    group.judge(breach("fallback"), breach("ttft"))
    group.judge(well("fallback"), later=HOUR)
    (returned,) = group.judge(breach("fallback"))
    assert heads([returned]) == ["STILL FIRING #41 fallback"]
    assert returned.sentence == "Occurred again: fallback breaks."
    assert group.incidents["fallback", "rag"].reopenings == 1


def test_it_is_said_aloud_that_it_came_back_after_its_end_was_said_aloud() -> None:
    group = Story()
    group.judge(breach("fallback"), breach("ttft"))
    group.judge(well("fallback"), later=HOUR)
    assert heads(group.judge(breach("ttft"), later=HOUR)) == ["STILL FIRING #41 ttft"]
    assert heads(group.judge(breach("fallback"))) == ["STILL FIRING #41 fallback"]


def test_what_comes_back_soon_is_taken_up_under_its_number() -> None:
    group = Story()
    group.judge(breach("ttft"))
    assert heads(group.judge(well("ttft"))) == ["RESOLVED #41 ttft"]
    (again,) = group.judge(breach("ttft"), later=HOUR)
    assert heads([again]) == ["STILL FIRING #41 ttft"]
    assert again.facts["Reopened"] == "once"
    assert again.since == group.now, "since it came back, not across the time it was well"
    assert group.judge(well("ttft")) == []  # it must stay calm for a while now
    assert heads(group.judge(well("ttft"), later=15 * MINUTE)) == ["RESOLVED #41 ttft"]
    assert heads(group.judge(breach("ttft"), later=61 * MINUTE)) == ["FIRING #42 ttft"]


def test_a_symptom_that_comes_back_alone_keeps_the_number_it_was_announced_with() -> None:
    group = Story()
    group.judge(breach("fallback"), breach("ttft"))
    group.judge(well("fallback"), well("ttft"), later=HOUR)
    (returned,) = group.judge(breach("ttft"), later=MINUTE)
    assert heads([returned]) == ["STILL FIRING #41 ttft"]
    assert group.incidents["ttft", "rag"].part_of is None
    assert group.incidents["ttft", "rag"].number == 42  # its row
    assert heads(group.judge(well("ttft"), later=HOUR)) == ["RESOLVED #41 ttft"]


def test_a_cause_that_joined_and_comes_back_alone_keeps_the_number_people_saw() -> None:
    """The channel saw `#1 fallback`; the row of the fallback is the second."""
    group = Story()
    group.judge(breach("ttft"))
    assert heads(group.judge(breach("fallback"))) == ["STILL FIRING #41 fallback"]
    assert heads(group.judge(well("ttft"), well("fallback"))) == ["RESOLVED #41 fallback"]
    assert heads(group.judge(breach("fallback"))) == ["STILL FIRING #41 fallback"]
    assert heads(group.judge(breach("ttft"))) == ["STILL FIRING #41 fallback"]
    assert heads(group.judge(breach("down"))) == ["STILL FIRING #41 down"]
    group.judge(well("down"), well("ttft"), well("fallback"), later=5 * HOUR)
    assert heads(group.judge(breach("fallback"), later=2 * HOUR)) == ["FIRING #44 fallback"]


def test_what_was_announced_under_one_number_is_one_message_again() -> None:
    """`key` and `down` are told apart by themselves; here people know both as #41."""
    group = Story()
    group.judge(breach("ttft"))
    group.judge(breach("down"))
    group.judge(breach("key", scope="openrouter"))
    group.judge(well("ttft"), well("down"), well("key", scope="openrouter"))
    assert heads(group.judge(breach("down"))) == ["STILL FIRING #41 down"]
    assert heads(group.judge(breach("key", scope="openrouter"))) == ["STILL FIRING #41 key"]


def test_a_return_under_a_mute_is_said_when_the_mute_ends() -> None:
    group = Story()
    group.judge(breach("fallback"), breach("ttft"))
    group.judge(well("fallback"), later=HOUR)
    group.mute(HOUR)
    assert group.judge(breach("fallback")) == []
    assert heads(group.judge(breach("fallback"), later=HOUR)) == ["STILL FIRING #41 fallback"]
    assert group.judge(breach("fallback")) == []


# ------------------------------------------------------------ a part that is over


@pytest.mark.parametrize("first", ["key", "spend"])
def test_the_end_of_a_part_is_said_at_once_where_the_rest_ends_with_its_day(first: str) -> None:
    group = Story()
    rejected, costs = breach("key", scope="openrouter"), spent(VerdictState.BREACH, "3", "23 ×1")
    accepted = well("key", scope="openrouter", because="openrouter accepts the key.")
    group.judge(rejected if first == "key" else costs)
    group.judge(rejected, costs)
    (notified,) = group.judge(accepted, costs, later=HOUR)
    assert heads([notified]) == ["STILL FIRING #41 spend"]
    lasted = "1 h 0 min" if first == "spend" else "1 h 1 min"
    assert notified.sentence == (
        f"key · openrouter is over after {lasted}: openrouter accepts the key. "
        "Still open: spend breaks."
    )
    for _ in range(3):
        assert group.judge(accepted, costs, later=HOUR) == []
    (ended,) = group.judge(accepted, spent(VerdictState.OK, "3"), later=HOUR)
    assert heads([ended]) == ["RESOLVED #41 spend"], "the end of the key was sent before"
    assert f"key · openrouter {lasted}: openrouter accepts the key" in ended.sentence
    assert "spend 5 h" in ended.sentence


def test_vanished_sources_and_the_check_that_asks_for_them_are_one_message() -> None:
    group = Story()
    (notified,) = group.judge(breach("answer_check"), breach("retrieval"))
    assert (notified.rule, notified.consequences) == ("retrieval", True)
    assert notified.also == ("answer_check breaks",)


def test_the_cost_of_a_part_is_stated_beside_a_cause_that_has_none() -> None:
    costly = Finding(
        what="another model answers", money="15 × the cost: $0.62 a day",
        usd_a_day=Decimal("0.62"), usual_usd_a_day=Decimal("0.04"),
    )  # fmt: skip
    (notified,) = Story().judge(breach("ttft", finding=costly), breach("fallback"))
    assert notified.also == ("another model answers, 15 × the cost: $0.62 a day",)
    named = Finding(what="Haiku answers", money="16 × the cost: $0.65 a day")
    group = Story()
    group.judge(breach("fallback", finding=named))
    (notified,) = group.judge(breach("fallback", finding=named), breach("ttft", finding=costly))
    assert notified.also == ("another model answers (new)",)


@pytest.mark.parametrize(("first", "second"), [("down", "fallback"), ("fallback", "down")])
@pytest.mark.parametrize("over", ["down", "fallback"])
def test_the_end_of_a_part_is_said_once_when_the_rest_lasts(
    first: str, second: str, over: str
) -> None:
    group = Story()
    group.judge(breach(first))
    group.judge(breach(first), breach(second))
    lasts = "down" if over == "fallback" else "fallback"
    if (first, over) == ("fallback", "down"):  # it was there before, and does not follow from it
        (notified,) = group.judge(well(over), breach(lasts))
        assert not notified.quiet
        assert (
            notified.sentence
            == "down is over after 1 min: down is well. Still open: fallback breaks."
        )
        return
    assert all(n.quiet for n in group.judge(well(over), breach(lasts)))
    notified = [
        (minutes, notice.sentence)
        for minutes in range(5, 180, 5)
        for notice in group.judge(well(over), breach(lasts), later=5 * MINUTE)
    ]
    assert [minutes for minutes, _ in notified] == [30]
    assert notified[0][1].startswith(f"{over} is over after ")
    assert notified[0][1].endswith(f"Still open: {lasts} breaks.")


def test_what_joins_after_the_end_of_a_part_says_both() -> None:
    group = Story()
    group.judge(breach("down"), breach("fallback"))
    group.judge(well("down"), breach("fallback"))
    (notified,) = group.judge(breach("fallback"), breach("ttft"))
    assert notified.sentence == (
        "down is over after 1 min: down is well. Still open: fallback breaks. "
        "Now also ttft: ttft breaks."
    )
    assert group.judge(breach("fallback"), breach("ttft"), later=HOUR) == []


# ------------------------------------------------------------ mutes


def test_what_is_still_true_when_the_mute_ends_is_reported_then() -> None:
    group = Story()
    group.mute(HOUR)
    assert group.judge(breach("ttft")) == []
    (notified,) = group.judge(breach("ttft"), later=HOUR)
    assert heads([notified]) == ["FIRING #41 ttft"]
    assert notified.since == NOON + MINUTE  # since it broke, not since the mute ended


def test_what_was_over_before_the_mute_ended_is_not_reported() -> None:
    group = Story()
    group.mute(HOUR)
    group.judge(breach("ttft"))
    group.judge(well("ttft"))
    assert group.judge(well("ttft"), later=HOUR) == []
    assert not group.incidents["ttft", "rag"].open  # the row is there all the same


def test_a_mute_loses_no_end_of_what_was_reported() -> None:
    group = Story()
    group.judge(breach("ttft"))
    group.mute(HOUR)
    assert group.judge(well("ttft")) == []
    assert heads(group.judge(well("ttft"), later=HOUR)) == ["RESOLVED #41 ttft"]


def test_an_end_and_a_new_breach_within_a_mute_are_one_incident() -> None:
    group = Story()
    group.judge(breach("ttft"))
    group.mute(5 * HOUR)
    group.judge(well("ttft"))
    assert group.judge(breach("ttft"), later=3 * HOUR) == []
    assert group.incidents["ttft", "rag"].number == 41
    assert heads(group.judge(breach("ttft"), later=3 * HOUR)) == ["STILL FIRING #41 ttft"]


def test_a_muted_cause_does_not_silence_its_symptom() -> None:
    group = Story()
    group.mute(HOUR, rule="fallback")
    assert heads(group.judge(breach("fallback"), breach("ttft"))) == ["FIRING #42 ttft"]
    (joined,) = group.judge(breach("fallback"), breach("ttft"), later=HOUR)
    assert heads([joined]) == ["STILL FIRING #42 fallback"]
    assert "ttft" in joined.facts


def test_no_reminder_comes_under_a_mute_and_an_overdue_one_comes_after_it() -> None:
    group = Story()
    group.judge(breach("ttft"))
    group.mute(6 * HOUR)
    assert group.judge(breach("ttft"), later=5 * HOUR) == []
    assert heads(group.judge(breach("ttft"), later=HOUR)) == ["STILL FIRING #41 ttft"]


# ------------------------------------------------------------ once, and notices


def spent(state: VerdictState, usd: str, once: str | None = None) -> Verdict:
    return verdict("spend", state, scope="all", value=Decimal(usd), once=once)


def test_spend_is_reported_once_at_each_doubling_and_ends_in_silence() -> None:
    group = Story()
    assert heads(group.judge(spent(VerdictState.BREACH, "2.01", "23 ×1"))) == ["FIRING #41 spend"]
    assert (
        group.judge(spent(VerdictState.BREACH, "3.99", "23 ×1"), later=5 * HOUR) == []
    )  # no reminder
    assert heads(group.judge(spent(VerdictState.BREACH, "4.01", "23 ×2"))) == [
        "STILL FIRING #41 spend"
    ]
    (ended,) = group.judge(spent(VerdictState.OK, "4.50"), later=HOUR)
    assert heads([ended]) == ["RESOLVED #41 spend (quiet)"]
    assert heads(group.judge(spent(VerdictState.BREACH, "2.01", "24 ×1"))) == ["FIRING #42 spend"]


def test_a_doubling_under_a_mute_is_reported_when_it_ends() -> None:
    group = Story()
    group.judge(spent(VerdictState.BREACH, "2.01", "23 ×1"))
    group.mute(HOUR)
    assert group.judge(spent(VerdictState.BREACH, "4.01", "23 ×2")) == []
    (notified,) = group.judge(spent(VerdictState.BREACH, "4.10", "23 ×2"), later=HOUR)
    assert (notified.status, notified.value) == (STILL, Decimal("4.10"))


def test_a_notice_is_reported_once_per_key_and_has_no_number() -> None:
    group = Story()
    early = verdict("spend", VerdictState.NOTICE, scope="all", once="23 at this rate")
    (notified,) = group.judge(early)
    assert (notified.status, notified.number) == (NoticeStatus.NOTICE, None)
    assert group.judge(replace(early, because="Later.")) == []
    assert len(group.judge(replace(early, once="24 at this rate"))) == 1
    assert group.incidents == {}


def test_a_notice_waits_for_the_end_of_a_mute() -> None:
    group = Story()
    group.mute(HOUR)
    early = verdict("spend", VerdictState.NOTICE, scope="all", once="23 at this rate")
    assert group.judge(early) == []
    assert len(group.judge(early, later=HOUR)) == 1


def test_planning_again_reports_nothing_new() -> None:
    group = Story()
    found = (breach("fallback"), breach("ttft"), breach("down", scope="other"))
    group.judge(*found)
    again = plan(
        group.incidents.values(), found, inhibitions=INHIBITIONS, policy=POLICY, now=group.now
    )
    assert [step.notice for step in again if step.notice] == []


def test_two_evaluations_of_the_same_state_make_the_same_notice() -> None:
    def notified(now: datetime) -> list[object]:
        steps = plan((), [breach("ttft")], inhibitions=INHIBITIONS, policy=POLICY, now=now)
        return [step.notice.id for step in steps if step.notice]

    assert notified(NOON) == notified(NOON)
    assert notified(NOON) != notified(NOON + HOUR)  # another incident, another notice


def ended(group: Story, **changes: object) -> list[Notice]:
    """What is told once the verdicts on incidents nobody judges are in."""
    configured: dict[str, object] = {
        "rules": {name: RULES[name] for name in ("ttft", "key", "delivery")},
        "scopes": {"ttft": {"rag"}, "fallback": {"rag"}, "key": {"openai"}, "delivery": {"slack"}},
    }
    group.now += HOUR
    found = abandoned(group.incidents.values(), now=group.now, **configured | changes)  # type: ignore[arg-type]
    return group.judge(*found)


def test_an_incident_of_a_target_that_left_the_configuration_ends_and_says_so() -> None:
    group = Story()
    group.judge(breach("ttft", scope="old"), breach("ttft"))
    (notified,) = ended(group)
    assert (notified.status, notified.scope) == (RESOLVED, "old")
    assert notified.sentence.endswith(
        "Target removed from the configuration; closed without a final check."
    )


@pytest.mark.parametrize(
    ("rule", "scope", "what"),
    [("key", "openrouter", "Provider key"), ("delivery", "webhook", "Channel")],
)
def test_an_incident_of_a_key_or_channel_that_left_ends_and_says_so(
    rule: str, scope: str, what: str
) -> None:
    group = Story()
    group.judge(breach(rule, scope=scope))
    group.now -= HOUR - timedelta(minutes=4)
    assert ended(group) == []
    group.now -= HOUR - timedelta(minutes=1)
    (notified,) = ended(group)
    assert (notified.status, notified.rule, notified.scope) == (RESOLVED, rule, scope)
    assert notified.sentence.endswith(
        f"{what} removed from the configuration; closed without a final check."
    )


@pytest.mark.parametrize(
    ("query", "scopes", "reason"),
    [
        ("hi", {"rag/kbli"}, "Query removed from the configuration"),
        ("hi", {"other/hi"}, "Target removed from the configuration"),
        ("hi", {"rag"}, "Mode immediate is switched off"),
        ("", {"rag/hi"}, "Mode immediate judges each query by itself"),
    ],
)
def test_what_mode_immediate_judges_no_more_ends_and_says_why(
    query: str, scopes: set[str], reason: str
) -> None:
    group = Story()
    group.judge(replace(breach("ttft"), query=query))
    (notified,) = ended(group, scopes={"ttft": scopes})
    assert notified.sentence.endswith(f"{reason}; closed without a final check.")


def test_two_queries_of_one_target_are_two_incidents_with_messages_of_their_own() -> None:
    group = Story()
    both = [replace(breach("ttft"), query=query) for query in ("hi", "kbli")]
    notified = group.judge(*both)
    assert [(notice.status, notice.rule, notice.scope) for notice in notified] == [
        (NoticeStatus.FIRING, "ttft", "rag")
    ] * 2
    assert len({notice.id for notice in notified}) == 2
    assert group.judge(*both) == []


def test_a_stale_key_is_the_cause_of_nothing_new() -> None:
    group = Story()
    group.judge(breach("key", scope="openrouter"))
    stale = {("key", "openrouter")}
    steps = plan(group.incidents.values(), [breach("fallback")], inhibitions=INHIBITIONS,
                 policy=POLICY, stale=stale, now=group.now)  # fmt: skip
    (notified,) = [step.notice for step in steps if step.notice]
    assert (notified.rule, notified.scope) == ("fallback", "rag")
    (kept,) = [step.incident for step in steps if step.incident]
    assert kept.part_of is None


def test_an_incident_of_a_rule_that_was_switched_off_ends_too() -> None:
    group = Story()
    group.judge(breach("fallback"))
    (notified,) = ended(group)
    assert notified.sentence.endswith(
        "Rule fallback is switched off; closed without a final check."
    )


def test_nothing_is_given_up_while_another_configuration_may_still_judge_it() -> None:
    group = Story()
    group.judge(breach("ttft", scope="old"))
    group.now -= HOUR / 2
    assert ended(group) == []


def test_a_ttft_of_timeouts_alone_beside_an_announced_outage_makes_no_sound() -> None:
    group = Story()
    group.judge(breach("down"))
    [joined] = group.judge(breach("down"), breach("ttft", value=None))
    assert (joined.status, joined.rule, joined.quiet) == (FIRING, "down", True)
    [slow] = group.judge(well("down"), breach("fallback"))
    assert not slow.quiet, "a new symptom is audible"


def test_a_slow_ttft_beside_an_announced_outage_is_audible() -> None:
    group = Story()
    group.judge(breach("down"))
    [joined] = group.judge(breach("down"), breach("ttft", value=2400.0))
    assert (joined.status, joined.quiet) == (STILL, False)


def test_an_outage_that_joins_a_ttft_of_timeouts_is_audible() -> None:
    group = Story()
    group.judge(breach("ttft", value=None))
    [joined] = group.judge(breach("ttft", value=None), breach("down"))
    assert (joined.status, joined.rule, joined.quiet) == (STILL, "down", False)
