"""A dead server with many targets is one message, with the list of targets."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

from monitor.domain import (
    CauseOwner,
    Finding,
    Incident,
    Notice,
    NoticeStatus,
    Outcome,
    Verdict,
    VerdictState,
)
from monitor.incidents.inhibitions import Inhibitions, TargetPlace
from monitor.incidents.planner import plan
from monitor.incidents.silences import Mute
from monitor.incidents.state_machine import ReminderPolicy
from monitor.notifications.plain_text import plain_text, title
from monitor.rules import DEFAULT_RULES, DownRule
from tests.case_tables import each
from tests.probe_notation import NOON, after, marked, window

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
REFUSED = Finding(
    what="does not answer: connection refused on 5 of 6 probes",
    was="no answer {when} (connection refused on 5 of 6 probes)",
    restored="answers again",
    began="no answer since {since}",
    together="do not answer: connection refused",
    restored_together="answer again",
    unconnected=True,
)
GATEWAY = replace(REFUSED, together="do not answer: HTTP 502", unconnected=False)
FAILED = replace(REFUSED, what="does not answer: HTTP 500", together="", restored_together="")
NAMES = [f"t{n:02}" for n in range(1, 14)]


def places(targets: Iterable[str], host: str = "a", channels: str = "ops") -> dict:
    return {name: TargetPlace(host, frozenset({channels})) for name in targets}


class Story:
    """What the channels show of targets, as one judgement after the other makes it."""

    def __init__(self, where: Mapping[str, TargetPlace]) -> None:
        self.now = NOON
        self.incidents: dict[tuple[str, str], Incident] = {}
        self.inhibitions = Inhibitions(
            DEFAULT_RULES, place_of=where.get,
            targets_on=lambda host: sum(place.host == host for place in where.values()),
        )  # fmt: skip
        self.quiet: list[Notice] = []
        self.silence: list[Mute] = []

    def judge(
        self, later: timedelta, states: Mapping[str, VerdictState], *, finding: Finding = REFUSED
    ) -> list[Notice]:
        """Judge targets a while later; the audible notices with their numbers."""
        self.now += later
        verdicts = [
            Verdict(
                rule="down", scope=scope, state=state, value=5.0, limit=5.0, because=f"{scope}.",
                finding=finding if state is BREACH else Finding(),
                since=self.now - MINUTE if state is BREACH else self.now - SECOND,
            )
            for scope, state in states.items()
        ]  # fmt: skip
        found = []
        for step in plan(
            self.incidents.values(), verdicts, inhibitions=self.inhibitions,
            policy=ReminderPolicy(), silence=self.silence, now=self.now,
        ):  # fmt: skip
            assert step.incident is not None
            numbers = (one.number or 0 for one in self.incidents.values())
            number = step.incident.number or max(numbers, default=0) + 1
            leader = step.incident.part_of and self.incidents.get(step.incident.part_of)
            known = step.incident.announced_as or (leader.number if leader else None)
            self.incidents[step.incident.key] = replace(
                step.incident, number=number, announced_as=known
            )
            if step.notice is not None:
                notice = replace(step.notice, number=step.notice.number or number)
                (self.quiet if notice.quiet else found).append(notice)
        return found


BREACH, OK, HOLD = VerdictState.BREACH, VerdictState.OK, VerdictState.HOLD


def test_targets_that_fail_together_are_one_message_with_their_list() -> None:
    story = Story(places(NAMES))
    (notice,) = story.judge(MINUTE, dict.fromkeys(NAMES, BREACH))
    assert notice.status is NoticeStatus.FIRING
    assert title(notice) == ("t01 and 12 other targets: do not answer: connection refused · #1")
    text = plain_text(notice)
    assert f"\nTargets: {', '.join(NAMES)}.\n" in text
    assert "Also" not in text
    assert text.startswith(
        f"FIRING #1 down · t01: t01. The same is true of 12 other targets: {', '.join(NAMES[1:])}."
    )


def test_targets_that_follow_within_minutes_are_one_further_message() -> None:
    """Rounds of different targets begin at different times."""
    story, audible = Story(places(NAMES)), []
    for count in range(1, 14):
        states = dict.fromkeys(NAMES[:count], BREACH)
        audible += story.judge(20 * SECOND, states)
    assert [one.status for one in audible] == [NoticeStatus.FIRING]
    assert audible[0].at == NOON + 20 * SECOND, "the first alert does not wait"
    assert len(story.quiet) == 12, "the message is edited with each of them"
    assert "t13" in story.quiet[-1].targets
    for _ in range(4):
        audible += story.judge(MINUTE, dict.fromkeys(NAMES, BREACH))
    (_, further) = audible
    assert further.status is NoticeStatus.STILL_FIRING
    assert further.at - audible[0].at >= ReminderPolicy().gathering
    assert "Now also 12 more targets: t02, t03" in further.sentence
    assert further.number == 1
    late = story.judge(3 * 60 * MINUTE, dict.fromkeys([*NAMES], BREACH))
    assert late == [], "no reminder is due"


def test_a_target_that_fails_hours_later_is_reported_at_once() -> None:
    story = Story(places(NAMES[:2]))
    story.judge(MINUTE, {"t01": BREACH})
    (notice,) = story.judge(60 * MINUTE, {"t01": BREACH, "t02": BREACH})
    assert notice.status is NoticeStatus.STILL_FIRING
    assert "Now also 1 more target: t02." in notice.sentence
    assert title(notice).startswith("t01 and 1 other target: do not answer")


def test_the_end_of_all_is_one_message_with_the_times_of_each() -> None:
    story, names = Story(places(NAMES[:3])), NAMES[:3]
    story.judge(MINUTE, dict.fromkeys(names, BREACH))
    first = story.judge(10 * MINUTE, {"t01": OK, "t02": BREACH, "t03": BREACH})
    assert first == [], "the rest may follow soon"
    assert story.quiet[-1].targets == "t02, t03"
    (notice,) = story.judge(2 * MINUTE, {"t02": OK, "t03": OK})
    assert notice.status is NoticeStatus.RESOLVED
    assert title(notice) == "t01 and 2 other targets: answer again, after 12 min · #1"
    assert (
        "\nTargets: t01 from 12:00 to 12:10 UTC; t02 from 12:00 to 12:12 UTC; "
        "t03 from 12:00 to 12:12 UTC." in plain_text(notice)
    )
    assert all(not one.open for one in story.incidents.values())


def test_a_part_that_is_over_while_others_last_is_reported_after_half_an_hour() -> None:
    story = Story(places(NAMES[:3]))
    story.judge(MINUTE, dict.fromkeys(NAMES[:3], BREACH))
    story.judge(10 * MINUTE, {"t01": OK, "t02": BREACH, "t03": BREACH})
    (notice,) = story.judge(30 * MINUTE, {"t02": BREACH, "t03": BREACH})
    assert title(notice) == (
        "t02 and 1 other target: answers again after 10 min; still: do not answer: connection "
        "refused · #1"
    )
    assert "down · t01 is over after 10 min" in notice.sentence
    (notice,) = story.judge(MINUTE, {"t02": OK, "t03": OK})
    assert notice.status is NoticeStatus.RESOLVED


def test_a_host_that_dies_again_within_the_hour_is_one_message_again() -> None:
    story = Story(places(NAMES))
    story.judge(MINUTE, dict.fromkeys(NAMES, BREACH))
    (over,) = story.judge(10 * MINUTE, dict.fromkeys(NAMES, OK))
    assert over.status is NoticeStatus.RESOLVED
    audible = []
    for count in range(1, 14):
        audible += story.judge(10 * SECOND, dict.fromkeys(NAMES[:count], BREACH))
    (again,) = audible
    assert (again.status, again.number) == (NoticeStatus.STILL_FIRING, 1)


@each(("name", "finding"), [
    ("a service's own error", FAILED),
    ("the gateway, not the connection", GATEWAY),
])  # fmt: skip
def test_a_target_that_returns_for_another_reason_has_a_message_of_its_own(
    name: str, finding: Finding
) -> None:
    story = Story(places(NAMES))
    story.judge(MINUTE, dict.fromkeys(NAMES, BREACH))
    (over,) = story.judge(10 * MINUTE, dict.fromkeys(NAMES, OK))
    assert (over.status, over.number) == (NoticeStatus.RESOLVED, 1)
    (notice,) = story.judge(18 * SECOND, {"t05": BREACH}, finding=finding)
    assert (notice.status, notice.scope) == (NoticeStatus.FIRING, "t05")
    assert notice.number == 14
    assert "again" not in notice.sentence + title(notice)
    incident = story.incidents["down", "t05"]
    assert (incident.announced_as, incident.part_of, incident.reopenings) == (None, None, 0)


def test_targets_that_return_with_their_fault_do_not_join_the_new_fault_of_the_first() -> None:
    story, names = Story(places(NAMES)), NAMES[:3]
    story.judge(MINUTE, dict.fromkeys(names, BREACH))
    story.judge(10 * MINUTE, dict.fromkeys(names, OK))
    (again,) = story.judge(MINUTE, {"t01": BREACH}, finding=FAILED)
    assert (again.status, again.number) == (NoticeStatus.STILL_FIRING, 1)
    (notice,) = story.judge(MINUTE, {"t02": BREACH, "t03": BREACH})
    assert (notice.status, notice.scope, notice.others) == (NoticeStatus.FIRING, "t02", 1)
    assert notice.number != 1


def test_a_later_return_with_the_same_fault_keeps_its_number() -> None:
    story = Story(places(["t01"], "a") | places(["t02"], "b"))
    story.judge(MINUTE, dict.fromkeys(NAMES[:2], BREACH))
    story.judge(10 * MINUTE, dict.fromkeys(NAMES[:2], OK))
    (notice,) = story.judge(20 * MINUTE, {"t02": BREACH})
    assert (notice.status, notice.number) == (NoticeStatus.STILL_FIRING, 1)


ALL_OF_13, LATE = places(NAMES, "rag.example"), replace(REFUSED, together="do not answer: timeout")
FIRST_STEPS = {
    "all of a host": (ALL_OF_13, NAMES, REFUSED,
        "All 13 targets on rag.example refuse connections: check the host first."),
    "some of a host": (ALL_OF_13, NAMES[:12], REFUSED,
        "12 targets on rag.example refuse connections: check the host first."),
    "all of a host, without an answer": (ALL_OF_13, NAMES, LATE,
        "All 13 targets on rag.example do not answer (timeout): check the host first."),
    "a gateway": (ALL_OF_13, NAMES, GATEWAY,
        "All 13 targets on rag.example do not answer (HTTP 502): check the gateway and the server "
        "behind it."),
    "several hosts": (places(["t01"], "a") | places(["t02"], "b"), ["t01", "t02"], REFUSED,
        "2 targets on 2 hosts refuse connections: check the monitor's own network first."),
    "one target": (ALL_OF_13, ["t01"], REFUSED,
        "Check the service itself, then its host's status and the latest deployment."),
    "a known cause": (ALL_OF_13, NAMES,
        replace(REFUSED, cause="a deployment", cause_owner=CauseOwner.DEPLOYMENT,
                first_step="Roll it back."), "Roll it back."),
}  # fmt: skip


@each("name", FIRST_STEPS)
def test_the_first_step_says_what_the_targets_have_in_common(name: str) -> None:
    where, failed, finding, step = FIRST_STEPS[name]
    story = Story(where)
    (notice,) = story.judge(MINUTE, dict.fromkeys(failed, BREACH), finding=finding)
    assert f"\nFirst step: {step}\n" in plain_text(notice)


def test_the_count_of_the_first_step_is_that_of_the_moment() -> None:
    story = Story(places(NAMES[:3]))
    story.judge(MINUTE, dict.fromkeys(NAMES[:3], BREACH))
    story.judge(10 * MINUTE, {"t01": OK, "t02": BREACH, "t03": BREACH})
    step = story.quiet[-1].finding.first_step
    assert step == "2 targets on a refuse connections: check the host first."


APART = {
    "another host, much later": (places(["t01"], "a") | places(["t02"], "b"), 15, REFUSED),
    "a gateway on another host": (places(["t01"], "a") | places(["t02"], "b"), 0, GATEWAY),
    "a gateway, much later": (places(["t01", "t02"]), 15, GATEWAY),
    "other channels": (places(["t01"]) | places(["t02"], channels="team"), 0, REFUSED),
    "the service answers with errors": (places(["t01", "t02"]), 0, FAILED),
    "a target whose place is not known": (places(["t01"]), 0, REFUSED),
}


@each("name", APART)
def test_other_faults_keep_their_own_messages(name: str) -> None:
    where, later, finding = APART[name]
    story = Story(where)
    story.judge(MINUTE, {"t01": BREACH}, finding=finding)
    (notice,) = story.judge(
        later * MINUTE + SECOND, {"t01": BREACH, "t02": BREACH}, finding=finding
    )
    assert (notice.status, notice.scope, notice.number) == (NoticeStatus.FIRING, "t02", 2)


def test_other_hosts_that_fail_alike_at_once_are_one_message() -> None:
    """Such as the monitor's own network."""
    story = Story(places(["t01"], "a") | places(["t02"], "b"))
    (notice,) = story.judge(MINUTE, {"t01": BREACH, "t02": BREACH})
    assert notice.others == 1


