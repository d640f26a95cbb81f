"""A local Slack: accepts what Slack accepts, refuses what Slack refuses.

Incoming webhook and Web API for tests and the demo. As a process, `python -m
monitor.simulator.slack_server --port N`, it prints every message as one line of JSON.
"""

import argparse
import json
import signal
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl

from monitor.notifications.slack.bot import QUESTION
from monitor.simulator.slack_app import SCOPES, USER_TOKEN, SlackApp
from monitor.simulator.slack_channel import (
    WEBHOOK_STATUS,
    PostedMessage,
    SlackChannel,
    SlackRefused,
    SlackRequest,
)
from monitor.simulator.slack_page import page

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SlackReplyStep:
    """How one request is answered. Without `word` or `body` it is handled as usual.

    `late_s` passes before the reply; `cut` resets the connection instead of replying.
    """

    word: str | None = None
    status: int | None = None
    retry_after: str | None = None
    body: str | None = None
    late_s: float = 0
    cut: bool = False


class SlackServer:
    """A channel behind a server; use it with `with`. The token and the address are secrets."""

    def __init__(
        self,
        *,
        token: str = "xoxb-inbox",  # noqa: S107  not a secret: the inbox is on loopback
        secret: str = "inbox-secret",  # noqa: S107
        channel: str = "#alerts",
        scopes: Iterable[str] = SCOPES,
        seen: Callable[[Mapping[str, Any]], None] = lambda event: None,
        port: int = 0,
    ) -> None:
        self.token = token
        self.requests: list[SlackRequest] = []
        self.questions: list[SlackRequest] = []  # about reactions, by the clock
        self._hook = f"/services/T000/B000/{secret}"
        self._channel = SlackChannel(channel, seen)
        self.app = SlackApp(self._channel, token, scopes)
        self._script: deque[SlackReplyStep] = deque()
        self._question_script: deque[SlackReplyStep] = deque()
        self._changed = threading.Condition()
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Door, self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *ending: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def webhook_url(self) -> str:
        return self.url + self._hook

    @property
    def api_url(self) -> str:
        return self.url + "/api/"

    @property
    def messages(self) -> list[PostedMessage]:
        """The messages of the channel, oldest first, each with its edits and its thread."""
        with self._changed:
            return list(self._channel.messages)

    def page(self) -> str:
        """The channel as a page; it is served at `url`."""
        with self._changed:
            return page(self._channel.name, self._channel.messages, answerable=True)

    def react(self, user: str, emoji: str, message: int = 0, *, remove: bool = False) -> None:
        """A person reacts to a message of the channel, or takes it back; raises `SlackRefused`."""
        with self._changed:
            method = "reactions.remove" if remove else "reactions.add"
            ts = self._channel.messages[message].ts
            arguments = {"channel": self._channel.id, "timestamp": ts, "name": emoji}
            self.app.call(method, arguments, f"Bearer {USER_TOKEN}{user}")

    def script(
        self, steps: Iterable[SlackReplyStep | str | int], *, questions: bool = False
    ) -> None:
        """Set the next replies: a step, one of Slack's error words, or a status each.

        A worker asks about reactions by the clock. These questions have replies of their own.
        """
        for step in steps:
            if isinstance(step, str):
                step = SlackReplyStep(word=step)
            elif isinstance(step, int):
                step = SlackReplyStep(status=step, body=HTTPStatus(step).phrase)
            (self._question_script if questions else self._script).append(step)

    def wait_for(
        self, found: Callable[[list[PostedMessage]], T | None], timeout_s: float = 10
    ) -> T:
        """Wait until `found` returns something for the messages, and return it."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while not (seen := found(list(self._channel.messages))):
                if not self._changed.wait(until - time.monotonic()):
                    raise TimeoutError(f"not seen within {timeout_s} s")
            return seen

    def step(self, headers: Message) -> SlackReplyStep:
        """The next step of the script."""
        with self._changed:
            script = self._question_script if _is_question(headers) else self._script
            return script.popleft() if script else SlackReplyStep()

    def take(self, path: str, body: bytes, *, headers: Message, step: SlackReplyStep) -> object:
        """Handle a request, unless the step refuses it; raises `SlackRefused`."""
        payload: dict[str, Any] = {}
        refused: str | None = None
        with self._changed:
            try:
                if not path.startswith("/upload/"):
                    payload = _payload(body, headers.get("Content-Type", ""))
                if step.word or step.body is not None:
                    raise SlackRefused(step.word or "scripted", "scripted")
                return self._route(path, payload, body=body, headers=headers)
            except SlackRefused as no:
                refused = f"{no.word}: {no.reason}"
                raise
            finally:
                kept = self.questions if _is_question(headers) else self.requests
                kept.append(SlackRequest(path, payload, refused, datetime.now(UTC)))
                self._changed.notify_all()

    def _route(
        self, path: str, payload: dict[str, Any], *, body: bytes, headers: Message
    ) -> object:
        if path == self._hook:
            self._channel.add(payload, via="webhook")
            return "ok"
        if path.startswith("/upload/v1/"):
            self._channel.fill(path.rpartition("/")[2], body)
            return f"OK - {len(body)}"
        if not path.startswith("/api/"):
            raise SlackRefused("no_service", path)
        authorization = headers.get("Authorization")
        answer = self.app.call(path.removeprefix("/api/"), payload, authorization)
        if "upload_url" in answer:
            answer["upload_url"] = self.url + answer["upload_url"]
        return answer


def _is_question(headers: Message) -> bool:
    return (headers.get("User-Agent") or "").endswith(QUESTION)


def _payload(body: bytes, content_type: str) -> dict[str, Any]:
    """Parse JSON or a form; raises `SlackRefused`."""
    if not body or "json" not in content_type:
        return dict(parse_qsl(body.decode()))
    try:
        payload = json.loads(body)
    except ValueError as error:
        raise SlackRefused("invalid_payload", "not JSON") from error
    if not isinstance(payload, dict):
        raise SlackRefused("invalid_payload", "not a JSON object")
    return payload


class _Door(BaseHTTPRequestHandler):
    """One connection of the inbox."""

    def __init__(self, inbox: SlackServer, *connection: Any) -> None:
        self.inbox = inbox
        super().__init__(*connection)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        step = self.inbox.step(self.headers)
        try:
            answer = self.inbox.take(self.path, body, headers=self.headers, step=step)
            status = step.status or 200
        except SlackRefused as no:
            status, answer = self._refusal(no, step)
        self.inbox.closing.wait(step.late_s)
        if step.cut:
            # Linger 0 turns the close into a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        with suppress(ConnectionError):  # the caller may have stopped waiting
            self._reply(status, answer, step)

    def do_GET(self) -> None:
        """Show the channel as a page."""
        if self.path not in ("/", "/index.html"):
            self.send_error(404)
            return
        shown = self.inbox.page().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(shown)))
        self.end_headers()
        self.wfile.write(shown)

    def _refusal(self, no: SlackRefused, step: SlackReplyStep) -> tuple[int, object]:
        if step.body is not None:
            return step.status or 200, step.body
        if self.path.startswith("/api/"):
            return step.status or 200, {"ok": False, "error": no.word, **no.facts}
        return step.status or WEBHOOK_STATUS.get(no.word, 400), no.word

    def _reply(self, status: int, answer: object, step: SlackReplyStep) -> None:
        text = answer if isinstance(answer, str) else json.dumps(answer)
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if text is answer else "application/json")
        if self.inbox.app.scopes is not None:
            self.send_header("x-oauth-scopes", ",".join(self.inbox.app.scopes))
        if step.retry_after is not None:
            self.send_header("Retry-After", step.retry_after)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing: requests are kept in `SlackServer.requests`."""


def main() -> None:
    """Run until a signal arrives; the addresses to use go to standard error."""
    options = argparse.ArgumentParser(description="A simulated Slack on loopback.")
    options.add_argument("--port", type=int, default=0)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def show(event: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()

    with SlackServer(port=options.parse_args().port, seen=show) as inbox:
        sys.stderr.write(
            f"SLACK_WEBHOOK_URL={inbox.webhook_url}\n"
            f"SLACK_API_BASE_URL={inbox.api_url} SLACK_BOT_TOKEN={inbox.token}"
            " SLACK_CHANNEL=#alerts\n"
            f"The messages: {inbox.url}\n"
        )
        sys.stderr.flush()
        stop.wait()


if __name__ == "__main__":
    main()
