"""Words and figures as people read them, and foreign text as Slack shows it literally."""

import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from decimal import Decimal

from monitor.domain import ALL, Notice, lasting, usd_text
from monitor.redaction import plain

NOTHING = "–"  # Slack refuses an empty text
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FORMATTING = str.maketrans("", "", "*_~`:")
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
    """Foreign text without the characters that format, for use within formatted text."""
    return escaped(text.translate(_FORMATTING), limit)


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


def amount(rule: str, value: float | Decimal, *, limit: float | Decimal | None = None) -> str:
    """A value of a rule with its unit, or its limit: then `limit` is the same number."""
    if not (math.isfinite(value) and -1e12 < value < 1e12):
        return f"{value:g}"
    if rule in _MONEY:
        return usd_text(value, beside=limit, exact=value == limit)
    return _UNITS.get(rule, _number)(value)


def _number(value: float | Decimal) -> str:
    return f"{float(value):g}"


def _ms(value: float | Decimal) -> str:
    return f"{value:,.0f} ms"


def _share(value: float | Decimal) -> str:
    return f"{100 * value:.1f}".removesuffix(".0") + " %"


def _seconds(value: float | Decimal) -> str:
    return lasting(timedelta(seconds=float(value)))


def _minutes(value: float | Decimal) -> str:
    return lasting(timedelta(minutes=float(value)))


_MONEY = ("spend", "probe_budget")
_UNITS: Mapping[str, Callable[[float | Decimal], str]] = {
    "ttft": _ms,
    "fallback": _share,
    "model_changed": _share,
    "no_data": _seconds,
    "identity_unknown": _share,
    "unpriced": _share,
    "delivery": _minutes,
}


# What to do first about each rule, and the SQL that shows what it saw.


BEFORE = timedelta(hours=1)  # shown ahead of an incident, to compare with
ALONE = timedelta(days=1)  # looked back where a notice has no beginning


@dataclass(frozen=True, slots=True)
class FirstStep:
    """`shows` is a query over schema `report`; `{rows}` stands for scope and time."""

    first: str
    shows: str


ADVICE: Mapping[str, FirstStep] = {
    "ttft": FirstStep(
        "Compare the queries: one slow query points to retrieval, all slow to model or host.",
        "SELECT started_at, query, ttft_ms, model_detected FROM report.observations "
        "WHERE {rows} ORDER BY started_at;",
    ),
    "fallback": FirstStep(
        "Check the key, credit and rate limits at the primary provider.",
        "SELECT started_at, query, identity, model_detected, confidence, cost_usd "
        "FROM report.observations WHERE {rows} ORDER BY started_at;",
    ),
    "model_changed": FirstStep(
        "Check the provider's key and routing. To keep the new answers: "
        "`monitor baseline capture --model NAME`. If intended: `monitor baseline accept`.",
        "SELECT started_at, query, identity, model_disclosed, ttft_ms, cost_usd, identity_reason "
        "FROM report.observations WHERE {rows} ORDER BY started_at;",
    ),
    "spend": FirstStep(
        "Find the model and meter that grew, then stop the cause or raise the limit.",
        "SELECT * FROM report.spend_daily ORDER BY 1 DESC LIMIT 7;",
    ),
    "down": FirstStep(
        "Check the service itself, then its host's status and the latest deployment.",
        "SELECT started_at, query, outcome, http_status, error FROM report.observations "
        "WHERE {rows} ORDER BY started_at;",
    ),
    "no_data": FirstStep(
        "Check that a worker runs and reaches the database; nothing is monitored until then.",
        "SELECT * FROM report.health;",
    ),
    "key": FirstStep(
        "Renew the key or add credit at the provider, then check that the fallback ends.",
        "SELECT started_at, target, outcome, error, model_detected FROM report.observations "
        "WHERE {rows} ORDER BY started_at;",
    ),
    "identity_unknown": FirstStep(
        "Run `monitor baseline show` to see what cannot be detected. Capture a baseline only "
        "while you know which model answers.",
        "SELECT started_at, query, model_disclosed, confidence FROM report.observations "
        "WHERE {rows} AND identity = 'unknown' ORDER BY started_at;",
    ),
    "unpriced": FirstStep(
        "Add a price for the model to monitor.toml; until then spend is a lower bound.",
        "SELECT model_detected, count(*) FROM report.observations "
        "WHERE {rows} AND cost_usd IS NULL AND cost_low_usd IS NULL GROUP BY 1 ORDER BY 2 DESC;",
    ),
    "probe_budget": FirstStep(
        "Find what made probes more expensive, or raise the budget.",
        "SELECT target, model_detected, count(*), sum(coalesce(cost_usd, cost_high_usd)) "
        "FROM report.observations "
        "WHERE {rows} GROUP BY 1, 2 ORDER BY 4 DESC;",
    ),
    "delivery": FirstStep(
        "Fix the webhook or the bot, then run `monitor test-alert`.",
        "SELECT * FROM report.health;",
    ),
}


def sql(notice: Notice) -> str | None:
    """The query that shows what a notice tells of; None where there is none to show."""
    advice = ADVICE.get(notice.rule)
    return advice.shows.format(rows=_rows(notice)) if advice else None


def _rows(notice: Notice) -> str:
    start = notice.since - BEFORE if notice.since else notice.at - ALONE
    end = notice.until or notice.at
    when = (
        f"started_at BETWEEN '{start.astimezone(UTC):%Y-%m-%d %H:%M}Z' AND "
        f"'{end.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z'"
    )
    if notice.scope == ALL or notice.rule == "key":  # the scope of `key` is a provider
        return when
    # People copy this: the scope must stay inside its literal, and the literal inside code.
    scope = plain(notice.scope, 100).replace("`", "").replace("'", "''")
    return f"target = '{scope}' AND {when}"
