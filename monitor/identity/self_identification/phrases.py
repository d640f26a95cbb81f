"""Alternations of phrases, built so that matching takes linear time.

Two rules keep the patterns of this package linear. A repeated group is possessive, so that a text
cannot be matched as a repetition in two ways. The longest phrase is tried first, so that a
possessive group does not stop at a shorter phrase with the same beginning.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields

from monitor.data_files import DataTable, data_file

_LITERAL = re.compile(r"[^\W_]+")


def either(phrases: str) -> str:
    """An alternation written over several lines, as one pattern."""
    return re.sub(r"\n\s*", "", phrases)


def split(alternation: str) -> list[str]:
    """The alternatives of a pattern, in order; a bar within parentheses does not separate."""
    parts, depth, begun = [], 0, 0
    for at, character in enumerate(alternation):
        depth += (character == "(") - (character == ")")
        if character == "|" and not depth:
            parts.append(alternation[begun:at])
            begun = at + 1
    return [*parts, alternation[begun:]]


def grouped(alternation: str) -> str:
    """The same alternatives, without duplicates, longest first and grouped by first letter.

    The groups save time: the engine tries alternatives one after another.
    """
    groups: dict[str, list[str]] = {}
    whole: list[str] = []
    for phrase in sorted(dict.fromkeys(split(alternation)), key=len, reverse=True):
        if phrase[:1].isalpha() and phrase[1:2] not in tuple("?*+{"):
            groups.setdefault(phrase[0].lower(), []).append(phrase)
        else:
            whole.append(phrase)
    for letter, phrases in groups.items():
        if len(phrases) == 1 or any(phrase[0] != phrases[0][0] for phrase in phrases):
            whole += phrases
        else:
            whole.append(f"{letter}(?:{'|'.join(phrase[1:] for phrase in phrases)})")
    return "|".join(whole)


def first_words(alternation: str) -> frozenset[str]:
    """The lower-case words with which a match of plain phrases can begin.

    Understands groups and optional groups at the beginning, which is all that phrases use.
    """
    return frozenset(word for phrase in split(alternation) for word in _first_words(phrase))


def _first_words(phrase: str) -> Iterator[str]:
    if not phrase.startswith("(?:"):
        if found := _LITERAL.match(phrase):
            yield found[0].lower()
        return
    depth = 0
    depths = [depth := depth + (sign == "(") - (sign == ")") for sign in phrase]
    end = depths.index(0)
    yield from first_words(phrase[3:end])
    if phrase[end + 1 : end + 2] == "?":
        yield from first_words(phrase[end + 2 :].lstrip())


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguagePhrases:
    """The phrases of one language, as alternations; `languages.toml` describes the fields."""

    be: str
    denied: str
    article: str
    heads: str
    made: str
    of: str
    called: str
    was: str
    runs: str
    running: str
    makes: str
    maker: str
    role: str
    verbs: str = ""
    leading: bool = True
    trailing: bool = True
    definite: str = ""


_FLAGS, _OPTIONAL = {"leading", "trailing"}, {"verbs", "definite"}


def _language(table: DataTable) -> LanguagePhrases:
    names = {field.name for field in fields(LanguagePhrases)}
    table.knows(*names)
    return LanguagePhrases(
        **{name: table.alternation(name, optional=name in _OPTIONAL) for name in names - _FLAGS},
        leading=table.flag("leading", True),
        trailing=table.flag("trailing", True),
    )


LANGUAGES = tuple(map(_language, data_file(__package__, "languages.toml").tables().values()))
