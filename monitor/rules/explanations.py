"""What failed probes have in common: it distinguishes a rejected key from an overload."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from monitor.domain import (
    Identity,
    Outcome,
    Sample,
    counted,
)
from monitor.error_text import error_text
from monitor.identity.model_names.common_name import common_name
from monitor.redaction import plain

_SHORT = 120  # characters of a service's error message
_NAMED = 3  # kinds of failure in one sentence
_STATUS = re.compile(r"(HTTP \d{3})(?:: (.*))?")
# request ids and times: failures that differ only in these are the same
_VARIES = re.compile(r"[0-9a-f]{6,}|[0-9]+")
# Outcomes as a header phrases them. Source: docs/metrics.md#outcomes
_WORDS_OF = {
    Outcome.REFUSED: "connection refused",
    Outcome.CONNECT: "no connection",
    Outcome.DNS: "name not found",
    Outcome.TLS: "TLS failure",
    Outcome.TIMEOUT_FIRST_TOKEN: "no first token in time",
    Outcome.STALLED: "stalled stream",
    Outcome.DEADLINE: "answer not finished in time",
    Outcome.TRUNCATED: "cut stream",
    Outcome.PROTOCOL: "broken protocol",
    Outcome.EMPTY: "empty answer",
    Outcome.HTTP_STATUS: "HTTP error",
    Outcome.UNAVAILABLE: "HTTP 503",
    Outcome.ERROR_EVENT: "error in the stream",
    Outcome.TOO_LARGE: "answer too large",
    Outcome.CONTENT_TYPE: "wrong content type",
}
_SAID_BY_SERVICE = (Outcome.HTTP_STATUS, Outcome.UNAVAILABLE, Outcome.ERROR_EVENT)
_WORDS = "words: "  # kinds distinguished by the service's message


def named(failed: Sequence[Sample]) -> str:
    """The kinds of failure, most frequent first, each with its most frequent error text.

    Probes are one kind if they share the HTTP status, else the service's message, else the outcome.
    The text is one short line from the service: a message must escape it.
    """
    kinds = Counter(_kind(sample) for sample in failed).most_common()
    reported = [
        _said(kind, [s for s in failed if _kind(s) == kind], count if len(kinds) > 1 else None)
        for kind, count in kinds[:_NAMED]
    ]
    if more := sum(count for _, count in kinds[_NAMED:]):
        reported.append(f"{more} {'other' if more == 1 else 'others'}")
    return ", ".join(reported)


def failure_words(failed: Sequence[Sample]) -> str:
    """The failures in a few words, the most frequent first: `HTTP 500`, `cut stream and HTTP 503`.

    Of more than two kinds: `HTTP 500, cut stream and others`.
    """
    kinds = Counter(
        kind if kind.startswith("HTTP ") else _WORDS_OF.get(sample.outcome, sample.outcome.value)
        for sample in failed
        for kind in [_kind(sample)]
    )
    words = [words for words, _ in kinds.most_common(2)]
    return f"{', '.join(words)} and others" if len(kinds) > 2 else " and ".join(words)


def reported_error(failed: Sequence[Sample]) -> str:
    """The most frequent error message of the service, one short line; foreign text."""
    texts = Counter(
        text for sample in failed if sample.outcome in _SAID_BY_SERVICE and (text := _text(sample))
    ).most_common(1)
    return texts[0][0] if texts else ""


def _said(kind: str, alike: Sequence[Sample], count: int | None) -> str:
    texts = Counter(text for text in map(_text, alike) if text).most_common(1)
    if not texts:
        if kind.startswith("HTTP "):
            return f"{kind} ({count})" if count else kind
        return f"{len(alike)} {kind}"
    text = texts[0][0] if kind.startswith(_WORDS) else f"{kind}: {texts[0][0]}"
    return f"{text} ({count})" if count else text


def _kind(sample: Sample) -> str:
    if sample.error and (status := _STATUS.fullmatch(sample.error)):
        return status[1]
    if sample.outcome is Outcome.ERROR_EVENT and sample.error:
        return _WORDS + _VARIES.sub("#", _words(sample.error))
    return sample.outcome.value


def _text(sample: Sample) -> str:
    """The message of the service or network for one failure; empty if there is none."""
    error = sample.error or ""
    status = _STATUS.fullmatch(error)
    return _words((status[2] or "") if status else error)


@lru_cache(maxsize=512)  # the same failure many times
def _words(text: str) -> str:
    return plain(error_text(text), _SHORT)


# Which models answered in a span, in one sentence: a fact in messages about latency and money.
#
# A slow or expensive service may run on another model, and the reader sees it there.


FACT = "Who answered"
_NAMES = 2  # fallbacks named

Counts = Mapping[tuple[Identity, str | None], int]  # answers by identity and model


def answered_by(counts: Counts, *, expected: str | None) -> str | None:
    """The count of each identity other than expected; None if all answers are expected."""
    of = Counter[Identity]()
    for (identity, _), count in counts.items():
        of[identity] += count
    whole = of.total()
    if of[Identity.EXPECTED] == whole:
        return None
    ours = common_name(expected) if expected else "the expected model"
    stated = {  # the verb in the singular and in the plural, and the rest
        Identity.FALLBACK: ("came", "came", f"from {_fallbacks(counts)}, not from {ours}"),
        Identity.CHANGED: ("no longer matches", "no longer match", f"{ours}; model not identified"),
        Identity.DISPUTED: ("has", "have", "evidence for two models"),
        Identity.UNKNOWN: ("names", "name", "no model; model not identified"),
    }
    return ". ".join(
        f"{of[identity]} of {counted(whole, 'answer')} {stated[identity][of[identity] != 1]} "
        f"{stated[identity][2]}"
        for identity in stated
        if of[identity]
    )


def matching(count: int, of: int) -> str:
    """`14 of the last 15 answers match`; of a single one, `The latest answer does not match`."""
    if of == 1:
        return "The latest answer " + ("matches" if count else "does not match")
    return f"{count} of the last {of} answers {'matches' if count == 1 else 'match'}"


def _fallbacks(counts: Counts) -> str:
    """The fallbacks by name, the most frequent first."""
    named = Counter(
        {
            model: count
            for (identity, model), count in counts.items()
            if identity is Identity.FALLBACK and model is not None
        }
    )
    shown = (common_name(model) for model, _ in named.most_common(_NAMES))
    return ", ".join(shown) or "another model"
