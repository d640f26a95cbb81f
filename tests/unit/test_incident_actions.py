"""What changed on a message since it was last looked at, and what people are answered."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.incidents.actions import (
    ActionKind,
    AnsweredIncident,
    IncidentAction,
    Reaction,
    ReactionsSeen,
    acknowledged,
    changes,
    not_acknowledged,
    reply,
    unmuted,
)
from monitor.notifications.apprise_address import _TYPES
from monitor.notifications.signed_webhook import document
from monitor.notifications.slack import reactions
from monitor.notifications.slack.render import answer, render

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
EYES, BELL, CHART = ActionKind.ACKNOWLEDGE, ActionKind.MUTE, ActionKind.CHART
TS = "1700000001.000001"


def action(kind: ActionKind = EYES, actor: str = "U1", **given: Any) -> IncidentAction:
    ordinary = {"id": 1, "incident": 7, "nth": 1, "at": AT, "channel": "bot", "name": "ana"}
    return IncidentAction(kind=kind, actor=actor, **ordinary | given)


@pytest.mark.parametrize(
    ("seen", "partial", "standing", "added", "removed"),
    [
        ([], [], [], [], []),
        ([(EYES, "U1")], [], [], [(EYES, "U1")], []),
        ([(EYES, "U1")], [], [(EYES, "U1")], [], []),
        ([], [], [(EYES, "U1")], [], [(EYES, "U1")]),
        ([(EYES, "U2")], [], [(EYES, "U1")], [(EYES, "U2")], [(EYES, "U1")]),
        ([(BELL, "U1")], [], [(EYES, "U1")], [(BELL, "U1")], [(EYES, "U1")]),
        # Slack did not name all who looked: one who is not named may still be there.
        ([(EYES, "U2")], [EYES], [(EYES, "U1")], [(EYES, "U2")], []),
        ([], [BELL], [(EYES, "U1"), (BELL, "U1")], [], [(EYES, "U1")]),
    ],
)
def test_what_is_new_and_what_is_gone(
    seen: Any, partial: Any, standing: Any, added: Any, removed: Any
) -> None:
    look = ReactionsSeen(frozenset(Reaction(*one) for one in seen), frozenset(partial))
    found = changes(look, [action(*one) for one in standing])
    assert [tuple(one) for one in found.added] == added
    assert [tuple(one.reaction) for one in found.removed] == removed


def item(name: object, *users: object, count: int | None = None) -> dict[str, object]:
    return {
        "name": name,
        "users": list(users),
        "count": len(users) if count is None else count,
    }


ALL = frozenset(ActionKind)


@pytest.mark.parametrize(
    ("listed", "found", "partial"),
    [
        ([], set(), set()),
        ([item("eyes", "U1")], {(EYES, "U1")}, set()),
        ([item("eyes::skin-tone-6", "U1"), item("eyes", "U1")], {(EYES, "U1")}, set()),
        ([item("no_bell", "U1"), item("mute", "W2")], {(BELL, "U1"), (BELL, "W2")}, set()),
        ([item("chart_with_upwards_trend", "U1")], {(CHART, "U1")}, set()),
        ([item("tada", "U1"), item("eyes_", "U1"), item("Eyes", "U1")], set(), set()),
        ([item("eyes", "UME", "USLACKBOT")], set(), set()),
        ([item("eyes", "U1", count=3)], {(EYES, "U1")}, {EYES}),
        ([item("eyes", "U1", 7)], {(EYES, "U1")}, {EYES}),
        ([item("eyes", "<!channel>")], set(), {EYES}),
        ([{"name": "eyes"}], set(), {EYES}),
        ([7, item("eyes", "U1")], {(EYES, "U1")}, ALL),
        ([item(None, "U1")], set(), ALL),
        ([item("tada", "U1")] * 101, set(), ALL),
    ],
)
def test_what_a_response_says_of_reactions(listed: Any, found: Any, partial: Any) -> None:
    seen = reactions.seen({"ts": TS, "reactions": listed}, TS, besides="UME")
    assert seen is not None
    assert {tuple(one) for one in seen.reactions} == found
    assert seen.partial == partial


@pytest.mark.parametrize(
    "message", [None, [], "eyes", {}, {"ts": "1.2"}, {"ts": TS, "reactions": {}}]
)
def test_what_is_not_the_message_says_nothing(message: object) -> None:
    assert reactions.seen(message, TS, besides=None) is None


def test_a_message_without_reactions_has_none() -> None:
    assert reactions.seen({"ts": TS}, TS, besides=None) == ReactionsSeen(frozenset())


@pytest.mark.parametrize(
    ("user", "name", "is_bot"),
    [
        ({"name": "ana", "profile": {"display_name": "Ana", "real_name": "A. S."}}, "Ana", False),
        ({"name": "ana", "profile": {"display_name": " ", "real_name": "A. S."}}, "A. S.", False),
        ({"name": "ana", "profile": 7}, "ana", False),
        ({"name": "@ana"}, "ana", False),
        ({"name": "d", "is_bot": True}, "d", True),
        ({"name": "d", "is_bot": "yes"}, "d", False),
        ({"profile": {"display_name": "a\nb\u202e"}}, "a b", False),
        ({}, None, False),
        ("ana", None, False),
    ],
)
def test_who_a_user_is(user: object, name: str | None, is_bot: bool) -> None:
    found = reactions.person(user)
    assert (found.name, found.is_bot) == (name, is_bot)


ANA, BEN = action(), action(actor="U2", name="ben")


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        (acknowledged(ANA, []), "Acknowledged by @ana; reminders stop."),
        (acknowledged(action(name=None), []), "Acknowledged by @U1; reminders stop."),
        (acknowledged(action(channel=None, actor="eva"), []),
         "Acknowledged by eva; reminders stop."),
        (acknowledged(BEN, [ANA]), "Also acknowledged by @ben."),
        (not_acknowledged(ANA, []), "No longer acknowledged by @ana; reminders resume."),
        (not_acknowledged(ANA, [BEN, BEN]),
         "No longer acknowledged by @ana; still acknowledged by @ben."),
        (unmuted(ANA, "ttft · rag", until=None, now=AT), "Unmuted by @ana: ttft · rag."),
        (unmuted(ANA, "ttft · rag", until=AT + timedelta(hours=1), now=AT),
         "@ana ended their mute of ttft · rag; another mute lasts until 13:00 UTC."),
    ],
)  # fmt: skip
def test_what_people_are_answered(sentence: str, said: str) -> None:
    assert sentence == said


def test_an_answer_is_one_sentence_in_the_thread_and_a_first_line_elsewhere() -> None:
    message = reply(ANA, AnsweredIncident(7, "ttft", "rag"), "Done <!here>.", step="added", now=AT)
    assert answer(message).text == "Done &lt;!here&gt;."
    assert render(message).text == "NOTICE #7 ttft · rag: Done &lt;!here&gt;."


@pytest.mark.parametrize("step", ["added", "removed", "failed"])
def test_an_answer_alarms_nobody_in_a_channel_without_threads(step: Any) -> None:
    message = reply(ANA, AnsweredIncident(7, "ttft", "rag"), "Done.", step=step, now=AT)
    found = json.loads(document(message, "ops"))
    assert (found["kind"], found["status"], found["severity"]) == ("answer", "NOTICE", "info")
    assert (found["number"], found["first_step"], found["title"]) == (7, None, "rag: Done · #7")
    assert _TYPES[message.status] == "info"


def test_people_without_a_name_are_mentioned_and_only_they() -> None:
    ana, other = action(name=None), action(actor="U12", name="<@U3> *b*")
    sentence = not_acknowledged(ana, [other])
    message = reply(
        ana, AnsweredIncident(7, "ttft", "rag"), sentence, step="removed", now=AT, others=[other]
    )
    assert answer(message).text == (
        "No longer acknowledged by <@U1>; still acknowledged by @&lt;@U3&gt; *b*."
    )
    [block] = answer(message).blocks
    parts = block["elements"][0]["elements"]
    assert [part.get("user_id") for part in parts] == [None, "U1", None]


def test_the_same_answer_has_the_same_id_and_each_step_its_own() -> None:
    incident = AnsweredIncident(7, "ttft", "rag")

    def id_of(given: IncidentAction, step: Any) -> object:
        return reply(given, incident, "x", step=step, now=AT).id

    assert id_of(ANA, "added") == id_of(action(id=9, at=AT + timedelta(hours=1)), "added")
    others = [(ANA, "removed"), (BEN, "added"), (action(nth=2), "added"), (action(BELL), "added")]
    assert len({id_of(ANA, "added"), *(id_of(*other) for other in others)}) == 5
