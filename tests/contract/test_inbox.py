"""The local Slack as others use it: over HTTP, by script, and as a process."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from monitor.simulator.slack_server import SlackReplyStep, SlackServer

ask = build_opener(ProxyHandler({})).open


@pytest.fixture
def inbox() -> Iterator[SlackServer]:
    with SlackServer() as inbox:
        yield inbox


def post(url: str, payload: object, token: str | None = None) -> tuple[int, str]:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        with ask(Request(url, body, headers), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def call(inbox: SlackServer, method: str, **arguments: object) -> dict[str, Any]:
    status, answer = post(inbox.api_url + method, arguments, inbox.token)
    assert status == 200
    return dict(json.loads(answer))


def test_the_webhook_says_ok_or_why_not(inbox: SlackServer) -> None:
    assert post(inbox.webhook_url, {"text": "hello"}) == (200, "ok")
    assert post(inbox.webhook_url, {}) == (400, "no_text")
    assert post(inbox.webhook_url, b"{") == (400, "invalid_payload")
    assert post(inbox.webhook_url, ["hello"]) == (400, "invalid_payload")
    assert post(inbox.webhook_url + "Y", {"text": "hello"}) == (404, "no_service")
    assert [posted.text for posted in inbox.messages] == ["hello"]
    assert [request.refused for request in inbox.requests[:2]] == [
        None,
        "no_text: a message needs fallback text",
    ]


def test_the_api_wants_its_token(inbox: SlackServer) -> None:
    where = inbox.api_url + "auth.test"
    assert json.loads(post(where, {})[1]) == {"ok": False, "error": "not_authed"}
    assert json.loads(post(where, {}, "wrong")[1]) == {"ok": False, "error": "invalid_auth"}
    assert call(inbox, "auth.test")["ok"] is True
    assert call(inbox, "chat.delete")["error"] == "unknown_method"


def test_an_edit_wants_the_id_and_a_message_of_the_bot(inbox: SlackServer) -> None:
    posted = call(inbox, "chat.postMessage", channel="#alerts", text="one")
    ts = posted["ts"]
    assert (
        call(inbox, "chat.postMessage", channel="#other", text="x")["error"] == "channel_not_found"
    )

    def edit(channel: str, ts: str) -> str | None:
        return call(inbox, "chat.update", channel=channel, ts=ts, text="two").get("error")

    assert edit("#alerts", ts) == "channel_not_found"
    assert edit(posted["channel"], "1.1") == "message_not_found"
    post(inbox.webhook_url, {"text": "hook"})
    assert edit(posted["channel"], inbox.messages[1].ts) == "cant_update_message"
    assert edit(posted["channel"], ts) is None
    assert (inbox.messages[0].text, inbox.messages[0].was) == ("two", ["one"])


def test_an_edit_drops_blocks_and_keeps_metadata_it_does_not_name(inbox: SlackServer) -> None:
    metadata = {"event_type": "a", "event_payload": {"n": 1}}
    content = {"blocks": [{"type": "divider"}], "metadata": metadata}
    posted = call(inbox, "chat.postMessage", channel="#alerts", text="one", **content)
    call(inbox, "chat.update", channel=posted["channel"], ts=posted["ts"], text="two")
    assert inbox.messages[0].blocks == []
    assert inbox.messages[0].metadata == metadata


def test_replies_stand_in_the_thread(inbox: SlackServer) -> None:
    ts = call(inbox, "chat.postMessage", channel="#alerts", text="one")["ts"]
    call(inbox, "chat.postMessage", channel="#alerts", text="re", thread_ts=ts)
    lost = call(inbox, "chat.postMessage", channel="#alerts", text="re", thread_ts="1.1")
    assert lost["error"] == "thread_not_found"
    assert [reply.text for reply in inbox.messages[0].thread] == ["re"]


def test_the_channel_is_served_as_a_page(inbox: SlackServer) -> None:
    post(inbox.webhook_url, {"text": "hello"})
    with ask(inbox.url, timeout=60) as answer:
        assert "hello" in answer.read().decode()
    with pytest.raises(HTTPError, match="404"):
        ask(inbox.url + "/other", timeout=60)


def test_a_script_is_followed_once(inbox: SlackServer) -> None:
    inbox.script([SlackReplyStep("ratelimited", 429, retry_after="3"), 500, "action_prohibited"])
    answers = [post(inbox.webhook_url, {"text": "hello"}) for _ in range(4)]
    assert answers == [
        (429, "ratelimited"),
        (500, "Internal Server Error"),
        (403, "action_prohibited"),
        (200, "ok"),
    ]
    assert len(inbox.messages) == 1


def test_a_cut_connection_has_taken_the_message(inbox: SlackServer) -> None:
    inbox.script([SlackReplyStep(cut=True)])
    with pytest.raises(ConnectionResetError):
        post(inbox.webhook_url, {"text": "hello"})
    assert len(inbox.messages) == 1


def test_waiting_ends_when_the_message_comes(inbox: SlackServer) -> None:
    sender = threading.Timer(0.05, post, (inbox.webhook_url, {"text": "hello"}))
    sender.start()
    found = inbox.wait_for(lambda messages: messages and messages[0].text, timeout_s=60)
    sender.join()
    assert found == "hello"


def test_waiting_for_nothing_ends_too(inbox: SlackServer) -> None:
    with pytest.raises(TimeoutError, match=r"not seen within 0\.05 s"):
        inbox.wait_for(lambda messages: messages, timeout_s=0.05)


def test_who_watches_sees_every_change() -> None:
    events: list[Mapping[str, Any]] = []
    with SlackServer(seen=events.append) as inbox:
        posted = call(inbox, "chat.postMessage", channel="#alerts", text="one")
        ts = posted["ts"]
        call(inbox, "chat.update", channel=posted["channel"], ts=ts, text="two")
        call(inbox, "chat.postMessage", channel="#alerts", text="re", thread_ts=ts)
    assert [(event["event"], event["text"], event["thread_ts"]) for event in events] == [
        ("posted", "one", None),
        ("edited", "two", None),
        ("replied", "re", ts),
    ]


def test_as_a_process_it_prints_each_message_as_a_line() -> None:
    command = [sys.executable, "-m", "monitor.simulator.slack_server", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            url = process.stderr.readline().strip().removeprefix("SLACK_WEBHOOK_URL=")
            assert post(url, {"text": "hello"}) == (200, "ok")
            assert json.loads(process.stdout.readline())["text"] == "hello"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


ANA = "xoxp-U0ANA"


def reacted(inbox: SlackServer, method: str, **arguments: object) -> str:
    """What a person's call answers: `ok`, or the error word."""
    _, answer = post(inbox.api_url + method, arguments, ANA)
    return str(json.loads(answer).get("error", "ok"))


