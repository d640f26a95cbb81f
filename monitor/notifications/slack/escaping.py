"""Foreign text, escaped so that Slack shows it literally."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta

from monitor.domain import ALL, Notice, Subject
from monitor.redaction import plain
from monitor.rules import RULES

NOTHING = "–"  # Slack rejects an empty text
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FORMATTING = str.maketrans({"*": None, "~": None, "`": "'"})
_ITALICS = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")  # Slack does not format it within a word
_EMOJI = re.compile(r":(?=(?:[\w+'-]*[^\W\d_][\w+'-]*|[+-]1):)")  # not in 12:30:45
_LOOKED_AT = 4_000  # characters of foreign text: more than any of our limits
_LONGEST_CLUSTER = 16  # characters that may be dropped so that nothing like a cluster is split
_ZERO_WIDTH_JOINER = "\u200d"
_SKIN_TONES = frozenset("🏻🏼🏽🏾🏿")


def escaped(text: str, limit: int) -> str:
    """Foreign text as one line that cannot mention, link or format anything.

    At most `limit` characters after escaping; no entity and no cluster of characters is split.
    Never empty. `limit` is at least 2.
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
    """Foreign text without formatting characters, for use within formatted text."""
    plain_words = _ITALICS.sub("", text[:_LOOKED_AT].translate(_FORMATTING))
    return escaped(_EMOJI.sub("", plain_words), limit)


def code(text: str, limit: int) -> str:
    """Foreign text in a code span that it cannot close."""
    return f"`{escaped(text.replace('`', chr(39)), limit - 2)}`"


def _boundary(line: str, end: int) -> int:
    """The nearest position at or before `end` that splits no visible character."""
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


# The query that shows the evidence of a notice.


BEFORE = timedelta(hours=1)  # shown before the start of an incident, for comparison
ALONE = timedelta(days=1)  # shown if a notice has no start


def sql(notice: Notice) -> str | None:
    """The SQL that shows the evidence of a notice; None if there is none."""
    end = notice.until or notice.at
    return evidence_sql(notice.rule, notice.scope, since=notice.since, until=end)


def evidence_sql(rule: str, scope: str, *, since: datetime | None, until: datetime) -> str | None:
    """The SQL that shows what a rule saw of a scope up to a time; None if no rule has this name."""
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
    # People copy this: the scope must stay inside its literal, and the literal inside the code
    # span.
    target = plain(scope, 100).replace("`", "").replace("'", "''")
    return f"target = '{target}' AND {when}"
