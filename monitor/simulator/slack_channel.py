"""What Slack refuses in a message: the limits of Block Kit, and our stricter rules.

Slack would accept raw `<`, `>` and `&`, mentions, unescaped text and a message without fallback
text. These are errors of the monitor, so the inbox refuses them with a reason.

Source: Slack's Block Kit reference; the limit over all blocks is not documented and was found to be
between 11,300 and 13,300 characters.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any

TEXT, BLOCKS, ALL_BLOCKS = 40_000, 50, 11_300
HEADER, SECTION, FIELD, FIELDS, ELEMENTS, BLOCK_ID = 150, 3_000, 2_000, 10, 10, 255

_MARKUP = re.compile(r"<([^<>]*)>|[<>]|&(?!amp;|lt;|gt;)")
_LINK = re.compile(r"https?://[^|\s]+(\|[^|]*)?")
_USER = re.compile(r"[UW][A-Z0-9]{1,30}")
_OPTIONS = {"plain_text": {"emoji"}, "mrkdwn": {"verbatim"}}
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_]{1,255}")


@dataclass(frozen=True, slots=True)
class BlockKitError:
    """`word` is Slack's error code, `reason` explains it to a developer."""

    word: str
    reason: str


def fault(payload: Mapping[str, Any]) -> BlockKitError | None:
    """The first reason to refuse a message; None: it is accepted."""
    return next(_faults(payload), None)


def _faults(payload: Mapping[str, Any]) -> Iterator[BlockKitError]:
    text = payload.get("text")
    if not isinstance(text, str) or not text.strip():
        yield BlockKitError("no_text", "a message needs fallback text")
    elif len(text) > TEXT:
        yield BlockKitError("msg_too_long", f"text has {len(text)} of {TEXT} characters")
    else:
        yield from _markup(text, "text", people=_mentioned(payload.get("blocks")))
    if payload.get("link_names") or payload.get("parse") not in (None, "none"):
        yield BlockKitError("invalid_arguments", "link_names or parse would activate mentions")
    blocks = payload.get("blocks", [])
    if not isinstance(blocks, list) or len(blocks) > BLOCKS:
        yield BlockKitError("invalid_blocks", f"blocks is not a list of at most {BLOCKS}")
        return
    for place, block in enumerate(blocks):
        yield from _block(block, f"blocks/{place}")
    if (total := sum(map(len, texts(blocks)))) > ALL_BLOCKS:
        yield BlockKitError("msg_blocks_too_long", f"all blocks together have {total} characters")
    if payload.get("metadata"):
        yield from _metadata(payload["metadata"])


def texts(blocks: object) -> Iterator[str]:
    """Every text inside blocks, in order."""
    if isinstance(blocks, list):
        for block in blocks:
            yield from texts(block)
    elif isinstance(blocks, dict):
        for key, value in blocks.items():
            if key == "text" and isinstance(value, str):
                yield value
            else:
                yield from texts(value)


def _block(block: object, at: str) -> Iterator[BlockKitError]:
    shape = _SHAPES.get(str(block.get("type"))) if isinstance(block, dict) else None
    if not isinstance(block, dict) or shape is None:
        yield BlockKitError("invalid_blocks", f"{at}: unknown type of block")
        return
    if len(str(block.get("block_id", ""))) > BLOCK_ID:
        yield BlockKitError("invalid_blocks", f"{at}: block_id over {BLOCK_ID} characters")
    yield from shape(block, at)


def _header(block: dict[str, Any], at: str) -> Iterator[BlockKitError]:
    yield from _text(block.get("text"), f"{at}/text", most=HEADER, kinds=("plain_text",))


def _section(block: dict[str, Any], at: str) -> Iterator[BlockKitError]:
    fields = block.get("fields")
    if "text" not in block and fields is None:
        yield BlockKitError("invalid_blocks", f"{at}: a section needs text or fields")
    if "text" in block:
        yield from _text(block["text"], f"{at}/text", most=SECTION)
    if fields is not None:
        yield from _texts(fields, f"{at}/fields", many=FIELDS, most=FIELD)


def _context(block: dict[str, Any], at: str) -> Iterator[BlockKitError]:
    yield from _texts(block.get("elements"), f"{at}/elements", many=ELEMENTS, most=SECTION)