def test_a_gateway_whose_server_is_dead_is_one_message() -> None:
    story = Story(places(NAMES))
    (notice,) = story.judge(MINUTE, dict.fromkeys(NAMES, BREACH), finding=GATEWAY)
    assert title(notice) == "t01 and 12 other targets: do not answer: HTTP 502 · #1"


def test_a_muted_target_does_not_silence_the_others() -> None:
    story = Story(places(NAMES[:2]))
    story.silence = [Mute(rule="down", scope="t01", until=NOON + 60 * MINUTE, reason="reindexing")]
    (notice,) = story.judge(MINUTE, {"t01": BREACH, "t02": BREACH})
    assert notice.scope == "t02"
    assert notice.others == 0


UNTIL_11 = {"rule": "down", "until": NOON + 660 * MINUTE, "reason": "reindexing"}


@each("name", ["the reason of the first changes", "the first is removed", "the first is muted"])
def test_a_target_that_joined_without_a_sound_is_reported_whatever_becomes_of_the_first(
    name: str,
) -> None:
    where = places(NAMES[:2])
    story, both, finding = Story(where), dict.fromkeys(NAMES[:2], BREACH), GATEWAY
    story.judge(MINUTE, {"t01": BREACH}, finding=GATEWAY)
    audible = story.judge(MINUTE, both, finding=GATEWAY)
    assert audible == []
    if "reason" in name:
        audible += story.judge(20 * SECOND, {"t01": BREACH}, finding=FAILED)
    elif "removed" in name:
        del where["t01"]
        both = {"t02": BREACH}
    else:
        story.silence = [Mute(scope="t01", **UNTIL_11)]
    for _ in range(6):
        audible += story.judge(MINUTE, both, finding=finding)
    (notice,) = audible
    assert notice.status is NoticeStatus.STILL_FIRING
    assert "t02" in notice.sentence