def test_people_react_to_messages_and_take_it_back(inbox: SlackServer) -> None:
    at = call(inbox, "chat.postMessage", channel="#alerts", text="hello")
    item = {"channel": at["channel"], "timestamp": at["ts"]}
    got = call(inbox, "reactions.get", **item)
    assert "reactions" not in got["message"]
    assert reacted(inbox, "reactions.add", **item, name="eyes") == "ok"
    assert call(inbox, "reactions.get", **item)["message"]["reactions"] == [
        {"name": "eyes", "users": ["U0ANA"], "count": 1}
    ]
    assert reacted(inbox, "reactions.remove", **item, name="eyes") == "ok"
    assert "reactions" not in call(inbox, "reactions.get", **item)["message"]
    with ask(inbox.url, timeout=60) as served:
        assert "data-method" in served.read().decode()


@pytest.mark.parametrize(
    ("method", "changes", "word"),
    [
        ("reactions.add", {"name": "Eyes!"}, "invalid_name"),
        ("reactions.add", {"name": "tada"}, "already_reacted"),
        ("reactions.remove", {}, "no_reaction"),
        ("reactions.add", {"timestamp": ""}, "no_item_specified"),
        ("reactions.add", {"timestamp": "yesterday"}, "bad_timestamp"),
        ("reactions.add", {"timestamp": "1.000001"}, "message_not_found"),
        ("reactions.add", {"channel": "#alerts"}, "channel_not_found"),
        ("chat.postMessage", {"text": "hello"}, "invalid_auth"),
    ],
)
def test_reactions_are_refused_as_slack_refuses_them(
    inbox: SlackServer, method: str, changes: Mapping[str, str], word: str
) -> None:
    at = call(inbox, "chat.postMessage", channel="#alerts", text="hello")
    item = {"channel": at["channel"], "timestamp": at["ts"], "name": "eyes"}
    assert reacted(inbox, "reactions.add", **item | {"name": "tada"}) == "ok"
    assert reacted(inbox, method, **item | dict(changes)) == word


def test_users_are_known_by_their_id_and_methods_need_their_scope() -> None:
    with SlackServer(scopes=("chat:write", "users:read")) as inbox:
        user = call(inbox, "users.info", user="U0ANA")["user"]
        assert (user["is_bot"], user["profile"]["display_name"]) == (False, "ana")
        assert call(inbox, "users.info", user="U0")["error"] == "user_not_found"
        assert call(inbox, "reactions.get") == {
            "ok": False,
            "error": "missing_scope",
            "needed": "reactions:read",
            "provided": "chat:write,users:read",
        }