def _texts(listed: object, at: str, *, many: int, most: int) -> Iterator[BlockKitError]:
    if not isinstance(listed, list) or not 1 <= len(listed) <= many:
        yield BlockKitError("invalid_blocks", f"{at}: not a list of 1 to {many}")
        return
    for place, text in enumerate(listed):
        yield from _text(text, f"{at}/{place}", most=most)


def _text(
    text: object, at: str, *, most: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")
) -> Iterator[BlockKitError]:
    if not isinstance(text, dict) or text.get("type") not in kinds:
        yield BlockKitError("invalid_blocks", f"{at}: not one of {', '.join(kinds)}")
        return
    reported, kind = text.get("text"), text["type"]
    if not isinstance(reported, str) or not 1 <= len(reported) <= most:
        yield BlockKitError("invalid_blocks", f"{at}: not 1 to {most} characters")
        return
    if odd := set(text) - {"type", "text"} - _OPTIONS[kind]:
        yield BlockKitError("invalid_blocks", f"{at}: {kind} has no {', '.join(sorted(odd))}")
    if kind == "mrkdwn" and text.get("verbatim") is not True:
        yield BlockKitError("invalid_blocks", f"{at}: mrkdwn without verbatim parses names")
    yield from _markup(reported, at, links=kind == "mrkdwn")


def _markup(
    text: str, at: str, *, links: bool = True, people: Iterable[str] = ()
) -> Iterator[BlockKitError]:
    named = {f"@{user}" for user in people}
    for found in _MARKUP.finditer(text):
        inner = found[1] or ""
        if inner not in named and not (links and _LINK.fullmatch(inner)):
            yield BlockKitError("invalid_blocks", f"{at}: unescaped {found[0]!r}")


def _mentioned(blocks: object) -> Iterator[str]:
    """The users whom a rich text mentions on purpose: the fallback text may mention them, too."""
    if isinstance(blocks, list):
        for block in blocks:
            yield from _mentioned(block)
    elif isinstance(blocks, dict):
        if blocks.get("type") == "user":
            yield str(blocks.get("user_id"))
        yield from _mentioned(blocks.get("elements"))


def _rich_text(block: dict[str, Any], at: str) -> Iterator[BlockKitError]:
    """Sections of text and of users, as far as we use it. Nothing in it is parsed as markup."""
    sections = block.get("elements")
    if not isinstance(sections, list) or not sections:
        yield BlockKitError("invalid_blocks", f"{at}/elements: not a list of sections")
        return
    for section in sections:
        parts = section.get("elements") if isinstance(section, dict) else None
        if not isinstance(parts, list) or section.get("type") != "rich_text_section":
            yield BlockKitError("invalid_blocks", f"{at}/elements: not a rich_text_section")
            return
        for part in parts:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind == "text" and 1 <= len(str(part.get("text", ""))) <= SECTION:
                continue
            if kind == "user" and _USER.fullmatch(str(part.get("user_id", ""))):
                continue
            yield BlockKitError("invalid_blocks", f"{at}/elements: {part!r}")


def _metadata(metadata: object) -> Iterator[BlockKitError]:
    kind = metadata.get("event_type") if isinstance(metadata, dict) else None
    payload = metadata.get("event_payload") if isinstance(metadata, dict) else None
    if not isinstance(kind, str) or not _EVENT_TYPE.fullmatch(kind):
        yield BlockKitError("invalid_metadata_format", "event_type is not alphanumeric")
    elif not isinstance(payload, dict) or not all(map(_storable, payload.values())):
        yield BlockKitError(
            "invalid_metadata_format", "event_payload holds text, numbers and booleans"
        )


def _storable(value: object) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and isfinite(value))


_SHAPES: Mapping[str, Callable[[dict[str, Any], str], Iterator[BlockKitError]]] = {
    "header": _header,
    "section": _section,
    "context": _context,
    "rich_text": _rich_text,
    "divider": lambda block, at: iter(()),
}


# One Slack channel with its messages, and the Web API that changes it.


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
    """A refusal of Slack: `word` and `facts` are its answer, `reason` explains it to people."""

    def __init__(self, word: str, reason: str = "", **facts: str) -> None:
        super().__init__(word)
        self.word, self.reason, self.facts = word, reason, facts