def test_the_end_of_a_target_is_reported_while_the_first_is_muted() -> None:
    story = Story(places(NAMES[:2]))
    story.judge(MINUTE, dict.fromkeys(NAMES[:2], BREACH))
    story.silence = [Mute(scope="t01", **UNTIL_11)]
    audible = story.judge(10 * MINUTE, {"t01": BREACH, "t02": OK})
    audible += story.judge(31 * MINUTE, {"t01": BREACH})
    (notice,) = audible
    assert "down · t02 is over after 10 min" in notice.sentence
    assert story.judge(24 * 60 * SECOND, {"t01": BREACH}) == []
    assert story.judge(5 * 60 * MINUTE, {"t01": BREACH}) == [], "only the muted one is still open"


def test_a_mute_of_all_targets_of_a_message_silences_it() -> None:
    story, both = Story(places(NAMES[:2])), dict.fromkeys(NAMES[:2], BREACH)
    story.judge(MINUTE, both)
    story.silence = [Mute(**UNTIL_11)]
    assert story.judge(5 * 60 * MINUTE, both) == []
    assert story.judge(MINUTE, dict.fromkeys(both, OK)) == []


def test_a_target_that_was_muted_when_all_failed_is_reported_after_its_mute() -> None:
    story, both = Story(places(NAMES[:2])), dict.fromkeys(NAMES[:2], BREACH)
    mute = Mute(rule="down", scope="t02", until=NOON + 3 * MINUTE, reason="reindexing")
    story.silence = [mute]
    (first,) = story.judge(MINUTE, both)
    assert first.others == 0
    audible = [notice for _ in range(6) for notice in story.judge(MINUTE, both)]
    (notice,) = audible
    assert "Now also 1 more target: t02." in notice.sentence


