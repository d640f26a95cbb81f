"""The options of dialect `custom` for a stream nobody described, from its own events.

Looks at names, at values, and at when values change: the text of an answer comes in many pieces
that differ, a model has one name, an end comes once and last. Every expression is tried on the
events before it is proposed. Source: docs/dialects.md#custom
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice, pairwise
from typing import Any

from monitor.dialects.event_rules import CLOSE, EventReader, EventRule, Expression, compiled
from monitor.domain import StreamEvent
from monitor.identity import parse

MOST_EVENTS, MOST_LEAVES, MOST_DEPTH = 2_000, 200, 8
MOST_KINDS = 40  # values of one field that tells kinds of events apart
MOST_PREFIXES = 16

_MARKER = re.compile(
    r"\s*[\[<|/]{0,3}(?:done|end|eos|stop|finish(?:ed)?|complete|s)[\]>|]{0,3}\s*", re.IGNORECASE
)
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,16}[:|=] ?(?=[{\[\"])")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPAQUE = re.compile(r"[0-9A-Fa-f-]{16,}|[0-9T:.Z+-]{10,}|[A-Za-z0-9+/_-]{24,}=*")
_KINDS = ("type", "event", "kind", "object", "op", "action", "status", "phase", "step", "role",
          "name", "channel", "node", "stage", "state", "category", "code", "tag")  # fmt: skip
_ENDS = re.compile(r"done|end|final|finish|complete|stop|close|eos|last|over", re.IGNORECASE)
_STARTS = re.compile(r"start|begin|open", re.IGNORECASE)
_THOUGHTS = re.compile(r"reason|think|thought|scratch|analysis", re.IGNORECASE)
_NO_ANSWER = re.compile(
    r"^(?:id|.*_id|.*Id|.*model.*|role|status|state|title|url|link|source|sources|snippet|query|"
    r"question|prompt|error|reason|.*reason|timestamp|created.*|name|type|event|kind|object|"
    r"user|session|version|provider|.*tier|error.*|.*fingerprint|.*At|documents?|citations?|context|metadata|references?|log|progress|tool.*)$",
    re.IGNORECASE,
)
_TEXTS = {
    **dict.fromkeys(("text", "delta", "content", "token", "chunk", "answer", "response", "output",
                     "completion", "generated", "textdelta", "texttoken", "reply"), 2.0),
    **dict.fromkeys(("message", "data", "value", "part", "piece", "word", "msg", "body", "t", "c",
                     "v", "d", "_data", "_json"), 1.0),
}  # fmt: skip
_MODELS = frozenset({"model", "modelname", "modelid", "modelused", "modelversion", "llm", "engine",
                     "servedby", "deployment", "answeredby", "generator", "lm"})  # fmt: skip
_FINISHES = re.compile(r"(?:finish|stop|end|done)_?reason", re.IGNORECASE)
_SOURCES = re.compile(
    r"sources?|documents?|docs|citations?|cites|refs|references|passages|chunks|context", re.I
)
_SIDES = {
    "prompt_tokens": r"prompt|input|in|query|question|request|sent|prompteval",
    "answer_tokens": r"completion|output|out|answer|response|generated|generation|eval|candidates",
    "total_tokens": r"total|all|sum",
    "reasoning_tokens": r"reasoning|thinking|thoughts?",
    "cached_tokens": r"cached|cacheread|cachehit",
}  # fmt: skip
_COST = re.compile(r"(?:total)?(?:cost|price|charge)(?:in)?(?:usd|dollars)?|usd", re.IGNORECASE)
_COUNTED = re.compile(r"usage|token|count|meter|stats|billing|cost", re.IGNORECASE)

Seen = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventField:
    """One proposed option of `custom`, its expression, and what that found, for a person."""

    option: str
    expression: str
    found: str


@dataclass(frozen=True, slots=True)
class EventFields:
    """Options of `custom` that read a stream, beside those of its request and its framing."""

    options: Mapping[str, Any]
    fields: tuple[EventField, ...]


@dataclass(slots=True)
class _Leaf:
    """A place in the events and its values, each with the number of its event."""

    path: str
    name: str
    above: tuple[str, ...]
    values: list[tuple[int, Any]] = field(default_factory=list)

    def texts(self) -> list[tuple[int, str]]:
        return [(at, value) for at, value in self.values if isinstance(value, str) and value]


@dataclass(frozen=True, slots=True)
class _Text:
    """A candidate for the text of the answer."""

    expression: str
    values: tuple[tuple[int, str], ...]
    cumulative: bool
    score: float


def event_fields(
    events: Sequence[StreamEvent], *, question: str, ends_with_body: bool = True
) -> EventFields | None:
    """What reads these events; None where no field looks like the text of an answer.

    `ends_with_body`: the body ended after the last event, as its framing says.
    """
    kept = [event for event in events if event.data or event.name][:MOST_EVENTS]
    prefixes = _prefixes(kept)
    seen = _seen(kept, prefixes)
    leaves = _leaves(seen)
    kinds = _kinds(seen, leaves)
    texts = sorted(_texts(seen, leaves, kinds, question), key=lambda text: -text.score)
    answers = [
        text for text in texts if not _THOUGHTS.search(text.expression) and _finds(text, seen)
    ]
    if not answers:
        return None
    answer = _preferred(answers)
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
    options["done"] = _done(seen, leaves, kinds, last, ends_with_body=ends_with_body)
    others = [leaf for leaf in leaves.values() if leaf.path != answer.expression]
    options |= _single(others, seen, last)
    if usage := _usage(others):
        options["usage"] = usage
    return EventFields(options, tuple(_found(options, seen)))


def _prefixes(events: Sequence[StreamEvent]) -> list[str]:
    """Prefixes of the data before its JSON, where most events have one and none is JSON alone."""
    found: dict[str, None] = {}
    fitting = 0
    for event in events:
        if match := _PREFIX.match(event.data):
            try:
                json.loads(event.data[match.end() :])
            except (ValueError, RecursionError):
                continue
            found[match[0]] = None
            fitting += 1
    return list(found) if 0 < len(found) <= MOST_PREFIXES and fitting * 5 >= len(events) * 4 else []


def _seen(events: Sequence[StreamEvent], prefixes: Sequence[str]) -> list[Seen]:
    """What expressions see of each event. In a stream of bare words a number is a word, too."""
    ordered = tuple(sorted(prefixes, key=len, reverse=True))
    reader = EventReader((), EventRule(None, {}, {}, {}, cumulative=False), ordered)
    seen = [reader.seen(event) for event in events]
    words = [one["_data"] for one in seen if one.get("_json", 0) is None and one["_data"].strip()]
    if any(not _MARKER.fullmatch(word) for word in words):
        return [
            one if isinstance(one.get("_json", {}), dict | list) else {**one, "_json": None}
            for one in seen
        ]
    return seen


def _leaves(seen: Sequence[Seen]) -> dict[str, _Leaf]:
    leaves: dict[str, _Leaf] = {}
    for at, one in enumerate(seen):
        for path, above, value in islice(_walk(one, "", (), 0), MOST_LEAVES):
            name = above[-1]
            leaf = leaves.setdefault(path, _Leaf(path, name, above[:-1]))
            leaf.values.append((at, value))
    return leaves


def _walk(
    value: object, path: str, above: tuple[str, ...], depth: int
) -> Iterator[tuple[str, tuple[str, ...], object]]:
    """Every scalar with its path; of a list the first three elements."""
    if isinstance(value, dict) and depth < MOST_DEPTH:
        for name, inner in value.items():
            if depth == 0 and name in ("_data", "_prefix", "_event"):
                continue
            step = name if _WORD.fullmatch(name) else json.dumps(name)
            yield from _walk(inner, f"{path}.{step}" if path else step, (*above, name), depth + 1)
        if depth == 0 and value.get("_json", 0) is None:
            yield "_data", ("_data",), value["_data"]
    elif isinstance(value, list) and depth < MOST_DEPTH:
        for number, inner in enumerate(value[:3]):
            yield from _walk(inner, f"{path}[{number}]", above, depth + 1)
    elif not isinstance(value, dict | list) and above:
        yield path, above, value


def _kinds(seen: Sequence[Seen], leaves: Mapping[str, _Leaf]) -> list[tuple[str, dict[int, str]]]:
    """Fields that tell kinds of events apart: an expression, and its value by event."""
    found: list[tuple[str, dict[int, str]]] = []
    for own in ("_event", "_prefix"):
        values = {at: str(one[own]) for at, one in enumerate(seen)}
        if len(set(values.values())) > 1:
            found.append((own, values))
    named = [
        leaf for leaf in leaves.values() if leaf.name.lower() in _KINDS or leaf.path == "_json[0]"
    ]
    for leaf in sorted(named, key=lambda leaf: (len(leaf.above), _order(leaf.name))):
        values = {at: value for at, value in leaf.values if isinstance(value, str)}
        distinct = set(values.values())
        if 1 <= len(distinct) <= MOST_KINDS and all(len(value) <= 60 for value in distinct):
            found.append((leaf.path, values))
    return found


def _order(name: str) -> int:
    return _KINDS.index(name.lower()) if name.lower() in _KINDS else 0


def _equals(path: str, value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{path} == '{quoted}'"


def _texts(
    seen: Sequence[Seen],
    leaves: Mapping[str, _Leaf],
    kinds: Sequence[tuple[str, dict[int, str]]],
    question: str,
) -> Iterator[_Text]:
    paths = {path for path, _ in kinds}
    for leaf in _with_lists(seen, leaves):
        values = leaf.texts()
        if len(values) > 1 and len({value for _, value in values}) == 1:
            continue
        if not values or (
            leaf.path in paths
            and len({v for _, v in values}) <= MOST_KINDS
            and (leaf.path == "_json[0]" or leaf.name.lower() in _KINDS)
        ):
            continue
        if leaf.path == "_data":
            yield from _bare_words(seen, values, kinds, question)
            continue
        yield from _conditioned(leaf, values, kinds, question)


def _with_lists(seen: Sequence[Seen], leaves: Mapping[str, _Leaf]) -> Iterator[_Leaf]:
    """The leaves; those that stand in several elements of a list joined to one."""
    for leaf in leaves.values():
        before, first, after = leaf.path.rpartition("[0]")
        tuple_like = before == "_json"  # the elements of ["token", "Hi"] are of different kinds
        if tuple_like or not first or f"{before}[1]{after}" not in leaves:
            if tuple_like or not re.search(r"(?<!_json)\[[12]\]", leaf.path):
                yield leaf
            continue
        joined = _Leaf(f"join('', {before}[]{after})", leaf.name, leaf.above)
        expression = compiled("text", joined.path)
        joined.values = [(at, expression.find(one)) for at, one in enumerate(seen)]
        yield joined


def _conditioned(
    leaf: _Leaf,
    values: list[tuple[int, str]],
    kinds: Sequence[tuple[str, dict[int, str]]],
    question: str,
) -> Iterator[_Text]:
    """The values of a field: all of them, and those of each kind of event alone."""
    for path, by_event in kinds:
        groups: dict[str | None, list[tuple[int, str]]] = {}
        for at, value in values:
            groups.setdefault(by_event.get(at), []).append((at, value))
        if len(groups) < 2 or (None in groups and path.rpartition(".")[2] not in ("type", "event")):
            continue
        if _late_state(path, groups, values):
            continue
        for kind, group in groups.items():
            condition = f"!{path}" if kind is None else _equals(path, kind)
            if text := _scored(leaf, f"{condition} && {leaf.path}", group, question):
                yield text
        return
    yield from _whole(leaf, values, question)


def _late_state(
    path: str, groups: Mapping[str | None, list[tuple[int, str]]], values: list[tuple[int, str]]
) -> bool:
    """Whether the kinds differ by progress alone: the last text has another status."""
    name = re.split(r"[.\[]", path)[-1].lower()
    return (
        name in ("status", "state", "phase", "stage")
        and len(groups) == 2
        and any(
            len(group) == 1 and group[0] == values[-1] and len(group[0][1]) < 40
            for group in groups.values()
        )
    )


def _whole(leaf: _Leaf, values: list[tuple[int, str]], question: str) -> Iterator[_Text]:
    joined = "".join(value for _, value in values[:-1])
    repeats = len(values) > 2 and values[-1][1].strip() == joined.strip()
    if text := _scored(leaf, leaf.path, values, question):
        if not repeats or text.cumulative:
            yield text
        else:  # the last event holds the whole answer again
            yield _Text(leaf.path, tuple(values), cumulative=True, score=text.score)


def _bare_words(
    seen: Sequence[Seen],
    values: list[tuple[int, str]],
    kinds: Sequence[tuple[str, dict[int, str]]],
    question: str,
) -> Iterator[_Text]:
    """Data that is no JSON: the answer itself, but for the words that mark its end."""
    conditions = [
        _not_equal("_data", value)
        for value in dict.fromkeys(v for _, v in values if _MARKER.fullmatch(v))
    ]
    words = [
        (at, value)
        for at, value in values
        if not _MARKER.fullmatch(value) and not value.lstrip().startswith(("{", "["))
    ]
    names = {str(seen[at]["_event"]) for at, _ in words}
    others = {str(one["_event"]) for at, one in enumerate(seen)} - names
    if any(isinstance(one.get("_json", {}), dict | list) for one in seen):
        conditions.append("!starts_with(_data, '{')")
    leaf = _Leaf("_data", "_data", ())
    if len(names) > 1:
        by_event = {at: str(seen[at]["_event"]) for at, _ in words}
        for name in names:
            group = [(at, value) for at, value in words if by_event[at] == name]
            expression = " && ".join((_equals("_event", name), *conditions, "_data"))
            if text := _scored(leaf, expression, group, question):
                yield text
        return
    if others and names:
        conditions.insert(0, _equals("_event", names.pop()))
    expression = " && ".join((*conditions, "_data"))
    if text := _scored(leaf, expression, words, question):
        yield text


def _not_equal(path: str, value: str) -> str:
    return _equals(path, value).replace(" == ", " != ", 1)


def _scored(
    leaf: _Leaf, expression: str, values: Sequence[tuple[int, str]], question: str
) -> _Text | None:
    """The candidate with its score; None where the values are no text of an answer."""
    texts = [value for _, value in values]
    if not texts or (len(texts) > 2 and len(set(texts)) == 1):
        return None
    cumulative = _is_cumulative(texts)
    whole = texts[-1] if cumulative else "".join(texts)
    readable = sum(c.isalnum() for c in whole)
    if whole.strip() == question.strip() or not readable or readable < len(whole) * 0.3:
        return None
    if all(_OPAQUE.fullmatch(text) for text in texts) or (len(texts) == 1 and len(whole) < 2):
        return None
    score = _TEXTS.get(_bare(leaf.name), -1.0)
    score += 3.0 * (len(texts) > 1) + min(len(texts), 20) / 10 + min(len(whole), 400) / 100
    score += 2.0 * (" " in whole.strip() or not whole.isascii())
    if _NO_ANSWER.match(leaf.name) and leaf.path != "_data":
        score -= 4.0
    score -= 4.0 * any(_NO_ANSWER.match(name) and name != "message" for name in leaf.above)
    return _Text(expression, tuple(values), cumulative, score) if score > 1.0 else None


def _is_cumulative(texts: Sequence[str]) -> bool:
    """Whether each text repeats the answer so far. The last may differ: citations are put in."""
    if len(texts) < 2:
        return False
    steps = [
        len(after) >= len(before) and after.startswith(before) for before, after in pairwise(texts)
    ]
    grows = len(texts[-1]) > len(texts[0]) >= 1
    if len(texts) == 2:
        return steps[0] and grows and len(texts[0]) >= 4
    return grows and all(steps[:-1]) and 2 * len(texts[-1]) > len(texts[-2])


def _finds(text: _Text, seen: Sequence[Seen]) -> bool:
    """Whether the expression finds the texts of the candidate, and no others."""
    expression = compiled("text", text.expression)
    found = [(at, value) for at, one in enumerate(seen) if (value := expression.find(one))]
    return [(at, value) for at, value in found if isinstance(value, str)] == list(text.values)


def _bare(name: str) -> str:
    return name if name.startswith("_") else re.sub(r"[^a-z0-9]", "", name.lower())


def _preferred(texts: Sequence[_Text]) -> _Text:
    """The best candidate; of two with the same text the one that comes in more pieces."""
    best = texts[0]
    for other in texts[1:]:
        if len(other.values) > len(best.values) > 0:
            whole = "".join(value for _, value in other.values).strip()
            if len(best.values) == 1 and whole and whole in best.values[0][1]:
                return other
    return best


# The end of the answer, and what stands beside its text.


def _done(
    seen: Sequence[Seen],
    leaves: Mapping[str, _Leaf],
    kinds: Sequence[tuple[str, dict[int, str]]],
    last: int,
    *,
    ends_with_body: bool,
) -> str:
    """An expression that is true for the first time after the last text, as late as possible."""
    candidates: dict[str, bool] = {}  # and whether its name says that it is an end
    for at, one in enumerate(seen):
        if at > last and one.get("_json", 0) is None and _MARKER.fullmatch(one["_data"]):
            candidates[_equals("_data", one["_data"])] = True
    for path, values in kinds:
        for at in sorted(values):
            if at > last and values[at] and not _STARTS.search(values[at]):
                candidates.setdefault(_equals(path, values[at]), bool(_ENDS.search(values[at])))
    for leaf in leaves.values():
        if any(value is True for _, value in leaf.values):
            candidates.setdefault(leaf.path, bool(_ENDS.search(leaf.name)))
        elif _FINISHES.fullmatch(leaf.name) and any(value for _, value in leaf.values):
            candidates.setdefault(leaf.path, True)
    found = []
    for text, named in candidates.items():
        first = _first(compiled("done", text), seen)
        if first is not None and first >= last and (named or first == len(seen) - 1 > last):
            found.append((named or not ends_with_body, first, -len(text), text))
    named_ones = [one for one in found if one[0]]
    return max(named_ones)[-1] if named_ones else CLOSE


def _first(expression: Expression, seen: Sequence[Seen]) -> int | None:
    return next((at for at, one in enumerate(seen) if expression.find(one)), None)


def _single(leaves: Iterable[_Leaf], seen: Sequence[Seen], last: int) -> Iterator[tuple[str, str]]:
    """Options `model`, `finish`, `error` and `sources`, as far as there are such fields."""
    leaves = list(leaves)
    if model := _named_model(leaves):
        yield "model", model
    for leaf in leaves:
        if _FINISHES.fullmatch(leaf.name) and leaf.texts():
            yield "finish", leaf.path
            break
    for leaf in leaves:
        if leaf.name.lower() in ("error", "err") and not leaf.texts():
            yield "error", leaf.path
            break
    for path in _lists(seen):
        yield "sources", path
        break


def _named_model(leaves: Sequence[_Leaf]) -> str | None:
    """The field that names a model: by its own name, else by values that are names of models."""
    constant = [leaf for leaf in leaves if len({value for _, value in leaf.texts()}) == 1]
    for leaf in constant:
        if _bare(leaf.name) in _MODELS:
            return leaf.path
    for leaf in constant:
        value = leaf.texts()[0][1]
        if (
            len(value) < 80
            and " " not in value.strip()
            and (parse(value).family and parse(value).model)
        ):
            return leaf.path
    return None


def _lists(seen: Sequence[Seen]) -> Iterator[str]:
    """Lists that hold what retrieval found."""
    for one in seen:
        for name, value in one.items():
            inner = value.items() if isinstance(value, dict) else ()
            for path, found in ((name, value), *((f"{name}.{key}", v) for key, v in inner)):
                plain_path = all(_WORD.fullmatch(part) for part in path.split("."))
                if (
                    plain_path
                    and isinstance(found, list)
                    and found
                    and isinstance(found[0], dict | str)
                    and _SOURCES.fullmatch(path.rpartition(".")[2])
                ):
                    yield path


def _usage(leaves: Iterable[_Leaf]) -> dict[str, str]:
    """Expressions of token counts and charges, by the names of the fields that hold them."""
    found: dict[str, str] = {}
    for leaf in leaves:
        values = [v for _, v in leaf.values if v is not None]
        if not values or any(isinstance(v, bool) for v in values):
            continue
        whole = all(isinstance(v, int) for v in values)
        if not whole and not all(isinstance(v, int | float | Decimal) for v in values):
            continue
        name = _bare(leaf.name)
        counted = "tok" in name or any(_COUNTED.search(part) for part in leaf.above)
        side = re.sub(r"^(?:n|num|number)(?=[a-z]{4})|tokens?|toks?|counts?|used|of", "", name)
        if _COST.fullmatch(name):
            found.setdefault("cost_usd", leaf.path)
        elif whole and counted:
            for option, pattern in _SIDES.items():
                if re.fullmatch(pattern, side):
                    found.setdefault(option, leaf.path)
    return found


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
            yield EventField(option, text, "nothing in this answer, which had no error")


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
