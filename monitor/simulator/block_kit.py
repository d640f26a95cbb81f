"""What Slack refuses in a message: the limits of Block Kit, and where we are stricter.

Slack would accept raw `<`, `>` and `&`, mentions, unescaped text and a message without
fallback text. All of these are mistakes of ours, so the inbox refuses them and says why.
Source: Slack's Block Kit reference; the sum over all blocks is not documented and was met
between 11,300 and 13,300 characters.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

TEXT, BLOCKS, ALL_BLOCKS = 40_000, 50, 11_300
HEADER, SECTION, FIELD, FIELDS, ELEMENTS, BLOCK_ID = 150, 3_000, 2_000, 10, 10, 255

_MARKUP = re.compile(r"<([^<>]*)>|[<>]|&(?!amp;|lt;|gt;)")
_LINK = re.compile(r"https?://[^|\s]+(\|[^|]*)?")
_OPTIONS = {"plain_text": {"emoji"}, "mrkdwn": {"verbatim"}}
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_]{1,255}")


@dataclass(frozen=True, slots=True)
class BlockKitError:
    """`word` is what Slack answers, `reason` is for the person who has to mend it."""

    word: str
    reason: str


def fault(payload: Mapping[str, Any]) -> BlockKitError | None:
    """Name the first reason to refuse a message; None: it is accepted."""
    return next(_faults(payload), None)


def _faults(payload: Mapping[str, Any]) -> Iterator[BlockKitError]:
    text = payload.get("text")
    if not isinstance(text, str) or not text.strip():
        yield BlockKitError("no_text", "a message needs fallback text")
    elif len(text) > TEXT:
        yield BlockKitError("msg_too_long", f"text has {len(text)} of {TEXT} characters")
    else:
        yield from _markup(text, "text")
    if payload.get("link_names") or payload.get("parse") not in (None, "none"):
        yield BlockKitError("invalid_arguments", "link_names or parse would bring mentions to life")
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


def _markup(text: str, at: str, *, links: bool = True) -> Iterator[BlockKitError]:
    for found in _MARKUP.finditer(text):
        if not (links and _LINK.fullmatch(found[1] or "")):
            yield BlockKitError("invalid_blocks", f"{at}: unescaped {found[0]!r}")


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
    "divider": lambda block, at: iter(()),
}