def test_a_target_that_is_muted_before_the_further_message_is_reported_after_its_mute() -> None:
    story, both = Story(places(NAMES[:2])), dict.fromkeys(NAMES[:2], BREACH)
    story.judge(MINUTE, {"t01": BREACH})
    story.judge(MINUTE, both)
    story.silence = [Mute(rule="down", scope="t02", until=NOON + 60 * MINUTE, reason="reindexing")]
    assert story.judge(30 * MINUTE, both) == []
    (notice,) = story.judge(30 * MINUTE, both)
    assert "Now also 1 more target: t02." in notice.sentence


def test_the_list_is_bounded() -> None:
    many = [f"target-{n:04}" for n in range(500)]
    story = Story(places(many))
    (notice,) = story.judge(MINUTE, dict.fromkeys(many, BREACH))
    assert notice.targets.endswith("target-0019, 480 more")
    assert len(plain_text(notice)) < 3_000
    assert len(notice.facts) < 20
    (notice,) = story.judge(MINUTE, dict.fromkeys(many, OK))
    assert "492 more" in notice.targets
    assert len(notice.sentence) < 2_000


@each("length", [3, 40, 60])
def test_no_list_of_a_message_is_cut_in_a_word(length: int) -> None:
    """Channels show 400 characters of a sentence and of the targets."""
    names = [f"{name}-{'x' * length}" for name in NAMES]
    story = Story(places(names))
    (began,) = story.judge(MINUTE, dict.fromkeys(names, BREACH))
    (over,) = story.judge(10 * MINUTE, dict.fromkeys(names, OK))
    assert over.status is NoticeStatus.RESOLVED
    for said, sign, end in (
        (began.targets, ", ", " more"), (over.targets, "; ", " more"),
        (over.sentence, "; ", " more."),
    ):  # fmt: skip
        assert len(said) <= 400
        named = said.count(sign) + 1 - (sign == ", " and said.endswith(end))
        assert named == len(names) or said.endswith(f" {len(names) - named}{end}"), said
    assert " and " in over.sentence


