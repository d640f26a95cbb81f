"""What to do first about each rule, and the SQL that shows what it saw."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta

from monitor.domain import ALL, Notice
from monitor.redaction import plain

BEFORE = timedelta(hours=1)  # shown ahead of an incident, to compare with
ALONE = timedelta(days=1)  # looked back where a notice has no beginning


@dataclass(frozen=True, slots=True)
class FirstStep:
    """`shows` is a query over schema `report`; `{rows}` stands for scope and time."""

    first: str
    shows: str


ADVICE: Mapping[str, FirstStep] = {
    "ttft": FirstStep(
        "Compare the queries: one slow query points at retrieval, all slow at model or host.",
        "SELECT started_at, query, ttft_ms, model_detected FROM report.observations "
        "WHERE {rows} ORDER BY started_at;",
    ),
    "fallback": FirstStep(
        "Check the primary provider's key, credit and rate limits: they fail exactly like this.",
        "SELECT started_at, query, identity, model_detected, confidence, cost_usd "
        "FROM report.observations WHERE {rows} ORDER BY started_at;",
    ),
    "model_changed": FirstStep(
        "Check the provider's key and routing. While it lasts, keep the answers: "
        "`monitor baseline capture --model NAME`. Change intended: `monitor baseline accept`.",
        "SELECT started_at, query, identity, model_disclosed, ttft_ms, cost_usd, identity_reason "
        "FROM report.observations WHERE {rows} ORDER BY started_at;",
    ),
    "spend": FirstStep(
        "See which model and which meter grew, then stop its cause or raise the limit knowingly.",
        "SELECT * FROM report.spend_daily ORDER BY 1 DESC LIMIT 7;",
    ),
    "down": FirstStep(
        "Open the service itself, then its host's status and its latest deploy.",
        "SELECT started_at, query, outcome, http_status, error FROM report.observations "
        "WHERE {rows} ORDER BY started_at;",
    ),
    "no_data": FirstStep(
        "See whether a worker runs and reaches the database: until then nothing is watched.",
        "SELECT * FROM report.health;",
    ),
    "key": FirstStep(
        "Renew the key or add credit at the provider, then see that fallback ends.",
        "SELECT started_at, target, outcome, error, model_detected FROM report.observations "
        "WHERE {rows} ORDER BY started_at;",
    ),
    "identity_unknown": FirstStep(
        "Run `monitor baseline show`: it lists what cannot be detected. Capture a baseline only "
        "while you know which model answers.",
        "SELECT started_at, query, model_disclosed, confidence FROM report.observations "
        "WHERE {rows} AND identity = 'unknown' ORDER BY started_at;",
    ),
    "unpriced": FirstStep(
        "Give the model a price in monitor.toml: until then spend is told as at least.",
        "SELECT model_detected, count(*) FROM report.observations "
        "WHERE {rows} AND cost_usd IS NULL AND cost_low_usd IS NULL GROUP BY 1 ORDER BY 2 DESC;",
    ),
    "probe_budget": FirstStep(
        "Probing pauses until the day ends: find what made probes dearer, or raise the budget.",
        "SELECT target, model_detected, count(*), sum(coalesce(cost_usd, cost_high_usd)) "
        "FROM report.observations "
        "WHERE {rows} GROUP BY 1, 2 ORDER BY 4 DESC;",
    ),
    "delivery": FirstStep(
        "Mend the webhook or the bot, then run `monitor test-alert`.",
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
    when = f"started_at BETWEEN '{start.astimezone(UTC):%Y-%m-%d %H:%M}Z' AND " \
           f"'{end.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z'"  # fmt: skip
    if notice.scope == ALL or notice.rule == "key":  # the scope of `key` is a provider
        return when
    # People copy this: the scope must stay inside its literal, and the literal inside code.
    scope = plain(notice.scope, 100).replace("`", "").replace("'", "''")
    return f"target = '{scope}' AND {when}"
