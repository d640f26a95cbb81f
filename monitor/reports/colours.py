"""Which colour and dash means what. Never colour alone: lines differ in dashes, unknown is hatched.

The hues are those of Okabe and Ito, which people of every kind of colour vision tell apart. An
expected model is a quiet grey, a fallback a warm hue, a change violet: what matters stands out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from monitor.reports.axes import LegendKey
from monitor.reports.page_data import UNSURE, ModelAnswers, TargetReport

QUERIES = 8  # styles q0 to q7, afterwards from the start


def query_style(place: int) -> str:
    return f"q{place % QUERIES}"


# The class and the name in a legend of what is judged apart from its model.
UNSURE_KEYS = {
    "changed": LegendKey("changed: matches no known model", "changed"),
    "disputed": LegendKey("disputed: evidence for two models", "disputed"),
    "unknown": LegendKey("unknown: model not identified", "unknown"),
}


@dataclass(frozen=True, slots=True)
class ModelRoles:
    """The models that answered a target by role, and the style each is drawn in.

    `others` are models named only by answers that are changed, disputed or unknown, each with the
    identity it mostly had. `unsure` are those identities, as far as they occurred.
    """

    expected: tuple[str, ...]
    fallback: tuple[str, ...]
    others: Mapping[str, str]
    unsure: tuple[str, ...]

    def style(self, model: str | None, identity: str | None = None) -> str:
        """The class of an area; without an identity, the one that goes with the model."""
        if identity in UNSURE_KEYS:
            return UNSURE_KEYS[identity].style
        for role, models, styles in (
            ("expected", self.expected, 3),
            ("fallback", self.fallback, 4),
        ):
            if model in models:
                return f"{role}{models.index(model) % styles}"
        return self.others.get(model or "", "unknown")

    def order(self, item: ModelAnswers) -> tuple[int, str]:
        """Fallbacks on top, then what is changed, disputed, unknown and, beneath, expected."""
        ranks = {identity: place for place, identity in enumerate(("fallback", *UNSURE))}
        return ranks.get(item.identity, len(ranks)), item.model or ""

    def keys(self) -> Iterator[LegendKey]:
        for models, role in ((self.expected, " (expected)"), (self.fallback, " (fallback)")):
            for model in models:
                yield LegendKey(f"{model}{role}", self.style(model))
        yield from (UNSURE_KEYS[identity] for identity in self.unsure)


def model_roles(watched: TargetReport) -> ModelRoles:
    """Everybody who answered in the span; a model is expected or a fallback if it ever was."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item in watched.served:
        if item.model is not None:
            counts[item.model][item.identity] += item.answers
    roles = {}
    for model, found in sorted(counts.items()):
        known = Counter({role: found[role] for role in ("expected", "fallback") if found[role]})
        roles[model] = (known or found).most_common(1)[0][0]
    seen = {item.identity for item in watched.served}
    return ModelRoles(
        tuple(model for model, role in roles.items() if role == "expected"),
        tuple(model for model, role in roles.items() if role == "fallback"),
        {model: role for model, role in roles.items() if role in UNSURE},
        tuple(identity for identity in UNSURE if identity in seen),
    )