@each(("marks", "outcomes", "together"), [
    ("xxx|xxx", [Outcome.REFUSED] * 6, "do not answer: connection refused"),
    ("xxx|xxx", [Outcome.STALLED, *[Outcome.REFUSED] * 5], "do not answer: connection refused"),
    ("xxx|xxx", [Outcome.DNS] * 6, "do not answer: name not found"),
    ("xxx|xxx", [Outcome.HTTP_STATUS] * 6, ""),
    ("xxx|xxx", [*[Outcome.REFUSED] * 5, Outcome.HTTP_STATUS], ""),  # it answers now, with errors
])  # fmt: skip
def test_what_can_be_shared_is_that_no_connection_is_made(
    marks: str, outcomes: list[Outcome], together: str
) -> None:
    given = zip(marked(f"...|{marks}"), [Outcome.ANSWERED] * 3 + outcomes, strict=True)
    seen = window(iter([replace(one, outcome=outcome) for one, outcome in given]))
    finding = DownRule().judge(seen, None, after(seen)).finding
    assert (finding.together, bool(finding.restored_together)) == (together, bool(together))
    assert finding.unconnected is bool(together)


@each(("error", "together"), [
    ("HTTP 502: Bad Gateway", "do not answer: HTTP 502"),
    ("HTTP 504", "do not answer: HTTP 504"),
    ("HTTP 500: broken", ""),
    ("HTTP 401: invalid x-api-key", ""),
])  # fmt: skip
def test_what_a_gateway_says_of_its_server_can_be_shared(error: str, together: str) -> None:
    bad = {"outcome": Outcome.HTTP_STATUS, "error": error}
    given = [replace(one, **bad) if not one.outcome.good else one for one in marked("...|xxx|xxx")]
    seen = window(iter(given))
    finding = DownRule().judge(seen, None, after(seen)).finding
    assert (finding.together, finding.unconnected) == (together, False)


