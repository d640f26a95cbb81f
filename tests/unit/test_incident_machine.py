"""Whatever is judged and muted: nothing opens twice, no end of what was told is lost."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from monitor.domain import Incident, Notice, NoticeStatus, Verdict, VerdictState
from monitor.incidents.planner import IncidentStep, plan
from monitor.incidents.silences import Mute, is_silenced
from monitor.incidents.state_machine import IncidentChange, ReminderPolicy
from tests.probe_notation import INHIBITIONS, NOON

MINUTE = timedelta(minutes=1)
POLICY = ReminderPolicy()
KEYS = [("ttft", "rag"), ("fallback", "rag"), ("down", "rag"), ("ttft", "other"),
        ("key", "openrouter"), ("spend", "all"), ("no_data", "rag")]  # fmt: skip
STATES = st.sampled_from(
    [
        VerdictState.BREACH,
        VerdictState.BREACH,
        VerdictState.OK,
        VerdictState.HOLD,
        VerdictState.NO_DATA,
    ]
)


class Telling(RuleBasedStateMachine):
    """A store and a channel that believe what they are given, and complain."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.mutes: list[Mute] = []
        self.latest: dict[tuple[str, str], Incident] = {}
        self.channel: dict[int, list[Notice]] = {}
        self.numbers = 0
        self.worst: dict[date, float] = {}

    @rule(
        judged=st.dictionaries(st.sampled_from(KEYS), STATES, min_size=1),
        waited=st.sampled_from([1, 5, 20, 61, 300]),
        value=st.floats(0, 10),
    )
    def judge(self, judged: dict[tuple[str, str], VerdictState], waited: int, value: float) -> None:
        self.now += waited * MINUTE
        self.apply(self.verdict(key, state, value) for key, state in judged.items())

    @rule(key=st.sampled_from([*KEYS, ("all", "all"), ("all", "rag")]), span=st.integers(1, 600))
    def mute(self, key: tuple[str, str], span: int) -> None:
        self.mutes.append(
            Mute(rule=key[0], scope=key[1], until=self.now + span * MINUTE, reason="test")
        )

    def verdict(self, key: tuple[str, str], state: VerdictState, value: float) -> Verdict:
        once = None
        if key[0] == "spend" and state is VerdictState.BREACH:
            today = self.now.date()
            self.worst[today] = max(value, self.worst.get(today, 0.0))  # a doubling stays said
            once = f"{today} ×{1 if self.worst[today] < 5 else 2}"
        return Verdict(rule=key[0], scope=key[1], state=state, value=value, limit=1.0,
                       because=f"{state} {value:g}", once=once)  # fmt: skip

    def plan(self, verdicts: Iterable[Verdict]) -> list[IncidentStep]:
        return plan(
            self.latest.values(),
            verdicts,
            inhibitions=INHIBITIONS,
            silence=self.mutes,
            policy=POLICY,
            now=self.now,
        )

    def apply(self, verdicts: Iterable[Verdict]) -> None:
        found = list(verdicts)
        self.write(self.plan(found))
        again = self.plan(found)
        assert [step.notice for step in again if step.notice] == []  # told once

    def write(self, steps: list[IncidentStep]) -> None:
        for step in steps:
            incident = step.incident
            assert incident is not None
            before = self.latest.get(incident.key)
            if incident.number is None:
                assert before is None or not before.open  # never two open of one rule and scope
                assert step.change is IncidentChange.OPENED
                self.numbers += 1
                incident = replace(incident, number=self.numbers)
            if incident.part_of:
                primary = self.latest[incident.part_of]
                incident = replace(incident, announced_as=primary.announced_as or primary.number)
            self.latest[incident.key] = incident
            if step.notice is not None:
                number = step.notice.number or incident.number
                self.hear(replace(step.notice, number=number), primary=incident)

    def hear(self, notice: Notice, *, primary: Incident) -> None:
        assert not is_silenced(self.mutes, primary.rule, primary.scope, now=self.now)
        assert notice.number is not None
        received = self.channel.setdefault(notice.number, [])
        assert notice.id not in {earlier.id for earlier in received}
        if notice.status is NoticeStatus.FIRING and not notice.quiet:
            assert not received  # a number fires once
        else:  # reminders, corrections and ends are of what was told to fire, and so are returns
            assert received
            assert notice.worse or received[-1].status is not NoticeStatus.RESOLVED
        received.append(notice)

    @invariant()
    def what_is_open_and_not_muted_is_known(self) -> None:
        for incident in self.latest.values():
            primary = self.latest[incident.part_of] if incident.part_of else incident
            if incident.told is NoticeStatus.FIRING and incident.open:
                number = primary.announced_as or primary.number
                assert number is not None
                assert self.channel[number][-1].status is not NoticeStatus.RESOLVED

    @invariant()
    def nobody_is_told_of_by_somebody_who_is_told_of_by_another(self) -> None:
        for incident in self.latest.values():
            if incident.part_of and incident.open:
                assert self.latest[incident.part_of].part_of is None

    def teardown(self) -> None:
        """Once all is well and nobody is muted, the channel has heard the end of everything."""
        self.mutes = []
        for _ in range(3):
            self.now += 300 * MINUTE
            self.apply(self.verdict(key, VerdictState.OK, 0.0) for key in KEYS)
        assert not any(incident.open for incident in self.latest.values())
        for received in self.channel.values():
            assert received[-1].status is NoticeStatus.RESOLVED


Telling.TestCase.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, print_blob=True
)
TestTelling = Telling.TestCase
