"""The options of dialect `custom` for an unknown stream, derived from its events.

The answer text is found first; a model has one name, and an end occurs once and last. Every
expression is tried on the events before it is proposed. Source: docs/dialects.md#custom
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from monitor.dialects.event_rules import CLOSE, compiled
from monitor.domain import StreamEvent
from monitor.identity import parse
from monitor.setup.answer_text_fields import (
    EventLeaf,
    Seen,
    bare_name,
    finds,
    kinds_of,
    leaves_of,
    preferred,
    prefixes_of,
    seen_in,
    text_candidates,
)
from monitor.setup.end_markers import FINISHES, HeardAnswer, end_expression
from monitor.setup.event_kinds import (
    Kinds,
    events_of_sources,
    model_path,
    sources_path,
    token_counts,
    usage_leaves,
)

MOST_EVENTS, MOST_CANDIDATES = 1_000, 50
_THOUGHTS = re.compile(r"reason|think|thought|scratch|analysis", re.IGNORECASE)
_MODELS = frozenset({"model", "modelname", "modelid", "modelused", "modelversion", "llm", "engine",
                     "servedby", "deployment", "answeredby", "generator", "lm"})  # fmt: skip
_SIDES = {
    "prompt_tokens": r"prompt|input|in|query|question|request|sent|prompteval",
    "answer_tokens": r"completion|output|out|answer|response|generated|generation|eval|candidates",
    "total_tokens": r"total|all|sum",
    "reasoning_tokens": r"reasoning|thinking|thoughts?",
    "cached_tokens": r"cached|cacheread|cachehit",
}  # fmt: skip
_COST = re.compile(r"(?:total)?(?:cost|price|charge)(?:in)?(?:usd|dollars)?|usd", re.IGNORECASE)
_COUNTED = re.compile(r"usage|token|count|meter|stats|billing|cost", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EventField:
    """One proposed option of `custom`, its expression, and what it found, for a person."""

    option: str
    expression: str
    found: str


@dataclass(frozen=True, slots=True)
class EventFields:
    """Options of `custom` that read a stream, in addition to those of its request and framing."""

    options: Mapping[str, Any]
    fields: tuple[EventField, ...]


def event_fields(
    events: Sequence[StreamEvent],
    *,
    question: str,
    ends_with_body: bool = True,
    others: Iterable[Sequence[StreamEvent]] = (),
) -> EventFields | None:
    """Options that read these events; None if no field looks like the text of an answer.

    `ends_with_body`: the body ended after the last event, as its framing shows. `others`: answers
    to other questions, which confirm or refute what marks the end.
    """
    kept = _kept(events)
    prefixes = prefixes_of(kept)
    seen = seen_in(kept, prefixes)
    leaves = leaves_of(seen)
    kinds = kinds_of(seen, leaves)
    texts = sorted(text_candidates(seen, leaves, kinds, question), key=lambda text: -text.score)
    retrieved = events_of_sources(kinds)
    likely = [
        text
        for text in texts
        if not _THOUGHTS.search(text.expression)
        and any(at not in retrieved for at, _ in text.values)
    ][:MOST_CANDIDATES]
    answers = [text for text in likely if finds(text, seen)]
    if not answers:
        return None
    answer = preferred(answers)
    options: dict[str, Any] = {"prefix": prefixes} if prefixes else {}
    options["text"] = answer.expression
    if answer.cumulative:
        options["cumulative"] = True
    used = {at for at, _ in answer.values}
    thoughts = [
        text
        for text in texts
        if _THOUGHTS.search(text.expression) and not used & {at for at, _ in text.values}
    ]
    if thoughts:
        options["reasoning"] = thoughts[0].expression
    last = max(used)
    text = compiled("text", answer.expression)
    further = [seen_in(_kept(other), prefixes) for other in others]
    heard = [HeardAnswer.of(other, text) for other in further]
    options["done"] = end_expression(
        HeardAnswer(seen, "".join(value for _, value in answer.values), last),
        leaves,
        kinds,
        text_path=answer.expression.rpartition(" && ")[2],
        others=[one for one in heard if one is not None],
        ends_with_body=ends_with_body,
    )
    beside = [leaf for leaf in leaves.values() if leaf.path != answer.expression]
    options |= _single(beside, kinds, (seen, *further))
    if sources := _sources((seen, *further), answer.expression):
        options["sources"] = sources
    if usage := _usage(beside, kinds):
        options["usage"] = usage
    return EventFields(options, tuple(_found(options, seen)))


def _kept(events: Sequence[StreamEvent]) -> Sequence[StreamEvent]:
    return [event for event in events if event.data or event.name][:MOST_EVENTS]


# The fields beside the text of the answer.


def _single(
    leaves: Sequence[EventLeaf], kinds: Kinds, answers: Iterable[Sequence[Seen]]
) -> Iterator[tuple[str, str]]:
    """Options `model`, `finish` and `error`, for which there are fields."""
    if model := _named_model(leaves, kinds, answers):
        yield "model", model
    for leaf in leaves:
        if FINISHES.fullmatch(leaf.name) and leaf.texts():
            yield "finish", leaf.path
            break
    for leaf in leaves:
        if leaf.name.lower() in ("error", "err") and not leaf.texts():
            yield "error", leaf.path
            break


def _named_model(
    leaves: Sequence[EventLeaf], kinds: Kinds, answers: Iterable[Sequence[Seen]]
) -> str | None:
    """The field that names a model: by its name or its event's, else by a value that names one."""
    constant = [leaf for leaf in leaves if len({value for _, value in leaf.texts()}) == 1]
    for leaf in constant:
        if bare_name(leaf.name) in _MODELS:
            return leaf.path
    named = model_path(leaves, kinds)
    if named and _names_models(named, answers):
        return named
    for leaf in constant:
        value = leaf.texts()[0][1]
        if (
            len(value) < 80
            and " " not in value.strip()
            and (parse(value).family and parse(value).model)
        ):
            return leaf.path
    return None


