"""Finds the field with the answer text in the events of an unknown stream.

It uses names, values, and the order in which values change: the text of an answer arrives in many
different deltas; other texts, such as notes about a search, are in another kind of event.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

from monitor.dialects.event_rules import EventReader, EventRule, compiled
from monitor.domain import StreamEvent

MOST_LEAVES, MOST_PATHS, MOST_DEPTH = 200, 300, 8  # of an event; of a stream; of nesting
MOST_KINDS = 40  # values of one field that distinguishes kinds of events
MOST_PREFIXES = 16

MARKER = re.compile(
    r"\s*[\[<|/]{0,3}(?:done|end|eos|stop|finish(?:ed)?|complete|s)[\]>|]{0,3}\s*", re.IGNORECASE
)
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,16}[:|=] ?(?=[{\[\"])")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPAQUE = re.compile(r"[0-9A-Fa-f-]{16,}|[0-9T:.Z+-]{10,}|[A-Za-z0-9+/_-]{24,}=*")
_KINDS = ("type", "event", "kind", "object", "op", "action", "status", "phase", "step", "role",
          "name", "channel", "node", "stage", "state", "category", "code", "tag")  # fmt: skip
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

Seen = Mapping[str, Any]  # the data that expressions read from one event


@dataclass(slots=True)
class EventLeaf:
    """A path in the events and its values, each with the number of its event."""

    path: str
    name: str
    above: tuple[str, ...]
    values: list[tuple[int, Any]] = field(default_factory=list)

    def texts(self) -> list[tuple[int, str]]:
        return [(at, value) for at, value in self.values if isinstance(value, str) and value]


@dataclass(frozen=True, slots=True)
class TextCandidate:
    """A candidate for the text of the answer."""

    expression: str
    values: tuple[tuple[int, str], ...]
    cumulative: bool
    score: float


def prefixes_of(events: Sequence[StreamEvent]) -> list[str]:
    """Prefixes of the data before its JSON, if most events have one and none is JSON alone."""
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


def seen_in(events: Sequence[StreamEvent], prefixes: Sequence[str]) -> list[Seen]:
    """The data that expressions read from each event. In a stream of words, a number is a word."""
    ordered = tuple(sorted(prefixes, key=len, reverse=True))
    reader = EventReader((), EventRule(None, {}, {}, {}, cumulative=False), ordered)
    seen = [reader.seen(event) for event in events]
    words = [one["_data"] for one in seen if one.get("_json", 0) is None and one["_data"].strip()]
    if any(not MARKER.fullmatch(word) for word in words):
        return [
            one if isinstance(one.get("_json", {}), dict | list) else {**one, "_json": None}
            for one in seen
        ]
    return seen


def leaves_of(seen: Sequence[Seen]) -> dict[str, EventLeaf]:
    leaves: dict[str, EventLeaf] = {}
    for at, one in enumerate(seen):
        for path, above, value in islice(_walk(one, "", (), 0), MOST_LEAVES):
            name = above[-1]
            if path not in leaves and len(leaves) >= MOST_PATHS:
                continue
            leaf = leaves.setdefault(path, EventLeaf(path, name, above[:-1]))
            leaf.values.append((at, value))
    return leaves


def _walk(
    value: object, path: str, above: tuple[str, ...], depth: int
) -> Iterator[tuple[str, tuple[str, ...], object]]:
    """Every scalar with its path; of a list only the first three elements."""
    if isinstance(value, dict) and depth < MOST_DEPTH:
        for name, inner in value.items():
            if depth == 0 and name in ("_data", "_prefix", "_event"):
                continue
            inside = f"{path}.{step(name)}" if path else step(name)
            yield from _walk(inner, inside, (*above, name), depth + 1)
        if depth == 0 and value.get("_json", 0) is None:
            yield "_data", ("_data",), value["_data"]
    elif isinstance(value, list) and depth < MOST_DEPTH:
        for number, inner in enumerate(value[:3]):
            yield from _walk(inner, f"{path}[{number}]", above, depth + 1)
    elif not isinstance(value, dict | list) and above:
        yield path, above, value


def step(name: str) -> str:
    """A field's name in an expression."""
    return name if _WORD.fullmatch(name) else json.dumps(name)


def kinds_of(
    seen: Sequence[Seen], leaves: Mapping[str, EventLeaf]
) -> list[tuple[str, dict[int, str]]]:
    """Fields that distinguish kinds of events: an expression, and its value for each event."""
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


def equals(path: str, value: str) -> str:
    """A condition. A raw string can hold no backslash; and ` && ` separates conditions."""
    if "\\" in value or "&&" in value:
        literal = json.dumps(value).replace("`", r"\u0060").replace("&", r"\u0026")
        return f"{path} == `{literal}`"
    quoted = value.replace("'", r"\'")
    return f"{path} == '{quoted}'"


def text_candidates(
    seen: Sequence[Seen],
    leaves: Mapping[str, EventLeaf],
    kinds: Sequence[tuple[str, dict[int, str]]],
    question: str,
) -> Iterator[TextCandidate]:
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


def _with_lists(seen: Sequence[Seen], leaves: Mapping[str, EventLeaf]) -> Iterator[EventLeaf]:
    """The leaves; those in several elements of one list are joined into one."""
    for leaf in leaves.values():
        before, first, after = leaf.path.rpartition("[0]")
        tuple_like = before == "_json"  # the elements of ["token", "Hi"] have different meanings
        if tuple_like or not first or f"{before}[1]{after}" not in leaves:
            if tuple_like or not re.search(r"(?<!_json)\[[12]\]", leaf.path):
                yield leaf
            continue
        joined = EventLeaf(f"join('', {before}[]{after})", leaf.name, leaf.above)
        expression = compiled("text", joined.path)
        joined.values = [(at, expression.find(one)) for at, one in enumerate(seen)]
        yield joined


