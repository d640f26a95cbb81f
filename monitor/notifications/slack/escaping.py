"""Foreign text as Slack shows it literally."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta

from monitor.domain import ALL, Notice, Subject
from monitor.redaction import plain
from monitor.rules import RULES

NOTHING = "–"  # Slack refuses an empty text
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FORMATTING = str.maketrans({"*": None, "~": None, "`": "'"})
_ITALICS = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")  # within a word Slack shows it as it is
_EMOJI = re.compile(r":(?=(?:[\w+'-]*[^\W\d_][\w+'-]*|[+-]1):)")  # not in 12:30:45
_LOOKED_AT = 4_000  # characters of foreign text: no limit of ours is longer
_LONGEST_CLUSTER = 16  # characters we give up rather than split what looks like one
_ZERO_WIDTH_JOINER = "\u200d"
_SKIN_TONES = frozenset("🏻🏼🏽🏾🏿")


def escaped(text: str, limit: int) -> str:
    """Foreign text as one line that cannot mention, link or format anybody or anything.

    At most `limit` characters after escaping; no entity is split, and no cluster of
    characters that looks like one. Never empty. `limit` is at least 2.
    """
    line = plain(text, _LOOKED_AT) or NOTHING
    pieces = [_ENTITIES.get(character, character) for character in line]
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    end, room = 0, limit - 1
    while len(pieces[end]) <= room:
        room -= len(pieces[end])
        end += 1
    return "".join(pieces[: _boundary(line, end)]).rstrip() + "…"


def bare(text: str, limit: int) -> str:
    """Foreign text without what formats it, for use within formatted text."""
    plain_words = _ITALICS.sub("", text[:_LOOKED_AT].translate(_FORMATTING))
    return escaped(_EMOJI.sub("", plain_words), limit)


def code(text: str, limit: int) -> str:
    """Foreign text in a code span, which nothing inside it can leave."""
    return f"`{escaped(text.replace('`', chr(39)), limit - 2)}`"


def _boundary(line: str, end: int) -> int:
    """The nearest place at or before `end` where a character as people see it begins."""
    for place in range(end, max(end - _LONGEST_CLUSTER, 0), -1):
        if not _joined(line[place - 1], line[place]):
            return place
    return end


def _joined(before: str, after: str) -> bool:
    return (
        _ZERO_WIDTH_JOINER in (before, after)
        or unicodedata.category(after).startswith("M")  # accents, variation selectors, keycaps
        or after in _SKIN_TONES
        or (_flag(before) and _flag(after))
    )


def _flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


# The query that shows what a notice is about.


BEFORE = timedelta(hours=1)  # shown ahead of an incident, to compare with
ALONE = timedelta(days=1)  # looked back where a notice has no beginning


def sql(notice: Notice) -> str | None:
    """The SQL that shows the evidence of a notice; None if there is none."""
    end = notice.until or notice.at
    return evidence_sql(notice.rule, notice.scope, since=notice.since, until=end)


def evidence_sql(rule: str, scope: str, *, since: datetime | None, until: datetime) -> str | None:
    """The SQL that shows what a rule saw of a scope up to a time; None for what is no rule."""
    kind = RULES.get(rule)
    if kind is None:
        return None
    return kind.evidence_sql.format(rows=_rows(scope, kind.subject, since, until))


def _rows(scope: str, subject: Subject, since: datetime | None, end: datetime) -> str:
    start = since - BEFORE if since else end - ALONE
    when = (
        f"started_at BETWEEN '{start.astimezone(UTC):%Y-%m-%d %H:%M}Z' AND "
        f"'{end.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z'"
    )
    if scope == ALL or subject is not Subject.TARGET:
        return when
    # People copy this: the scope must stay inside its literal, and the literal inside code.
    target = plain(scope, 100).replace("`", "").replace("'", "''")
    return f"target = '{target}' AND {when}"
