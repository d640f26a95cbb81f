"""Which colour and dash means what. Never colour alone: lines differ in dashes, unknown is hatched.

The hues are those of Okabe and Ito, which people of every kind of colour vision tell apart. An
expected model is a quiet grey, a fallback a warm hue: what matters stands out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from monitor.reports.data import Watched
from monitor.reports.frame import Key

QUERIES = 8  # styles q0 to q7, afterwards from the start
_EXPECTED, _FALLBACK, _OTHER = 3, 4, 2  # styles of each role


def query_style(place: int) -> str:
    return f"q{place % QUERIES}"


@dataclass(frozen=True, slots=True)
class Cast:
    """The models that answered a target, each with its role's style."""

    expected: tuple[str, ...]
    fallback: tuple[str, ...]
    other: tuple[str, ...]
    unknown: bool

    def style(self, model: str | None) -> str:
        """The class of a model's area; an unknown one is hatched."""
        if model in self.expected:
            return f"expected{self.expected.index(model) % _EXPECTED}"
        if model in self.fallback:
            return f"fallback{self.fallback.index(model) % _FALLBACK}"
        if model in self.other:
            return f"other{self.other.index(model) % _OTHER}"
        return "unknown"

    def order(self, model: str | None) -> tuple[int, str]:
        """Fallbacks on top, then others, the unknown and, beneath, what was expected."""
        ranks = {"fallback": 0, "other": 1, "unknown": 2, "expected": 3}
        return ranks[self.style(model).rstrip("0123456789")], model or ""

    def keys(self) -> Iterator[Key]:
        for model in self.expected:
            yield Key(f"{model} (expected)", self.style(model))
        for model in self.fallback:
            yield Key(f"{model} (fallback)", self.style(model))
        for model in self.other:
            yield Key(model, self.style(model))
        if self.unknown:
            yield Key("model unknown", "unknown")


def cast(watched: Watched) -> Cast:
    """Everybody who answered in the span."""
    seen = {item.model for item in (*watched.served, *watched.served_daily)}
    named = sorted(model for model in seen if model is not None)
    expected = tuple(m for m in watched.expected if m in seen)
    fallback = tuple(m for m in watched.fallback if m in seen and m not in expected)
    other = tuple(m for m in named if m not in expected and m not in fallback)
    return Cast(expected, fallback, other, None in seen)