def _names_models(path: str, answers: Iterable[Sequence[Seen]]) -> bool:
    """Whether a field names one model, or only known ones: an id differs in each answer."""
    expression = compiled("model", path)
    found = (expression.find(one) for seen in answers for one in seen)
    names = {name for name in found if isinstance(name, str) and name}
    return len(names) == 1 or all(parse(name).known for name in names)


def _sources(answers: Iterable[Sequence[Seen]], text: str) -> str | None:
    """The sources as the first answer that has any lists them, else an empty list."""
    found = [sources_path(seen, kinds_of(seen, leaves_of(seen)), text=text) for seen in answers]
    listed = [path for path in found if path is not None]
    return next((path for path, filled in listed if filled), listed[0][0] if listed else None)


def _usage(leaves: Sequence[EventLeaf], kinds: Kinds) -> dict[str, str]:
    """Expressions of token counts and charges, by the names of their fields or of their events."""
    found: dict[str, str] = {}
    near = (
        leaf
        for leaf in leaves
        if "tok" in bare_name(leaf.name) or any(map(_COUNTED.search, leaf.above))
    )
    stated = list(usage_leaves(leaves, kinds))
    counting = {leaf.path for leaf in (*token_counts(near), *token_counts(stated))}
    for leaf in (*leaves, *stated):
        values = [v for _, v in leaf.values if v is not None]
        if not values or any(isinstance(v, bool) for v in values):
            continue
        whole = all(isinstance(v, int) for v in values)
        if not whole and not all(isinstance(v, int | float | Decimal) for v in values):
            continue
        name = bare_name(leaf.name)
        side = re.sub(r"^(?:n|num|number)(?=[a-z]{4})|tokens?|toks?|counts?|used|of", "", name)
        if _COST.fullmatch(name):
            found.setdefault("cost_usd", leaf.path)
        elif whole and leaf.path in counting:
            for option, pattern in _SIDES.items():
                if re.fullmatch(pattern, side):
                    found.setdefault(option, leaf.path)
    return found


_NOT_FOUND = {
    "error": "nothing in this answer, which had no error",
    "sources": "none in the first answer, but in another",
}


def _found(options: Mapping[str, Any], seen: Sequence[Seen]) -> Iterator[EventField]:
    """What each expression found, for a person."""
    tables = [(f"usage.{name}", text) for name, text in options.get("usage", {}).items()]
    singles = [(name, text) for name, text in options.items() if isinstance(text, str)]
    for option, text in (*singles, *tables):
        if option == "done" and text == CLOSE:
            yield EventField(option, text, "no event marks the end: the end of the body is the end")
            continue
        expression = compiled(option, text)
        values = [value for one in seen if (value := expression.find(one)) not in (None, "", False)]
        if option in ("text", "reasoning"):
            texts = [value for value in values if isinstance(value, str)]
            whole = texts[-1] if options.get("cumulative") else "".join(texts)
            pieces = f"{len(texts)} piece{'s' * (len(texts) != 1)}"
            yield EventField(option, text, f"{pieces}: {_shown(whole)}")
        elif values:
            yield EventField(option, text, _shown(values[-1]))
        else:
            yield EventField(option, text, _NOT_FOUND.get(option, "nothing in the first answer"))


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=float)  # of decimals
