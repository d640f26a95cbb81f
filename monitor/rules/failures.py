"""What failed probes have in common, in words that tell a key from an overload."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from monitor.domain import Outcome, Sample
from monitor.error_text import error_text
from monitor.redaction import plain

_SHORT = 120  # characters of a service's own words
_NAMED = 3  # kinds of failure in one sentence
_STATUS = re.compile(r"(HTTP \d{3})(?:: (.*))?")
_VARIES = re.compile(r"[0-9a-f]{6,}|[0-9]+")  # request ids, times: the same failure all the same
_WORDS = "words: "  # kinds told apart by what the service said


def named(failed: Sequence[Sample]) -> str:
    """The kinds of failure, most frequent first, each with its most frequent error text.

    Probes count as one kind by their HTTP status, else by what the service said, else by their
    outcome. The text is one short line, and foreign: a message must escape it.
    """
    kinds = Counter(_kind(sample) for sample in failed).most_common()
    reported = [
        _said(kind, [s for s in failed if _kind(s) == kind], count if len(kinds) > 1 else None)
        for kind, count in kinds[:_NAMED]
    ]
    if more := sum(count for _, count in kinds[_NAMED:]):
        reported.append(f"{more} others")
    return ", ".join(reported)


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
    """What the service or the network said of one failure; empty if nothing."""
    error = sample.error or ""
    status = _STATUS.fullmatch(error)
    return _words((status[2] or "") if status else error)


@lru_cache(maxsize=512)  # the same failure again and again
def _words(text: str) -> str:
    return plain(error_text(text), _SHORT)
