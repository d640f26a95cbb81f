"""Checks of an answer's content: what each canned query expects (`expect` in the configuration).

Each check is linear in the answer, except a pattern of the user's own: the caller limits its CPU
time. Source: docs/alerts.md#answer_check
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from monitor.domain import (
    AnswerExpectation,
    Finish,
    counted,
)
from monitor.identity.fingerprint.features import LANGUAGES, other_than
from monitor.redaction import plain

LONGEST = 200_000  # characters that are examined
SHOWN = 60  # characters of a value in a message
_FENCE = re.compile(r"\A(```|~~~)[\w+-]*[ \t]*\r?\n(.*)\n[ \t]*\1\Z", re.DOTALL)
# Models write these in place of the plain characters that a person writes into a configuration.
_PLAIN = str.maketrans("‘’‚ʼ“”„‐‑", "''''\"\"\"--", "\u00ad\u200b\u2060\ufeff")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """The parts of an answer that checks examine.

    `sources`: the number of retrieved sources; None if the protocol lists none. `cut`: we ended the
    stream early, so that what is missing at its end proves nothing.
    """

    text: str
    finish: Finish | None = None
    sources: int | None = None
    cut: bool = False
    folded: str = ""  # the text as `contains` compares it; `failed_check` sets it


# What is wrong, in words; nothing where the check passes or is not wanted.
Check = Callable[[AnswerExpectation, CheckedAnswer], Iterator[str]]


def failed_check(expect: AnswerExpectation, answer: CheckedAnswer) -> str | None:
    """The first check that an answer fails, as `name: what is wrong`; None if it passes all."""
    text = _whole_characters(answer.text[:LONGEST])
    # A blank in a wanted text matches the beginning and the end, too.
    compared = f" {folded(text)} " if expect.contains or expect.not_contains else ""
    answer = replace(answer, text=text, folded=compared)
    for name, check in CHECKS.items():
        if answer.cut and name in WHOLE:
            continue
        for wrong in check(expect, answer):
            return f"{name}: {wrong}"
    return None


def _whole_characters(text: str) -> str:
    """The text in composed form. Halves of a character from two events are one character again."""
    if text.isascii():
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return unicodedata.normalize("NFC", joined)


def folded(text: str) -> str:
    """A text as `contains` compares it: without differences of case, white space and typography."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).translate(_PLAIN)
    return _BLANKS.sub(" ", text.casefold())


def _complete(expect: AnswerExpectation, answer: CheckedAnswer) -> Iterator[str]:
    if expect.complete and answer.finish is Finish.LENGTH:
        yield f"the token limit cut the answer after {counted(len(answer.text), 'character')}"


def _contains(expect: AnswerExpectation, answer: CheckedAnswer) -> Iterator[str]:
    for wanted in expect.contains:
        if folded(wanted) not in answer.folded:
            yield f"“{_short(wanted)}” is missing"


def _not_contains(expect: AnswerExpectation, answer: CheckedAnswer) -> Iterator[str]:
    for unwanted in expect.not_contains:
        if folded(unwanted) in answer.folded:
            yield f"the answer contains “{_short(unwanted)}”"


def _matches(expect: AnswerExpectation, answer: CheckedAnswer) -> Iterator[str]:
    if expect.matches is not None and not re.search(expect.matches, answer.text):
        yield f"the pattern “{_short(expect.matches)}” is not found"


def _min_chars(expect: AnswerExpectation, answer: CheckedAnswer) -> Iterator[str]:
    if expect.min_chars is not None and len(answer.text.strip()) < expect.min_chars:
        chars = counted(len(answer.text.strip()), "character")
        yield f"the answer has {chars}, {_expected(expect.min_chars)}"


def _max_chars(expect: AnswerExpectation, answer: CheckedAnswer) -> Iterator[str]:
    if expect.max_chars is not None and len(answer.text.strip()) > expect.max_chars:
        yield (
            f"the answer has more than {counted(expect.max_chars, 'character')}: at least "
            f"{len(answer.text.strip()):,}"
        )


def _language(expect: AnswerExpectation, answer: CheckedAnswer) -> Iterator[str]:
    if expect.language is not None and (found := other_than(expect.language, answer.text)):
        yield f"the answer is in {found}, expected is {expect.language}"


def _sources(expect: AnswerExpectation, answer: CheckedAnswer) -> Iterator[str]:
    if expect.sources_at_least is not None and (answer.sources or 0) < expect.sources_at_least:
        found = counted(answer.sources, "source") if answer.sources else "no sources"
        yield f"the answer has {found}, {_expected(expect.sources_at_least)}"


def _expected(least: int) -> str:
    return f"at least {least:,} {'is' if least == 1 else 'are'} expected"


def _json(expect: AnswerExpectation, answer: CheckedAnswer) -> Iterator[str]:
    if expect.json:
        stripped = answer.text.strip().strip("\ufeff")
        fenced = _FENCE.match(stripped)
        try:  # a number may have more digits than Python converts
            json.loads(
                fenced[2] if fenced else stripped, parse_int=str, parse_constant=_no_constant
            )
        except RecursionError:
            yield "the answer is nested too deeply to be read as JSON"
        except ValueError as error:
            yield f"the answer is not one JSON document ({plain(str(error), SHOWN)})"


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def visible(text: str) -> str:
    """A text that an answer can be searched for. Raises ValueError."""
    if not folded(text).strip():
        raise ValueError("must not be empty")
    return text


def pattern(text: str) -> str:
    """A regular expression that Python can compile. Raises ValueError."""
    if not text:
        raise ValueError("must not be empty: every answer matches it")
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression ({error}): correct the pattern") from None
    return text


def known_language(name: str) -> str:
    """A language or script that answers can be recognised in. Raises ValueError."""
    if name.lower() not in LANGUAGES:
        raise ValueError(f"unknown language: write one of {', '.join(LANGUAGES)}")
    return name.lower()


def _short(text: str) -> str:
    return plain(text, SHOWN)


CHECKS: dict[str, Check] = {
    "complete": _complete,
    "contains": _contains,
    "not_contains": _not_contains,
    "matches": _matches,
    "min_chars": _min_chars,
    "max_chars": _max_chars,
    "language": _language,
    "sources_at_least": _sources,
    "json": _json,
}
# They need the end of the answer.
WHOLE = frozenset({"complete", "contains", "matches", "min_chars", "sources_at_least", "json"})