def _conditioned(
    leaf: EventLeaf,
    values: list[tuple[int, str]],
    kinds: Sequence[tuple[str, dict[int, str]]],
    question: str,
) -> Iterator[TextCandidate]:
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
            condition = f"!{path}" if kind is None else equals(path, kind)
            if text := _scored(leaf, f"{condition} && {leaf.path}", group, question):
                yield text
        return
    yield from _whole(leaf, values, question)


def _late_state(
    path: str, groups: Mapping[str | None, list[tuple[int, str]]], values: list[tuple[int, str]]
) -> bool:
    """Whether the kinds differ by progress alone: the last text has a different status."""
    name = re.split(r"[.\[]", path)[-1].lower()
    return (
        name in ("status", "state", "phase", "stage")
        and len(groups) == 2
        and any(
            len(group) == 1 and group[0] == values[-1] and len(group[0][1]) < 40
            for group in groups.values()
        )
    )


def _whole(
    leaf: EventLeaf, values: list[tuple[int, str]], question: str
) -> Iterator[TextCandidate]:
    joined = "".join(value for _, value in values[:-1])
    repeats = len(values) > 2 and values[-1][1].strip() == joined.strip()
    if text := _scored(leaf, leaf.path, values, question):
        if not repeats or text.cumulative:
            yield text
        else:  # the last event repeats the whole answer
            yield TextCandidate(leaf.path, tuple(values), cumulative=True, score=text.score)


def _bare_words(
    seen: Sequence[Seen],
    values: list[tuple[int, str]],
    kinds: Sequence[tuple[str, dict[int, str]]],
    question: str,
) -> Iterator[TextCandidate]:
    """Data that is not JSON: the answer itself, except the words that mark its end."""
    conditions = [
        _not_equal("_data", value)
        for value in dict.fromkeys(v for _, v in values if MARKER.fullmatch(v))
    ]
    words = [
        (at, value)
        for at, value in values
        if not MARKER.fullmatch(value) and not value.lstrip().startswith(("{", "["))
    ]
    names = {str(seen[at]["_event"]) for at, _ in words}
    others = {str(one["_event"]) for at, one in enumerate(seen)} - names
    if any(isinstance(one.get("_json", {}), dict | list) for one in seen):
        conditions.append("!starts_with(_data, '{')")
    leaf = EventLeaf("_data", "_data", ())
    if len(names) > 1:
        by_event = {at: str(seen[at]["_event"]) for at, _ in words}
        for name in names:
            group = [(at, value) for at, value in words if by_event[at] == name]
            expression = " && ".join((equals("_event", name), *conditions, "_data"))
            if text := _scored(leaf, expression, group, question):
                yield text
        return
    if others and names:
        conditions.insert(0, equals("_event", names.pop()))
    expression = " && ".join((*conditions, "_data"))
    if text := _scored(leaf, expression, words, question):
        yield text


def _not_equal(path: str, value: str) -> str:
    return equals(path, value).replace(" == ", " != ", 1)


def _scored(
    leaf: EventLeaf, expression: str, values: Sequence[tuple[int, str]], question: str
) -> TextCandidate | None:
    """The candidate with its score; None if the values cannot be the text of an answer."""
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
    score = _TEXTS.get(bare_name(leaf.name), -1.0)
    score += 3.0 * (len(texts) > 1) + min(len(texts), 20) / 10 + min(len(whole), 400) / 100
    score += 2.0 * (" " in whole.strip() or not whole.isascii())
    if _NO_ANSWER.match(leaf.name) and leaf.path != "_data":
        score -= 4.0
    score -= 4.0 * any(_NO_ANSWER.match(name) and name != "message" for name in leaf.above)
    return TextCandidate(expression, tuple(values), cumulative, score) if score > 1.0 else None


def _is_cumulative(texts: Sequence[str]) -> bool:
    """Whether each text repeats the answer so far. The last may differ: citations are inserted."""
    if len(texts) < 2:
        return False
    steps = [
        len(after) >= len(before) and after.startswith(before) for before, after in pairwise(texts)
    ]
    grows = len(texts[-1]) > len(texts[0]) >= 1
    if len(texts) == 2:
        return steps[0] and grows and len(texts[0]) >= 4
    return grows and all(steps[:-1]) and 2 * len(texts[-1]) > len(texts[-2])


def finds(text: TextCandidate, seen: Sequence[Seen]) -> bool:
    """Whether the expression finds exactly the texts of the candidate."""
    expression = compiled("text", text.expression)
    found = [(at, value) for at, one in enumerate(seen) if (value := expression.find(one))]
    return [(at, value) for at, value in found if isinstance(value, str)] == list(text.values)


def bare_name(name: str) -> str:
    return name if name.startswith("_") else re.sub(r"[^a-z0-9]", "", name.lower())


def preferred(texts: Sequence[TextCandidate]) -> TextCandidate:
    """The best candidate; of two with the same text, the one with more deltas."""
    best = texts[0]
    for other in texts[1:]:
        if len(other.values) > len(best.values) > 0:
            whole = "".join(value for _, value in other.values).strip()
            if len(best.values) == 1 and whole and whole in best.values[0][1]:
                return other
    return best
