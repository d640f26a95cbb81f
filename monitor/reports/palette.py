"""Which colour and dash means what. Never colour alone: lines differ in dashes, unknown is hatched.

The hues are those of Okabe and Ito, which people of every kind of colour vision tell apart. An
expected model is a quiet grey, a fallback a warm hue: what matters stands out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from monitor.reports.data import Watched
from monitor.reports.frame import Key

QUERIES = 8  # styles q0 to q7, afterwards from the start


def query_style(place: int) -> str:
    return f"q{place % QUERIES}"


@dataclass(frozen=True, slots=True)
class Cast:
    """The models that answered a target by role, and the style each is drawn in."""

    expected: tuple[str, ...]
    fallback: tuple[str, ...]
    other: tuple[str, ...]
    unknown: bool

    def style(self, model: str | None) -> str:
        """The class of a model's area; an unknown one is hatched."""
        for role, models, styles in (("expected", self.expected, 3), ("fallback", self.fallback, 4),
                                     ("other", self.other, 2)):  # fmt: skip
            if model in models:
                return f"{role}{models.index(model) % styles}"
        return "unknown"

    def order(self, model: str | None) -> tuple[int, str]:
        """Fallbacks on top, then others, the unknown and, beneath, what was expected."""
        ranks = {"fallback": 0, "other": 1, "unknown": 2, "expected": 3}
        return ranks[self.style(model).rstrip("0123456789")], model or ""

    def keys(self) -> Iterator[Key]:
        for models, role in ((self.expected, " (expected)"), (self.fallback, " (fallback)"),
                             (self.other, "")):  # fmt: skip
            for model in models:
                yield Key(f"{model}{role}", self.style(model))
        if self.unknown:
            yield Key("model unknown", "unknown")


def cast(watched: Watched) -> Cast:
    """Everybody who answered in the span; a model's role is the one it mostly had."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item in watched.served:
        if item.model is not None:
            counts[item.model][item.identity] += item.answers
    roles = {model: found.most_common(1)[0][0] for model, found in sorted(counts.items())}
    return Cast(
        tuple(model for model, role in roles.items() if role == "expected"),
        tuple(model for model, role in roles.items() if role == "fallback"),
        tuple(model for model, role in roles.items() if role not in ("expected", "fallback")),
        any(item.model is None for item in watched.served),
    )
