"""Who gave the answers of a span, in one sentence: a fact of messages about speed and money.

A slow or an expensive service may simply run on another model. The reader should see it there.
"""

from collections import Counter
from collections.abc import Mapping

from monitor.domain import Identity

FACT = "Who answered"
_NAMES = 2  # fallbacks named

Counts = Mapping[tuple[Identity, str | None], int]  # answers by identity and model


def answered_by(counts: Counts, *, expected: str | None) -> str | None:
    """Every identity but the expected one with its count; None where all answers are expected."""
    of = Counter[Identity]()
    for (identity, _), count in counts.items():
        of[identity] += count
    whole = of.total()
    if of[Identity.EXPECTED] == whole:
        return None
    reported = {
        Identity.FALLBACK: f"came from {_fallbacks(counts)}",
        Identity.CHANGED: f"no longer match {expected or 'the expected model'}; model not "
        "identified",
        Identity.DISPUTED: "have evidence for two models",
        Identity.UNKNOWN: "name no model; model not identified",
    }
    return ". ".join(
        f"{of[identity]} of {whole} answers {text}" for identity, text in reported.items()
        if of[identity]
    )  # fmt: skip


def _fallbacks(counts: Counts) -> str:
    """The fallbacks by name, the most frequent first."""
    named = Counter({
        model: count for (identity, model), count in counts.items()
        if identity is Identity.FALLBACK and model is not None
    })  # fmt: skip
    return ", ".join(model for model, _ in named.most_common(_NAMES)) or "another model"