@dataclass(frozen=True, slots=True)
class SlackRequest:
    """One request as it arrived, and why it was refused, if it was."""

    path: str
    payload: Mapping[str, Any]
    refused: str | None
    at: datetime


@dataclass(slots=True)
class PostedMessage:
    """A message as people see it now. `was` holds its texts before it was edited."""

    ts: str
    via: str  # webhook or bot
    at: datetime
    text: str
    blocks: list[dict[str, Any]]
    metadata: dict[str, Any]
    sent: dict[str, Any]  # the payload as received, latest edit
    was: list[str] = field(default_factory=list)
    thread: "list[PostedMessage]" = field(default_factory=list)
    broadcast: bool = False  # a reply that is also shown in the channel and notifies people
    files: list[tuple[str, bytes]] = field(default_factory=list)
    reactions: dict[str, list[str]] = field(default_factory=dict)  # user ids by emoji, in order


class SlackChannel:
    """Messages in order of arrival. Not thread-safe: the inbox holds the lock.

    `seen` receives every change as a JSON-serialisable mapping.
    """

    id = "C000INBOX"

    def __init__(self, name: str, seen: Callable[[Mapping[str, Any]], None]) -> None:
        self.name = name
        self.messages: list[PostedMessage] = []
        self._seen = seen
        self._uploads: dict[str, bytes | None] = {}
        self._stamps = 0

    def add(self, payload: dict[str, Any], *, via: str) -> PostedMessage:
        """Accept a new message, or a reply if `thread_ts` names one; raises `SlackRefused`."""
        self._validate(payload)
        parent = (
            self.find(payload["thread_ts"], "thread_not_found")
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
        """Accept the bytes of an announced file; raises `SlackRefused`."""
        if file not in self._uploads:
            raise SlackRefused("file_not_found", file)
        self._uploads[file] = content

    def _validate(self, payload: dict[str, Any]) -> None:
        if found := fault(payload):
            raise SlackRefused(found.word, found.reason)

    def find(self, ts: object, word: str) -> PostedMessage:
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

    def post(self, arguments: dict[str, Any]) -> Answer:
        if arguments.get("channel") not in (self.id, self.name):
            raise SlackRefused("channel_not_found", f"only {self.name} ({self.id}) exists")
        posted = self.add(arguments, via="bot")
        return {"channel": self.id, "ts": posted.ts, "message": {"text": posted.text}}

    def update(self, arguments: dict[str, Any]) -> Answer:
        if arguments.get("channel") != self.id:
            raise SlackRefused(
                "channel_not_found", "an edit takes the id of a channel, not its name"
            )
        posted = self.find(arguments.get("ts"), "message_not_found")
        if posted.via != "bot":
            raise SlackRefused("cant_update_message", "a message from a webhook cannot be edited")
        self._validate(arguments)
        posted.was.append(posted.text)
        posted.text, posted.sent = arguments["text"], arguments
        # Blocks belong to their text; metadata stay until they are replaced.
        posted.blocks = arguments.get("blocks", [])
        posted.metadata = arguments.get("metadata", posted.metadata)
        self._notify("edited", posted)
        return {"channel": self.id, "ts": posted.ts, "text": posted.text}

    def upload_url(self, arguments: dict[str, Any]) -> Answer:
        if not arguments.get("filename") or not str(arguments.get("length", "")).isdigit():
            raise SlackRefused("invalid_arguments", "a file needs a name and a length")
        file = f"F{len(self._uploads):03d}"
        self._uploads[file] = None
        return {"file_id": file, "upload_url": f"/upload/v1/{file}"}

    def complete(self, arguments: dict[str, Any]) -> Answer:
        try:
            listed = json.loads(arguments.get("files") or "[]")
        except ValueError as error:
            raise SlackRefused("invalid_arguments", "files is not JSON") from error
        posted = self.find(arguments.get("thread_ts"), "thread_not_found")
        for each in listed:
            content = self._uploads.get(each["id"])
            if content is None:
                raise SlackRefused("file_not_found", each["id"])
            posted.files.append((each.get("title") or each["id"], content))
        self._notify("attached", posted)
        return {"files": listed}
