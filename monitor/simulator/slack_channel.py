"""One Slack channel as it stands after what it was sent, and the Web API that changes it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from monitor.simulator.block_kit import fault

Answer = dict[str, Any]

WEBHOOK_STATUS = {
    "action_prohibited": 403,
    "invalid_token": 403,
    "channel_not_found": 404,
    "no_service": 404,
    "no_team": 404,
    "channel_is_archived": 410,
    "ratelimited": 429,
    "rollup_error": 500,
}  # how a webhook answers; any other word is a 400


class SlackRefused(Exception):
    """Slack says no: `word` is its answer, `reason` is for the person reading."""

    def __init__(self, word: str, reason: str = "") -> None:
        super().__init__(word)
        self.word, self.reason = word, reason


@dataclass(frozen=True, slots=True)
class SlackRequest:
    """One request as it came, and why it was refused, if it was."""

    path: str
    payload: Mapping[str, Any]
    refused: str | None
    at: datetime


@dataclass(slots=True)
class PostedMessage:
    """A message as people see it now. `was` holds the texts it had before it was edited."""

    ts: str
    via: str  # webhook or bot
    at: datetime
    text: str
    blocks: list[dict[str, Any]]
    metadata: dict[str, Any]
    sent: dict[str, Any]  # the payload as it came, latest edit
    was: list[str] = field(default_factory=list)
    thread: "list[PostedMessage]" = field(default_factory=list)
    broadcast: bool = False  # a reply that is shown in the channel, too, and notifies people
    files: list[tuple[str, bytes]] = field(default_factory=list)


class SlackChannel:
    """Messages in order of arrival. Not thread-safe: the inbox holds the lock.

    `seen` is told of every change as a JSON-able mapping.
    """

    id = "C000INBOX"

    def __init__(self, name: str, seen: Callable[[Mapping[str, Any]], None]) -> None:
        self.name = name
        self.messages: list[PostedMessage] = []
        self._seen = seen
        self._uploads: dict[str, bytes | None] = {}
        self._stamps = 0

    def call(self, method: str, arguments: dict[str, Any]) -> Answer:
        """Answer one Web API method; raises `SlackRefused`."""
        known: Mapping[str, Callable[[dict[str, Any]], Answer]] = {
            "auth.test": self._auth,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "files.getUploadURLExternal": self._upload_url,
            "files.completeUploadExternal": self._complete,
        }
        if method not in known:
            raise SlackRefused("unknown_method", method)
        return {"ok": True} | known[method](arguments)

    def add(self, payload: dict[str, Any], *, via: str) -> PostedMessage:
        """Take a new message, or a reply where `thread_ts` names one; raises `SlackRefused`."""
        self._validate(payload)
        parent = (
            self._find(payload["thread_ts"], "thread_not_found")
            if payload.get("thread_ts")
            else None
        )
        self._stamps += 1
        posted = PostedMessage(
            ts=f"{1_700_000_000 + self._stamps}.{self._stamps:06d}",
            via=via,
            at=datetime.now(UTC),
            text=payload["text"],
            blocks=payload.get("blocks", []),
            metadata=payload.get("metadata", {}),
            sent=payload,
            broadcast=parent is not None and payload.get("reply_broadcast") is True,
        )
        (self.messages if parent is None else parent.thread).append(posted)
        self._notify("posted" if parent is None else "replied", posted, parent=parent)
        return posted

    def fill(self, file: str, content: bytes) -> None:
        """Take the bytes of an announced file; raises `SlackRefused`."""
        if file not in self._uploads:
            raise SlackRefused("file_not_found", file)
        self._uploads[file] = content

    def _validate(self, payload: dict[str, Any]) -> None:
        if found := fault(payload):
            raise SlackRefused(found.word, found.reason)

    def _find(self, ts: object, word: str) -> PostedMessage:
        for posted in self.messages:
            if posted.ts == ts:
                return posted
        raise SlackRefused(word, f"no message {ts}")

    def _notify(
        self, event: str, posted: PostedMessage, *, parent: PostedMessage | None = None
    ) -> None:
        self._seen(
            {
                "event": event,
                "ts": posted.ts,
                "thread_ts": parent and parent.ts,
                "via": posted.via,
                "broadcast": posted.broadcast,
                "text": posted.text,
                "blocks": posted.blocks,
                "metadata": posted.metadata,
                "files": [name for name, _ in posted.files],
            }
        )

    def _auth(self, arguments: dict[str, Any]) -> Answer:
        return {"team": "Inbox", "user": "monitor", "team_id": "T000", "user_id": "U000"}

    def _post(self, arguments: dict[str, Any]) -> Answer:
        if arguments.get("channel") not in (self.id, self.name):
            raise SlackRefused("channel_not_found", f"only {self.name} ({self.id}) is here")
        posted = self.add(arguments, via="bot")
        return {"channel": self.id, "ts": posted.ts, "message": {"text": posted.text}}

    def _update(self, arguments: dict[str, Any]) -> Answer:
        if arguments.get("channel") != self.id:
            raise SlackRefused(
                "channel_not_found", "an edit takes the id of a channel, not its name"
            )
        posted = self._find(arguments.get("ts"), "message_not_found")
        if posted.via != "bot":
            raise SlackRefused("cant_update_message", "a message from a webhook cannot be edited")
        self._validate(arguments)
        posted.was.append(posted.text)
        posted.text, posted.sent = arguments["text"], arguments
        # Blocks go with the text they belong to; metadata stays until it is replaced.
        posted.blocks = arguments.get("blocks", [])
        posted.metadata = arguments.get("metadata", posted.metadata)
        self._notify("edited", posted)
        return {"channel": self.id, "ts": posted.ts, "text": posted.text}

    def _upload_url(self, arguments: dict[str, Any]) -> Answer:
        if not arguments.get("filename") or not str(arguments.get("length", "")).isdigit():
            raise SlackRefused("invalid_arguments", "a file needs a name and a length")
        file = f"F{len(self._uploads):03d}"
        self._uploads[file] = None
        return {"file_id": file, "upload_url": f"/upload/v1/{file}"}

    def _complete(self, arguments: dict[str, Any]) -> Answer:
        try:
            listed = json.loads(arguments.get("files") or "[]")
        except ValueError as error:
            raise SlackRefused("invalid_arguments", "files is not JSON") from error
        posted = self._find(arguments.get("thread_ts"), "thread_not_found")
        for each in listed:
            content = self._uploads.get(each["id"])
            if content is None:
                raise SlackRefused("file_not_found", each["id"])
            posted.files.append((each.get("title") or each["id"], content))
        self._notify("attached", posted)
        return {"files": listed}
