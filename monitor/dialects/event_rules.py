"""JMESPath expressions from the configuration, compiled once and applied to events.

Beside the standard functions there is `from_json(text)`, which parses JSON inside a text. Decimal
numbers are numbers in all functions and comparisons.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any, ParamSpec, TypeVar

import jmespath
from jmespath import functions, visitor
from jmespath.exceptions import JMESPathError, JMESPathTypeError

from monitor.dialects.answer_metadata import finish, sources
from monitor.dialects.answer_text import DISCONTINUED, CumulativeText
from monitor.dialects.json_fields import count, error_text_of, parsed, text_of
from monitor.dialects.reported_usage import amount, settled
from monitor.dialects.requests import known_only
from monitor.domain import Claim, ClaimKind, Counts, ParsedEvent, StreamEvent, Usage

REMEDY = "see JMESPath in docs/dialects.md; try it on one event at jmespath.org"
JSON_CHARS = 256 * 1024  # `from_json` does not parse a longer text
_ON_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(("_event", "_data", "_prefix"), ""),
    "_json": None,
    "_headers": {},
}


class _Functions(functions.Functions):
    """The standard functions, extended to decimal numbers, and `from_json`."""

    @functions.signature({"types": []})
    def _func_from_json(self, text: object) -> Any:
        """The JSON value in a text; null if the text is not JSON or is too long."""
        if not isinstance(text, str) or len(text) > JSON_CHARS:
            return None
        try:
            return parsed(text)
        except ValueError:
            return None

    def _convert_to_jmespath_type(self, pyobject: str) -> str:
        known = "number" if pyobject == "Decimal" else None
        return known or str(super()._convert_to_jmespath_type(pyobject))  # type: ignore[misc]

    def _get_allowed_pytypes(self, types: list[str]) -> tuple[list[str], list[tuple[str, ...]]]:
        allowed, inner = super()._get_allowed_pytypes(types)  # type: ignore[misc]
        numbers = functions.REVERSE_TYPES_MAP["number"]
        inner = [(*kinds, "Decimal") if kinds == numbers else kinds for kinds in inner]
        return [*allowed, "Decimal"] if "float" in allowed else allowed, inner


class _Interpreter(visitor.TreeInterpreter):
    """The standard interpreter, whose comparisons accept decimal numbers."""

    def visit_comparator(self, node: Mapping[str, Any], value: object) -> Any:
        left, right = (_exact(self.visit(child, value)) for child in node["children"])
        numbers = [n for n in (left, right) if _is_number(n)]
        if node["value"] in ("eq", "ne") or len(numbers) == 2:
            return self.COMPARATOR_FUNC[node["value"]](left, right)
        if isinstance(left, str) and isinstance(right, str):
            return self.COMPARATOR_FUNC[node["value"]](left, right)
        return None


def _exact(value: object) -> object:
    """A number literal as an exact decimal; any other value unchanged."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


