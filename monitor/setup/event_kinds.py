"""What events of an unknown stream are about, by the name or type that they have.

`event: sources` with a list of any name lists the sources; `event: usage` counts tokens; `event:
model` names the model. Source: docs/dialects.md#custom
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from monitor.dialects.event_rules import compiled
from monitor.setup.answer_text_fields import MOST_KINDS, EventLeaf, Seen, bare_name, equals, step

_STRONG = r"sources?|documents?|docs?|citations?|cites?|references?|refs?|footnotes?|attributions?"
_NOUN = rf"{_STRONG}|passages?|chunks?|contexts?"
_FOUND = (
    r"retriev(?:ed|al|er)|search|source|relevant|rag|kb|knowledge|context|grounding|cited|"
    r"used|vector|web|supporting|reference"
)
_LEAD = r"on|all|final|answer|response|message|file|url|list|tool"
_TAIL = r"list|found|retrieved|used|updated?|ready|event|end|data|items|results?"
# Fields and events that hold sources, as bare names: `source_documents` is `sourcedocuments`.
_SURE = re.compile(rf"(?:{_LEAD})?(?:{_FOUND}){{0,2}}(?:{_STRONG})(?:{_TAIL})?")
_SOURCES = re.compile(rf"{_SURE.pattern}|(?:{_FOUND}){{0,2}}(?:{_NOUN})|retrieved|retrieval")
_FIELDS = re.compile(rf"{_SOURCES.pattern}|(?:{_FOUND}){{1,2}}(?:results?|hits?|matches|nodes)")
_RESULTS = re.compile(rf"(?:on)?(?:{_FOUND}){{1,2}}(?:results?|hits?|matches|nodes|end)?")
_CALL = re.compile(r'(?:from_json|values)\(|[")]')
_TOKENS = re.compile(r"tok|usage", re.IGNORECASE)
_TOKEN_SIDES = re.compile(r".*tok.*|prompt.*|completion.*|input|output")
_ID = re.compile(r"\d*|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{20,}", re.IGNORECASE)
_COUNTS = re.compile(r"count|total|n|num|number")
# Lists in the same events that hold no sources.
_OTHER_LISTS = re.compile(
    r".*(?:suggest|followup|question|quer(?:y|ies)|message|history).*|actions?|tools?|steps?"
)
_USAGES = re.compile(
    r"(?:token|llm|model|api)?(?:usages?|stats|statistics|metrics?|billing|costs?|meters?)|"
    r"tokens?counts?"
)
_MODELS = re.compile(
    r"(?:llm|ai|used|selected|answering)?(?:model|llm|engine)(?:info|name|used|id)?"
)
_MODEL_FIELDS = ("model", "name", "id", "value", "_json", "_data")
_SESSION = re.compile(
    r"(?:session|conversation|thread|chat|dialog(?:ue)?)(?:id|uuid|key)|sessionid"
)
_SESSIONS = re.compile(r"(?:session|conversation|thread|chat)(?:info|started?|created|id)?")
_SESSION_FIELDS = ("id", "uuid", "key", "session", "value", "_json", "_data")
_DEPTH, _MOST_LISTS = 4, 50

Kinds = Sequence[tuple[str, Mapping[int, str]]]


@dataclass(frozen=True, slots=True)
class EventKind:
    """Events with the same name or type: the expression that selects them, and their numbers."""

    condition: str
    numbers: frozenset[int]
    tuples: bool  # ["sources", …]: the first element is the name


def kinds_named(kinds: Kinds, *names: re.Pattern[str]) -> Iterator[EventKind]:
    """The kinds of events with one of these bare names."""
    for path, values in kinds:
        if "[" in path and path != "_json[0]":  # of an entry in a list, not of the event
            continue
        for value in islice(dict.fromkeys(values.values()), MOST_KINDS):
            if any(name.fullmatch(bare_name(value)) for name in names):
                numbers = frozenset(at for at, other in values.items() if other == value)
                yield EventKind(equals(path, value), numbers, path == "_json[0]")


def events_of_sources(kinds: Kinds) -> frozenset[int]:
    """The events whose name says that they list sources."""
    return frozenset().union(*(kind.numbers for kind in kinds_named(kinds, _SOURCES)))


def usage_leaves(leaves: Iterable[EventLeaf], kinds: Kinds) -> Iterator[EventLeaf]:
    """The fields of events whose name says that they count tokens or money."""
    return _leaves_of(leaves, kinds, _USAGES)


def token_counts(leaves: Iterable[EventLeaf]) -> Iterator[EventLeaf]:
    """Those of these numbers that count tokens, by the names around them.

    Statistics and metrics may also be times: there one number must be named as tokens are.
    """
    leaves = list(leaves)
    named = {_place(leaf) for leaf in leaves if _TOKEN_SIDES.fullmatch(bare_name(leaf.name))}
    for leaf in leaves:
        around = (bare_name(leaf.name), *leaf.above, leaf.path.partition(" && ")[0])
        if _place(leaf) in named or any(map(_TOKENS.search, around)):
            yield leaf


def _place(leaf: EventLeaf) -> str:
    """The object in which a field is: its condition and the path above it."""
    condition, _, path = leaf.path.rpartition(" && ")
    return f"{condition} && {path.rpartition('.')[0]}"


def model_path(leaves: Iterable[EventLeaf], kinds: Kinds) -> str | None:
    """The field of an event whose name says that it names the model."""
    named = (leaf for leaf in _leaves_of(leaves, kinds, _MODELS) if not _identifies(leaf))
    return _named(named, _MODEL_FIELDS)


def _identifies(leaf: EventLeaf) -> bool:
    """Whether its values are numbers or ids of something else, such as of a run."""
    return any(not isinstance(value, str) or _ID.fullmatch(value) for _, value in leaf.values)


def session_path(leaves: Sequence[EventLeaf], kinds: Kinds) -> str | None:
    """The field with the id of the session or conversation."""
    for leaf in leaves:
        if _SESSION.fullmatch(bare_name(leaf.name)) and _constant(leaf):
            return leaf.path
    return _named(_leaves_of(leaves, kinds, _SESSIONS), _SESSION_FIELDS)


def _named(leaves: Iterable[EventLeaf], names: Sequence[str]) -> str | None:
    """The one that has the first of these names, if it always has one value without spaces."""
    found = {bare_name(leaf.name): leaf.path for leaf in leaves if _constant(leaf)}
    return next((found[name] for name in names if name in found), None)


def _constant(leaf: EventLeaf) -> bool:
    values = {value for _, value in leaf.values}
    text = str(next(iter(values)))
    known = all(isinstance(value, str | int) and not isinstance(value, bool) for value in values)
    return len(values) == 1 and known and 0 < len(text) < 80 and not re.search(r"\s", text.strip())


def _leaves_of(
    leaves: Iterable[EventLeaf], kinds: Kinds, names: re.Pattern[str]
) -> Iterator[EventLeaf]:
    """The fields in events of these names, each with the condition that selects its events."""
    leaves = list(leaves)
    for kind in kinds_named(kinds, names):
        for leaf in leaves:
            values = [(at, value) for at, value in leaf.values if at in kind.numbers]
            if not values or (kind.tuples and leaf.path == "_json[0]"):
                continue
            path = f"{kind.condition} && {leaf.path}"
            yield EventLeaf(path, leaf.name, leaf.above, values)


def sources_path(seen: Sequence[Seen], kinds: Kinds, *, text: str = "") -> tuple[str, bool] | None:
    """The expression of the list of retrieved sources, and whether it has entries.

    It is known by its own name, else by its event's. A list with entries is preferred: an answer
    that needs no documents may have an empty one. `text`: the expression of the answer text, which
    may be in a list, too.
    """
    found = [one for one in _sources(seen, kinds) if not _within(one[0], text)]
    best = max(found, key=lambda one: bool(one[1]), default=None)
    return best and (best[0], bool(best[1]))


def _within(path: str, text: str) -> bool:
    """Whether the answer text lies in this list."""
    place = path.rpartition(" && ")[2]
    return f"{place}[" in text and path.rpartition(" && ")[0] in text


def _sources(seen: Sequence[Seen], kinds: Kinds) -> Iterator[tuple[str, Any]]:
    for one in seen:
        for path, value in _lists(one):
            *above, name = map(bare_name, _CALL.sub("", path).split("."))
            if _FIELDS.fullmatch(name) or any(map(_SURE.fullmatch, above)):
                yield path, value
    for names, objects in ((_SOURCES, False), (_RESULTS, True)):
        for kind in kinds_named(kinds, names):
            yield from _in_events(seen, kind, objects=objects)


def _in_events(
    seen: Sequence[Seen], kind: EventKind, *, objects: bool
) -> Iterator[tuple[str, Any]]:
    """The lists in events of one kind, then their number alone. `objects`: only lists of these."""
    numbers = []
    for at in sorted(kind.numbers):
        one = seen[at]
        lists = [
            (path, value)
            for path, value in _lists(one, tuples=kind.tuples)
            if (not objects or (value and isinstance(value[0], dict)))
            and not _OTHER_LISTS.fullmatch(bare_name(path.rpartition(".")[2]))
        ]
        lists = [one for one in lists if not one[0].startswith("values(")] or lists
        lists.sort(key=lambda item: (-_weight(item[1]), item[0].count(".")))
        yield from ((f"{kind.condition} && {path}", value) for path, value in lists)
        numbers += [
            (f"{kind.condition} && {step(name)}", value)
            for name, value in one.items()
            if isinstance(value, int)
            and not isinstance(value, bool)
            and _COUNTS.fullmatch(bare_name(name))
        ]
    yield from numbers


def _weight(value: Sequence[Any]) -> int:
    """Objects before texts before an empty list."""
    return 2 if value and isinstance(value[0], dict) else int(bool(value))


def _lists(one: Seen, *, tuples: bool = False) -> Iterator[tuple[str, list[Any]]]:
    """The lists of texts or objects in an event, also empty ones, also in JSON inside a text."""
    found: list[tuple[str, list[Any]]] = []
    _walk(dict(one), "", 0, tuples, found)
    yield from found


def _is_conversation(entries: Sequence[Any]) -> bool:
    return all(isinstance(one, dict) and {"role", "content"} <= one.keys() for one in entries)


def _walk(
    value: object, path: str, depth: int, tuples: bool, found: list[tuple[str, list[Any]]]
) -> None:
    if len(found) >= _MOST_LISTS:
        return
    if isinstance(value, dict) and depth < _DEPTH:
        if depth and value and all(isinstance(inner, dict) for inner in value.values()):
            found.append((f"values({path})", list(value.values())))  # by their names
        for name, inner in value.items():
            if depth or name not in ("_data", "_event", "_prefix"):
                _walk(
                    inner, f"{path}.{step(name)}" if path else step(name), depth + 1, tuples, found
                )
    elif isinstance(value, list):
        if path == "_json" and tuples:
            for nth, inner in enumerate(value[1:4], start=1):
                _walk(inner, f"_json[{nth}]", depth + 1, tuples=False, found=found)
        elif not value or (isinstance(value[0], dict | str) and not _is_conversation(value)):
            found.append((path, value))
    elif isinstance(value, str) and value.lstrip().startswith("["):
        inner = compiled("sources", "from_json(@)").find(value)  # type: ignore[arg-type]
        if isinstance(inner, list):
            _walk(inner, f"from_json({path})", depth + 1, tuples=False, found=found)
