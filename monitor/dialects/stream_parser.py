"""The events of one stream in order: a dialect's reading, and what takes memory of the stream."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from monitor.dialects.reasoning_tags import ReasoningTags
from monitor.dialects.stated_errors import is_keep_alive, may_state_error, stated_error
from monitor.domain import Dialect, Event, Finish, Heard

ParseEvent = Callable[[Event], Heard]
NOTHING = Heard()


def stream_parser(dialect: Dialect, tags: Sequence[tuple[str, str]]) -> ParseEvent:
    """A fresh parser for one stream. It never raises: what it cannot read is malformed.

    Adds to the dialect: keep-alives are nothing, a failure counts wherever the event states it,
    and thoughts between `tags` at the start of the text are reasoning.
    """
    parse, thoughts = dialect.parser(), ReasoningTags(tags)
    general = not dialect.states_errors

    def parse_event(event: Event) -> Heard:
        nonlocal thoughts
        if not event.data and not (event.name and dialect.takes_empty_events):
            return NOTHING
        try:
            parsed = parse(event)
        except (ValueError, KeyError, TypeError, RecursionError):
            parsed = Heard(malformed=True)
        if (
            general
            and parsed.error is None
            and (parsed.finish is Finish.ERROR or may_state_error(event))
        ):
            parsed = _with_error(parsed, event)
        if parsed.malformed and is_keep_alive(event):
            return NOTHING
        if parsed.replaces:  # the text begins again, and with it the thoughts
            thoughts = ReasoningTags(tags)
        if thoughts.settled:
            return parsed
        return _without_thoughts(parsed, thoughts)

    return parse_event


def _with_error(parsed: Heard, event: Event) -> Heard:
    error = stated_error(event)
    if error is None and parsed.finish is Finish.ERROR:
        error = "the finish reason is an error"
    return parsed if error is None else replace(parsed, error=error, malformed=False)


def _without_thoughts(parsed: Heard, thoughts: ReasoningTags) -> Heard:
    text, reasoning = thoughts.split(parsed.text) if parsed.text else ("", "")
    if parsed.end or parsed.error is not None or parsed.finish is not None:
        last_text, last_reasoning = thoughts.close()
        text, reasoning = text + last_text, reasoning + last_reasoning
    if text == parsed.text and not reasoning:
        return parsed
    return replace(parsed, text=text, reasoning=parsed.reasoning + reasoning)
