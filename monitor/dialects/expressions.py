"""JMESPath expressions of a configuration: compiled once, and looked for in events.

Beside the functions of the specification there is `from_json(text)`, which parses JSON that
stands inside a text. Decimal numbers are numbers for all functions and comparisons.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import jmespath
from jmespath import functions, visitor
from jmespath.exceptions import JMESPathError, JMESPathTypeError

from monitor.dialects.json_fields import parsed

REMEDY = "see JMESPath in docs/dialects.md; try it on one event at jmespath.org"
JSON_CHARS = 256 * 1024  # a longer text is not parsed by `from_json`
_ON_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(("_event", "_data", "_prefix"), ""),
    "_json": None,
    "_headers": {},
}


class _Functions(functions.Functions):
    """The functions of the specification, for decimal numbers as well, and `from_json`."""

    @functions.signature({"types": []})
    def _func_from_json(self, text: object) -> Any:
        """The JSON value in a text; null where the text is none, or longer than we parse."""
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
    """The interpreter of the specification, whose comparisons know decimal numbers."""

    def visit_comparator(self, node: Mapping[str, Any], value: object) -> Any:
        left, right = (_exact(self.visit(child, value)) for child in node["children"])
        numbers = [n for n in (left, right) if _is_number(n)]
        if node["value"] in ("eq", "ne") or len(numbers) == 2:
            return self.COMPARATOR_FUNC[node["value"]](left, right)
        if isinstance(left, str) and isinstance(right, str):
            return self.COMPARATOR_FUNC[node["value"]](left, right)
        return None


def _exact(value: object) -> object:
    """A number of a literal as the decimal that was written; everything else as it is."""
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
        """What it finds; None in an event that it does not fit. Never raises."""
        try:
            return _INTERPRETER.visit(self.tree, seen)
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError):
            return None


def compiled(key: str, text: object) -> Expression:
    """The expression of option `key`. Raises ValueError naming key, text and remedy.

    It is tried on an event without fields, for unknown functions show only when run.
    """
    if not isinstance(text, str):  # faults of options are ValueErrors, whatever they are
        raise ValueError(f"options.{key} = {text!r}: must be text in quotes; {REMEDY}")  # noqa: TRY004
    try:
        tree = jmespath.compile(text).parsed
        with suppress(JMESPathTypeError):
            _INTERPRETER.visit(tree, dict(_ON_NOTHING))
    except (JMESPathError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"options.{key} = {text!r}: {reason}; {REMEDY}") from error
    return Expression(text, tree)
