"""Answer text from events: cumulative texts, reasoning tags, and the parser of a stream."""

from collections.abc import Callable
from dataclasses import replace

from monitor.dialects.reasoning_tags import ReasoningTags, TagSet
from monitor.dialects.stated_errors import (
    bare_error,
    error_text,
    is_keep_alive,
    may_state_error,
    may_state_failure,
    stated_error,
)
from monitor.domain import (
    FROM_START,
    Dialect,
    Finish,
    ParsedEvent,
    StreamEvent,
    TextKind,
    Thoughts,
)

DISCONTINUED = "text that does not continue the earlier text"


class CumulativeText:
    """The text of one answer, for streams whose events repeat the answer so far.

    Most answers have one part. Agents write several messages, one after the other.
    """

    def __init__(self) -> None:
        self._parts: dict[str, list[str]] = {}
        self._lengths: dict[str, int] = {}

    @property
    def length(self) -> int:
        """Number of characters received so far."""
        return sum(self._lengths.values())

    def add(self, delta: str, part: str = "") -> None:
        """Append text that an event sent as a delta."""
        if delta:
            self._parts.setdefault(part, []).append(delta)
            self._lengths[part] = self._lengths.get(part, 0) + len(delta)

    def so_far(self, text: str, part: str = "") -> tuple[str, bool]:
        """The new part of a text that repeats a whole part, and whether it replaces everything.

        An empty text adds nothing. A text that does not continue the part replaces it: the whole
        answer is returned, with True.
        """
        if not text:
            return "", False
        length = self._lengths.get(part, 0)
        # Joined only when the new text is at least as long, so the work is bounded by what was
        # sent.
        continues = len(text) >= length and text.startswith("".join(self._parts.get(part, ())))
        self._parts[part], self._lengths[part] = [text], len(text)
        if continues:
            return text[length:], False
        return "".join(piece for pieces in self._parts.values() for piece in pieces), True


ParseEvent = Callable[[StreamEvent], ParsedEvent]
NOTHING = ParsedEvent()
FAILED = "the finish reason is an error"
ALL_ANSWER = Thoughts(((FROM_START, TextKind.ANSWER),), answered=True)


def stream_parser(dialect: Dialect, tags: TagSet) -> ParseEvent:
    """A fresh parser for one stream. It never raises: an unreadable event is `malformed`.

    Adds to the dialect: keep-alives are skipped, a failure counts wherever an event states it, and
    reasoning between `tags` at the start of the text is marked.
    """
    parse, thoughts = dialect.parser(), ReasoningTags(tags)
    first, second, third = tags.first_characters
    general = not dialect.states_errors

    def parse_event(event: StreamEvent) -> ParsedEvent:
        nonlocal thoughts
        if not event.data and not (event.name and dialect.takes_empty_events):
            return NOTHING
        try:
            parsed = parse(event)
        except (ValueError, KeyError, TypeError, RecursionError):
            parsed = ParsedEvent(malformed=True)
        text = parsed.text
        if parsed.error is None:
            if general and (
                may_state_error(event)
                or (not text and (parsed.malformed or may_state_failure(event)))
            ):
                parsed = _with_error(parsed, event)
            elif parsed.finish is not None and parsed.finish is Finish.ERROR:
                parsed = replace(parsed, error=FAILED)
        if parsed.malformed and is_keep_alive(event):
            return NOTHING
        if parsed.replaces:  # the text starts again, and its reasoning too
            again, thoughts = thoughts.marked, ReasoningTags(tags)
            return _with_thoughts(parsed, thoughts.add(text) or (ALL_ANSWER if again else None))
        if not text or thoughts.settled:
            return parsed
        if thoughts.watching and not (first in text or second in text or third in text):
            thoughts.last_text = text
            return parsed
        return _with_thoughts(parsed, thoughts.add(text))

    return parse_event


def _with_thoughts(parsed: ParsedEvent, thoughts: Thoughts | None) -> ParsedEvent:
    return parsed if thoughts is None else replace(parsed, thoughts=thoughts)


def _with_error(parsed: ParsedEvent, event: StreamEvent) -> ParsedEvent:
    error = stated_error(event) or error_text(parsed.text)
    if error is None and parsed.malformed:
        error = bare_error(event.data)
    if error is None and parsed.finish is Finish.ERROR:
        error = FAILED
    return parsed if error is None else replace(parsed, error=error, malformed=False)