def test_the_gathering_is_counted_from_stored_state() -> None:
    """A restart in between: the incidents alone say what is still to be reported."""
    story = Story(places(NAMES[:2]))
    story.judge(MINUTE, {"t01": BREACH})
    story.judge(20 * SECOND, {"t01": BREACH, "t02": BREACH})
    again = Story(places(NAMES[:2]))
    again.incidents, again.now = dict(story.incidents), story.now
    assert again.judge(MINUTE, {"t01": BREACH, "t02": BREACH}) == []
    (notice,) = again.judge(4 * MINUTE, {"t01": BREACH, "t02": BREACH})
    assert "Now also 1 more target: t02." in notice.sentence


def test_a_server_that_starts_again_with_errors_still_shares_the_fault() -> None:
    outcomes = [Outcome.ANSWERED] * 3 + [Outcome.REFUSED] * 6
    given = zip(marked("...|xxx|xxx"), outcomes, strict=True)
    before = [replace(one, outcome=outcome) for one, outcome in given]
    seen = window(iter(before))
    verdict = DownRule().judge(seen, None, after(seen))
    (step,) = plan(
        (), [verdict], inhibitions=Inhibitions(DEFAULT_RULES), policy=ReminderPolicy(),
        now=after(seen),
    )  # fmt: skip
    later = [
        replace(one, outcome=Outcome.HTTP_STATUS, error="HTTP 502")
        for one in [*marked("...|xxx|xxx|xxx")][9:]
    ]
    seen = window(iter([*before, *later]))
    finding = DownRule().judge(seen, step.incident, after(seen)).finding
    assert finding.together == "do not answer: connection refused"


def test_a_relapse_is_reported_even_soon_after_a_message() -> None:
    """A message said that a target recovers: that it fails again is news."""
    story, both = Story(places(NAMES[:2])), dict.fromkeys(NAMES[:2], BREACH)
    story.judge(MINUTE, both)
    incident = story.incidents["down", "t02"]
    recovering = story.now + MINUTE
    story.incidents["down", "t02"] = replace(
        incident, recovering_since=recovering, recovering_reason="It answers.", until=recovering
    )
    first = story.incidents["down", "t01"]
    story.incidents["down", "t01"] = replace(first, last_told_at=story.now + 90 * SECOND)
    (notice,) = story.judge(2 * MINUTE, both)
    assert notice.status is NoticeStatus.STILL_FIRING
    assert "t02" in notice.sentence
