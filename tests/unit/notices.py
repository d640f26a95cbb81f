"""Notices of every status and rule. Their exact messages stand in `messages/*.json`.

`python -m tests.unit.notices` writes them again: read the difference before you keep it.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from monitor.domain import ALL, Finding, Notice, NoticeStatus
from monitor.notifications.slack.render import SlackMessage, render

SNAPSHOTS = Path(__file__).parent / "messages"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def notice(status: NoticeStatus, rule: str, sentence: str, **more: object) -> Notice:
    given: dict[str, object] = {"scope": "nuzantara", "at": NOON, "number": 42}
    if status is NoticeStatus.NOTICE:
        given["number"] = None
    return Notice(id=UUID(int=1), status=status, rule=rule, sentence=sentence, **(given | more))  # type: ignore[arg-type]


def rows(count: int) -> tuple[UUID, ...]:
    return tuple(UUID(int=number) for number in range(1, count + 1))


TTFT = {"value": 1840.4, "limit": 1200.0, "since": NOON - timedelta(minutes=30), "rows": rows(3)}
HAIKU = {
    "Answers": "anthropic/claude-haiku-4-5 instead of meta-llama/llama-4-scout",
    "Evidence": "4 of 6 by token accounting, 2 by the name in the stream",
    "Cost per query": "$0.0031, before $0.0002",
    "Cost per day": "$1.05, before $0.07",
}
CASES = {
    "ttft_firing": notice(
        NoticeStatus.FIRING,
        "ttft",
        "the mean of each of the last 3 rounds is over 1,200 ms",
        **TTFT,
    ),
    "ttft_still_firing": notice(
        NoticeStatus.STILL_FIRING,
        "ttft",
        "the mean of each of the last 51 rounds is over 1,200 ms",
        **(TTFT | {"since": NOON - timedelta(hours=28), "repeated": True, "peak": 2100.0}),
    ),
    "ttft_resolved": notice(
        NoticeStatus.RESOLVED,
        "ttft",
        "rounds are back at 610 ms",
        value=610.0,
        limit=1200.0,
        since=NOON - timedelta(minutes=72),
        until=NOON,
        peak=2310.0,
    ),
    "fallback_firing_and_slow": notice(
        NoticeStatus.FIRING,
        "fallback",
        "6 of the last 10 answers (60 %) came from Claude Haiku 4.5",
        value=0.6,
        limit=0.1,
        since=NOON - timedelta(minutes=4),
        finding=Finding(cause="OpenRouter rejects the key since 11:41 UTC"),
        facts=HAIKU | {"TTFT": "1,840 ms, limit 1,200 ms"},
        rows=rows(6),
    ),
    "model_changed_firing": notice(
        NoticeStatus.FIRING,
        "model_changed",
        "Answers no longer match Llama 4 Scout since 2026-11-23 11:54 UTC: "
        "6 of 6 answers (100%) to 3 queries differ (confidence > 99.9 %). "
        "The answering model is unknown.",
        value=1.0,
        limit=0.1,
        since=NOON - timedelta(minutes=6),
        facts={
            "Difference": "Answers no longer match the writing style of "
            "meta-llama/llama-4-scout (more bold, fewer emoji); the answering model is unknown.",
            "TTFT": "1127 ms, before 843 ms",
            "Cost a query": "unknown, because the model is unknown, before $0.000152",
        },
        rows=rows(6),
    ),
    "spend_firing": notice(
        NoticeStatus.FIRING,
        "spend",
        "2026-11-23 (UTC) has cost at least $2.04",
        scope=ALL,
        value=Decimal("2.0412"),
        limit=Decimal("2.00"),
        since=NOON.replace(hour=0),
        facts={"Probes": "$0.31", "Traffic": "$1.73", "Account": "not known: no key is set"},
    ),
    "spend_at_this_rate": notice(
        NoticeStatus.NOTICE,
        "spend",
        "at this rate $2.00 is crossed at 15:40 UTC",
        scope=ALL,
        value=Decimal("0.9"),
        limit=Decimal(2),
    ),
    "down_firing": notice(
        NoticeStatus.FIRING,
        "down",
        "5 of the last 6 probes failed",
        value=5.0,
        limit=5.0,
        since=NOON - timedelta(seconds=45),
        facts={"Failed": "refused 3, timeout_first_token 2"},
        rows=rows(5),
    ),
    "no_data_firing": notice(
        NoticeStatus.FIRING,
        "no_data",
        "nothing stored for 15 min",
        value=905.0,
        limit=900.0,
        since=NOON - timedelta(minutes=15),
    ),
    "key_firing": notice(
        NoticeStatus.FIRING,
        "key",
        "OpenRouter rejects the key (401)",
        scope="openrouter",
        since=NOON - timedelta(minutes=5),
        finding=Finding(first_step="Put a new key into OPENROUTER_API_KEY and restart."),
    ),
    "key_notice": notice(
        NoticeStatus.NOTICE, "key", "the key expires in 6 days", scope="openrouter"
    ),
    "identity_unknown_notice": notice(
        NoticeStatus.NOTICE,
        "identity_unknown",
        "half of the answers tell nothing",
        value=0.5,
        limit=0.3,
    ),
    "unpriced_notice": notice(
        NoticeStatus.NOTICE, "unpriced", "3 of 10 answers have no price", value=0.3, limit=0.0
    ),
    "probe_budget_firing": notice(
        NoticeStatus.FIRING,
        "probe_budget",
        "probing stopped until midnight UTC",
        scope=ALL,
        value=Decimal("0.5003"),
        limit=Decimal("0.50"),
    ),
    "delivery_firing": notice(
        NoticeStatus.FIRING,
        "delivery",
        "Slack error no_service",
        scope=ALL,
        since=NOON - timedelta(days=2),
    ),
    "test_notice": notice(
        NoticeStatus.NOTICE, "test", "this is what an alert looks like", scope=ALL
    ),
}


def as_json(message: SlackMessage) -> dict[str, object]:
    return {
        "text": message.text.split("\n"),
        "blocks": list(message.blocks),
        "metadata": message.metadata,
    }


if __name__ == "__main__":
    for name, case in CASES.items():
        written = json.dumps(as_json(render(case)), indent=1, ensure_ascii=False)
        (SNAPSHOTS / f"{name}.json").write_text(written + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(CASES)} messages written\n")