_INTERPRETER = _Interpreter(jmespath.Options(custom_functions=_Functions()))


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression and its text."""

    text: str
    tree: Any  # of jmespath

    def find(self, seen: Mapping[str, Any]) -> Any:
        """The result, or None if the event does not match. Never raises."""
        try:
            return _INTERPRETER.visit(self.tree, seen)
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError):
            return None


def compiled(key: str, text: object) -> Expression:
    """The expression of option `key`. Raises ValueError naming key, text and remedy.

    It is tried on an empty event, because unknown functions show only when they are called.
    """
    if not isinstance(text, str):  # every error in an option is a ValueError
        raise ValueError(f"options.{key} = {text!r}: must be text in quotes; {REMEDY}")  # noqa: TRY004
    try:
        tree = jmespath.compile(text).parsed
        with suppress(JMESPathTypeError):
            _INTERPRETER.visit(tree, dict(_ON_NOTHING))
    except (JMESPathError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"options.{key} = {text!r}: {reason}; {REMEDY}") from error
    return Expression(text, tree)


# Rules by which a configured dialect reads its events, given as options with JMESPath.
#
# The expressions outside the rules form the last rule, which reads what no other rule matches.
# Source: docs/dialects.md


# expressions of one event: only the matching rule applies
CONTENT = ("text", "reasoning", "sources")
# expressions of the stream: searched in every event
WHOLE = ("done", "error", "finish", "model", "id")
SINGLE = (*CONTENT, *WHOLE)
TABLES = ("claims", "usage")
TOTAL = "total_tokens"  # decides which counts include which
USAGE = (*(field.name for field in fields(Usage) if field.compare), TOTAL)
CLOSE = "close"  # option `done`: the answer ends when the body ends
_KINDS = {"model": ClaimKind.FIELD, "id": ClaimKind.HEADER}

Seen = Mapping[str, Any]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EventRule:
    """What to search for in the events where `when` is true; None: in all events."""

    when: Expression | None
    single: Mapping[str, Expression]
    claims: Mapping[str, Expression]
    usage: Mapping[str, Expression]
    cumulative: bool  # each text repeats the answer so far

    def expressions(self) -> Iterator[tuple[str, Expression]]:
        """Every expression with its option, in the order of the documentation."""
        yield from self.single.items()
        yield from ((f"claims.{name}", found) for name, found in self.claims.items())
        yield from ((f"usage.{name}", found) for name, found in self.usage.items())


def attempt(faults: list[str], make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """The result of a function of the options; None, and the error in `faults`, on ValueError."""
    try:
        return make(*args, **kwargs)
    except ValueError as error:
        faults.append(str(error))
        return None


def event_rules(
    options: Mapping[str, Any], faults: list[str]
) -> tuple[Sequence[EventRule], EventRule]:
    """The rules in order, and the expressions outside them. Adds errors to `faults`."""
    beside = _rule(options, "", None, faults)
    given = options.get("rules", [])
    if not isinstance(given, list | tuple) or not all(isinstance(r, Mapping) for r in given):
        faults.append(f"options.rules = {given!r}: must be tables, [[targets.NAME.options.rules]]")
        given = []
    rules = []
    for number, one in enumerate(given, start=1):
        within = f"rules[{number}]."
        known = ("when", "cumulative", *SINGLE, *TABLES)
        attempt(faults, known_only, one, known, within=f"options.rules[{number}]")
        rules.append(_rule(one, within, beside, faults))
    return rules, beside


def _rule(
    options: Mapping[str, Any], within: str, beside: EventRule | None, faults: list[str]
) -> EventRule:
    def expressions(named: Mapping[str, Any], place: str) -> dict[str, Expression]:
        found = {n: attempt(faults, compiled, f"{place}{n}", text) for n, text in named.items()}
        return {name: expression for name, expression in found.items() if expression}

    tables = {name: attempt(faults, table, options, name, within) or {} for name in TABLES}
    attempt(faults, known_only, tables["usage"], USAGE, within=f"options.{within}usage")
    cumulative = options.get("cumulative", beside is not None and beside.cumulative)
    if not isinstance(cumulative, bool):
        faults.append(f"options.{within}cumulative = {cumulative!r}: must be true or false")
    named = {name: options[name] for name in SINGLE if name in options}
    if named.get("done") == CLOSE:
        del named["done"]
        if beside is not None:
            faults.append(
                f'options.{within}done = "close": rules cannot read the end of the body; '
                'set done = "close" next to the rules'
            )
    own = expressions(named, within)
    when = options.get("when") if beside else None
    return EventRule(
        when=None if when is None else attempt(faults, compiled, f"{within}when", when),
        single={n: e for n, e in beside.single.items() if n in WHOLE} | own if beside else own,
        claims={
            **(beside.claims if beside else {}),
            **expressions(tables["claims"], f"{within}claims."),
        },
        usage={
            **(beside.usage if beside else {}),
            **expressions(tables["usage"], f"{within}usage."),
        },
        cumulative=bool(cumulative),
    )


def table(options: Mapping[str, Any], name: str, within: str = "") -> Mapping[str, Any]:
    """The table of that name, empty if absent. Raises ValueError for anything else."""
    value = options.get(name, {})
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"options.{within}{name} = {value!r}: must be a table")


@dataclass(frozen=True, slots=True)
class EventReader:
    """Reads events by the first rule that matches. `prefixes` are removed from the data."""

    rules: Sequence[EventRule]
    beside: EventRule
    prefixes: Sequence[str] = ()

    def parser(self) -> Callable[[StreamEvent], ParsedEvent]:
        """Parser of one stream."""
        answer, thoughts = CumulativeText(), CumulativeText()
        any_cumulative = any(rule.cumulative for rule in (*self.rules, self.beside))

        def parse_event(event: StreamEvent) -> ParsedEvent:
            seen = self.seen(event)
            rule = self.rule(seen)
            received = _parsed_event(rule, seen)
            if not any(received.values()):
                return ParsedEvent(malformed=self._unreadable(seen))
            if not rule.cumulative:
                if any_cumulative:
                    answer.add(received["text"])
                    thoughts.add(received["reasoning"])
            else:
                received["text"], replaces = answer.so_far(received["text"])
                received["reasoning"], _ = thoughts.so_far(received["reasoning"])
                received |= {"replaces": replaces, "fault": DISCONTINUED if replaces else None}
            return ParsedEvent(**received)

        return parse_event

    def rule(self, seen: Seen) -> EventRule:
        """The first rule whose `when` is true: not null, false, zero or empty."""
        fitting = (r for r in self.rules if r.when is None or r.when.find(seen))
        return next(fitting, self.beside)

    def seen(self, event: StreamEvent) -> Seen:
        """The value that expressions see for an event."""
        prefix = next((p for p in self.prefixes if event.data.startswith(p)), "")
        try:
            value = parsed(event.data[len(prefix) :])
        except ValueError:
            value = None
        return {
            **(value if isinstance(value, dict) else {"_json": value}),
            "_event": event.name,
            "_data": event.data[len(prefix) :],
            "_prefix": prefix,
        }

    def _unreadable(self, seen: Seen) -> bool:
        """Whether an event without a match is not JSON either."""
        if seen.get("_json", True) is not None or (self.prefixes and not seen["_prefix"]):
            return False  # JSON, or a line of another kind
        return bool(seen["_data"].strip() not in ("", "null", "[DONE]"))

    def explain(self, event: StreamEvent) -> list[tuple[str, str, object]]:
        """Each option that reads the event, with its expression and the result."""
        seen = self.seen(event)
        rule = self.rule(seen)
        number = next((n for n, r in enumerate(self.rules, start=1) if r is rule), None)
        lines: list[tuple[str, str, object]] = []
        if number is not None:
            when = rule.when.text if rule.when else ""
            lines.append(
                (f"rules[{number}].when", when, rule.when.find(seen) if rule.when else True)
            )
        return [*lines, *((name, e.text, e.find(seen)) for name, e in rule.expressions())]


def _parsed_event(rule: EventRule, seen: Seen) -> dict[str, Any]:
    found = {name: expression.find(seen) for name, expression in rule.single.items()}
    return {
        "text": text_of(found.get("text")),
        "reasoning": text_of(found.get("reasoning")),
        "end": bool(found.get("done")),
        "error": error_text_of(found.get("error")),
        "finish": finish(found.get("finish")),
        "sources": sources(found.get("sources")),
        "claims": tuple(claims(rule, seen)),
        "usage": usage(rule, seen),
    }


def claims(rule: EventRule, seen: Seen) -> Iterator[Claim]:
    """The model claims that the rule finds."""
    named = {name: rule.single[name] for name in _KINDS if name in rule.single}
    for source, expression in (*named.items(), *rule.claims.items()):
        kind = _KINDS.get(source, ClaimKind.SIBLING)
        found = expression.find(seen)
        for value in found if isinstance(found, list) else [found]:
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                yield Claim(kind, source, str(value))


def usage(rule: EventRule, seen: Seen) -> Usage | None:
    """Tokens and money that the rule finds; None if it finds neither."""
    found = {name: expression.find(seen) for name, expression in rule.usage.items()}
    tokens = {name: count(value) for name, value in found.items() if not name.endswith("_usd")}
    counts = Counts(
        prompt=tokens.get("prompt_tokens"),
        answer=tokens.get("answer_tokens"),
        total=tokens.get(TOTAL),
        reasoning=tokens.get("reasoning_tokens"),
        cached=tokens.get("cached_tokens"),
        written=tokens.get("cache_write_tokens"),
        written_1h=tokens.get("cache_write_1h_tokens"),
    )
    charges = [amount(found.get(name)) for name in ("cost_usd", "upstream_cost_usd")]
    counted = settled(counts)
    faults = (*counted.faults, *(charge.fault for charge in charges if charge.fault))
    figures = replace(
        counted, cost_usd=charges[0].usd, upstream_cost_usd=charges[1].usd, faults=faults
    )
    return None if figures == Usage() and not faults else figures
