"""Notices of every rule and status, as the worker makes them. Their messages: `messages/*.json`.

`python -m tests.unit.notices` writes them again: read the difference before you keep it.
`python -m tests.unit.notices FOLDER` writes each as a page that shows it as Slack would.
"""

import json
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from monitor.domain import ALL, CauseOwner, Finding, Identity, Notice, NoticeStatus, Severity
from monitor.incidents import digest
from monitor.incidents.inhibitions import Inhibitions
from monitor.incidents.notices import passing_notice
from monitor.notifications.slack.render import SlackMessage, render, thread_details, thread_reply
from monitor.rules import DEFAULT_RULES, Calendar, CalendarRule
from monitor.rules.calendar import CalendarEntry, CalendarKind
from monitor.simulator.slack_channel import PostedMessage
from monitor.simulator.slack_page import page

SNAPSHOTS = Path(__file__).parent / "messages"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RUNBOOK = "https://git.example.com/rag-monitor/docs/runbook.md"
FIRING, STILL, RESOLVED, NOTICE = NoticeStatus
MINUTE = timedelta(minutes=1)


def notice(status: NoticeStatus, rule: str, sentence: str, **more: object) -> Notice:
    given: dict[str, object] = {"scope": "helpdesk", "at": NOON, "number": 42}
    if status is NoticeStatus.NOTICE:
        given |= {"number": None, "severity": Severity.INFO}
    elif rule in DEFAULT_RULES:
        given["severity"] = DEFAULT_RULES[rule].severity
    return Notice(id=UUID(int=1), status=status, rule=rule, sentence=sentence, **(given | more))  # type: ignore[arg-type]


def rows(count: int) -> tuple[UUID, ...]:
    return tuple(UUID(int=number) for number in range(1, count + 1))


HAIKU = Finding(
    what="Claude 3.5 Haiku answers instead of Llama 4 Scout",
    was="{when} Claude 3.5 Haiku gave {peak} of the answers",
    restored="Llama 4 Scout answers again",
    extent="All of the last 4 answers came from it",
    money="15 × the cost: at this rate $0.62 a day, was $0.04",
    cause="the key of openrouter expired, at 11:54 UTC",
    cause_owner=CauseOwner.BILLING,
    first_step="Renew the key at the provider that the service uses.",
    certainty="almost certain (> 99.9 %): Writing style matches Claude 3.5 Haiku in 7 answers so "
    "far, to 2 or more queries.",
    usd_a_day=Decimal("0.6214"),
    usual_usd_a_day=Decimal("0.0413"),
)
SLOW = Finding(
    what="slow: 2.5 s to first token, limit 1.2 s",
    was="slow {when}: {peak} to first token, limit 1.2 s",
    restored="fast enough again",
    began="slow since {since}: ",
    extent="the median of the last 7 rounds is 2.1 × the limit",
    cause="the model or its host, as all 3 queries were slow",
    first_step="Check the status of the model's provider and the load of the server "
    "that runs the model.",
    certainty="almost certain (> 99.9 %), from 7 rounds",
)
DOWN = Finding(
    what="does not answer: HTTP 500 on 5 of 6 probes",
    was="no answer {when} (HTTP 500 on 5 of 6 probes)",
    restored="answers again",
    began="no answer since {since}",
    cause="the service reports: upstream key expired",
    cause_owner=CauseOwner.BILLING,
    first_step="Renew the key at the provider that the service uses.",
    certainty="certain (100 %) that probes failed, counted over 6 probes",
)
REFUSED = Finding(
    what="does not answer: connection refused on 5 of 6 probes",
    was="no answer {when} (connection refused on 5 of 6 probes)",
    restored="answers again",
    began="no answer since {since}",
    certainty="certain (100 %) that probes failed, counted over 6 probes",
    together="do not answer: connection refused",
    restored_together="answer again",
    cause_owner=CauseOwner.CANNOT_TELL,
)
VANISHED = Finding(
    what="no sources for 3 queries: visa: usually 5",
    was="no sources for 3 queries {when} (visa: usually 5)",
    restored="queries bring their usual sources again",
    extent="6 of the last 6 answers",
    certainty="almost certain (> 99.9 %), compared with the answers of the last day",
    cause_owner=CauseOwner.CANNOT_TELL,
)
WRONG = Finding(
    what="wrong answers to query visa: sources_at_least: the answer has no sources, at least 1 is "
    "expected",
    was="the answers to query visa failed their check {when} (sources_at_least: the answer has no "
    "sources, at least 1 is expected)",
    restored="answers pass their checks again",
    extent="3 of the last 3 answers failed",
    certainty="certain (100 %) that the check failed, counted over 3 answers",
    cause_owner=CauseOwner.CANNOT_TELL,
)
CHANGED = Finding(
    what="answers no longer match Llama 4 Scout",
    was="{peak} of the answers did not match Llama 4 Scout {when}",
    restored="answers match Llama 4 Scout again",
    extent="All of the last 6 answers differ. The answering model is unknown.",
    money="between the same cost and 12 × as much per answer, depending on the model",
    certainty="almost certain (> 99.9 %) that answers changed",
    cause_owner=CauseOwner.CANNOT_TELL,
)
SPEND = Finding(
    what="spend of 2026-11-23 is $4.12, limit $2.00",
    was="spend of 2026-11-23 was over the limit of $2.00 {when}",
    began="over the limit since {since}, ",
    extent="now 2.1 × the limit",
    certainty="certain (100 %), sum of all recorded costs",
)
SILENT = Finding(
    what="no data for 15 min, expected every 5 min",
    was="no measurement was stored {when}",
    restored="measured again",
    began="no measurement was stored since {since}",
    certainty="certain (100 %): no measurement was stored",
)
BUDGET = Finding(
    what="probing stopped: the daily budget of $0.50 is used up",
    was="probing was stopped {when}, because the daily budget of $0.50 was used up",
    restored="probing continues",
    began="stopped at {since} ",
    extent="after 1,234 probes for $0.5003. Nothing is monitored until 00:00 UTC (12 h 0 min)",
    certainty="certain (100 %), sum of all recorded costs",
)
KEY = Finding(
    what="rejects the key (HTTP 401: No auth credentials found)",
    was="the key was rejected {when} (HTTP 401: No auth credentials found)",
    restored="accepts the key again",
    first_step="Renew the key at the provider.",
    certainty="certain (100 %), as the provider's API reports",
    cause_owner=CauseOwner.BILLING,
)
CHANNEL = Finding(
    what="refuses all messages: Slack error no_service",
    was="it refused all messages {when}: Slack error no_service",
    restored="messages are delivered again",
    began="broken since {since}: ",
    extent="7 messages wait and are sent once the channel works",
    certainty="certain (100 %), counted in the monitor's send queue",
)
WHO = "helpdesk: 812 of 812 answers came from Claude 3.5 Haiku, not from Llama 4 Scout"
HAIKU_FACTS = {
    "Answers": "anthropic/claude-3-5-haiku-20241022",
    "Instead of": "meta-llama/llama-4-scout",
    "Evidence": "Writing style matches anthropic/claude-3-5-haiku-20241022 in 7 answers so far, "
    "to 2 or more queries (confidence > 99.9 %).",
    "Cost a query": "$0.001866, before $0.000124",
    "Cost a day": "$0.6214, before $0.04129, for 333 queries",
    "Answer now (hours)": "I'd be happy to help! Our office hours are: Monday to Friday, 9 to 17.",
    "Answer before (hours)": "**Hours** Mon-Fri 9-17 😊",
}
SLOW_FACTS = {
    "Evidence": "confidence > 99.9 % in 7 rounds",
    "Scatter": "30 % from round to round",
    "By query": "refund 2,710 ms, hours 2,480 ms, order 2,390 ms",
}
OPENED = {  # what each rule fires with
    "ttft": notice(
        FIRING, "ttft",
        "TTFT is 2546 ms, the median of 7 rounds; limit 1200 ms. Latest first: 2546, 2514, 2530 "
        "ms.",
        value=2546.0, limit=1200.0, since=NOON - 35 * MINUTE, finding=SLOW, facts=SLOW_FACTS,
        rows=rows(21),
    ),
    "fallback": notice(
        FIRING, "fallback",
        "4 of the last 4 answers (100%) came from Claude 3.5 Haiku; limit 10%.",
        value=1.0, limit=0.1, since=NOON - 4 * MINUTE, finding=HAIKU, rows=rows(4),
        facts=HAIKU_FACTS,
    ),
    "model_changed": notice(
        FIRING, "model_changed",
        "Answers no longer match Llama 4 Scout since 2026-11-23 11:54 UTC: 6 of 6 answers (100%) "
        "to 3 "
        "queries differ (confidence > 99.9 %). The answering model is unknown.",
        value=1.0, limit=0.1, since=NOON - 6 * MINUTE, finding=CHANGED, rows=rows(6),
        facts={
            "Difference": "Answers no longer match the writing style of meta-llama/llama-4-scout "
            "(more "
            "bold, fewer emoji); the answering model is unknown.",
            "TTFT": "1127 ms, before 843 ms",
            "Cost a query": "between $0.00015 and $0.0018, before $0.000152",
        },
    ),
    "down": notice(
        FIRING, "down", "5 of the last 6 probes failed: HTTP 500: upstream key expired.",
        value=5.0, limit=5.0, since=NOON - timedelta(seconds=45), finding=DOWN, rows=rows(5),
        facts={"First failure": "11:59:15 UTC"},
    ),
    "answer_check": notice(
        FIRING, "answer_check", "3 of 3 answers to visa failed their check. visa: "
        "sources_at_least: the answer has no sources, at least 1 is expected.",
        value=3.0, limit=3.0, since=NOON - 10 * MINUTE, finding=WRONG, rows=rows(3),
        facts={
            "First failure": "11:50:00 UTC",
            "Query visa": "sources_at_least: the answer has no sources, at least 1 is expected",
        },
    ),
    "retrieval": notice(
        FIRING, "retrieval", "6 of the last 6 answers to visa, kitas, company have no sources "
        "(visa: usually 5).",
        value=6.0, limit=2.0, since=NOON - 6 * MINUTE, finding=VANISHED, rows=rows(6),
        facts={
            "Query visa": "no sources: usually 5",
            "Query kitas": "no sources: usually 3",
            "Query company": "no sources: usually 8",
        },
    ),
    "no_data": notice(
        FIRING, "no_data", "No usable sample for 15 min; last sample: 11:45:02 UTC.",
        value=898.0, limit=900.0, since=NOON - 15 * MINUTE, finding=SILENT,
    ),
    "spend": notice(
        FIRING, "spend", "Spend of 2026-11-23 (UTC) is $4.12; limit $2.00. That is more than 2 "
        "times "
        "the limit.",
        scope=ALL, value=Decimal("4.1212"), limit=Decimal("2.00"), since=NOON.replace(hour=9),
        finding=replace(SPEND, cause=WHO),
        facts={"Who answered": WHO},
    ),
    "probe_budget": notice(
        FIRING, "probe_budget", "1234 probes of 2026-11-23 cost $0.5003; budget $0.50, 20000 "
        "probes. "
        "Probing pauses until 00:00 UTC.",
        scope=ALL, value=Decimal("0.5003"), limit=Decimal("0.50"), since=NOON, finding=BUDGET,
    ),
    "key": notice(
        FIRING, "key", "openrouter: HTTP 401: No auth credentials found.", scope="openrouter",
        since=NOON - 5 * MINUTE, finding=KEY, facts={"Last checked": "2026-11-23 11:55 UTC"},
    ),
    "delivery": notice(
        FIRING, "delivery", "Channel slack has refused all messages since 2026-11-21 12:00 UTC: "
        "Slack "
        "error no_service.",
        scope="slack", value=2880.0, limit=15.0, since=NOON - timedelta(days=2), finding=CHANNEL,
    ),
}  # fmt: skip
ENDS = {
    "ttft": "Over after 1 h 12 min. TTFT is 610 ms, the median of 4 rounds; limit 1200 ms.",
    "fallback": "Over after 1 h 12 min. None of the last 15 answers fell back; limit 10%.",
    "model_changed": "Over after 1 h 12 min. 15 of the last 15 answers match the expected model.",
    "down": "Over after 1 h 12 min. None of the last 5 probes failed.",
    "answer_check": "Over after 1 h 12 min. The latest answers pass their checks.",
    "retrieval": "Over after 1 h 12 min. The queries bring their usual sources.",
    "no_data": "Over after 1 h 12 min. Samples arrive.",
    "spend": "Over after 1 h 12 min. The day 2026-11-23 is over, at $4.38.",
    "probe_budget": "Over after 1 h 12 min. 0 probes of 2026-11-24 cost $0.00.",
    "key": "Over after 1 h 12 min. openrouter accepts the key.",
    "delivery": "Over after 1 h 12 min. All messages for channel slack are sent.",
}
LASTED = {"since": NOON - 72 * MINUTE, "until": NOON}


def _still(name: str) -> Notice:
    opened = OPENED[name]
    return replace(
        opened, status=STILL, since=NOON - timedelta(hours=28), peak=opened.value, repeated=True
    )


def _ended(name: str) -> Notice:
    opened, money = OPENED[name], ""
    if name == "fallback":
        money = "It cost about $0.029 more than usual"
    finding = replace(opened.finding, money=money, extent="")
    if name == "spend":
        finding = replace(finding, extent="The day 2026-11-23 is over, at $4.38",
                          restored="spend is within the daily limit again")  # fmt: skip
    more = {"peak": opened.value, "value": None, "sentence": ENDS[name], "finding": finding}
    return replace(opened, status=RESOLVED, **LASTED, **more)  # type: ignore[arg-type]


DIGEST = digest.notice(
    date(2026, 11, 22),
    digest.DigestFigures(
        latencies=[
            digest.DigestLatency(target="helpdesk", rounds=288, probes=864, over=2, mean_ms=843.0,
                                 p95_ms=1110.0),
            digest.DigestLatency(target="search", rounds=288, probes=576, over=0, mean_ms=410.0,
                                 p95_ms=590.0),
        ],
        served=[
            digest.DigestAnswers(target="helpdesk", model="meta-llama/llama-4-scout",
                                 identity=Identity.EXPECTED, answers=836),
            digest.DigestAnswers(target="helpdesk", model="anthropic/claude-3-5-haiku-20241022",
                                 identity=Identity.FALLBACK, answers=28),
        ],
        yesterday=None, today=None,
        saving=digest.DigestSaving(probes_usd=Decimal("0.21"), traffic_usd=Decimal("0.55")),
        incidents=[],
        own=digest.DigestMonitor(probes=1440, degraded=3, rounds_expected=576, rounds_missed=0,
                                 budget_used_usd=Decimal("0.11"), waiting=0, lost=0,
                                 broken={}),
        limit_ms=1200.0, limit_usd=Decimal("2.00"), budget_usd=Decimal("0.50"),
    ),
    at=NOON,
)  # fmt: skip
UNJUDGED = notice(
    NOTICE, "ttft_unknown", "TTFT cannot be judged: 36 of 36 measurements in the last hour could "
    "not be used. They were disturbed on the monitor's side (an overloaded machine) or arrived in "
    "one piece (a proxy that buffers).",
    value=1.0, limit=0.5, since=NOON - 10 * MINUTE, rows=rows(20),
    finding=Finding(
        what="the time to first token cannot be judged",
        was="the time to first token could not be judged {when}",
        restored="the time to first token can be judged again",
        began="disturbed since {since}: ",
        extent="36 of 36 measurements in the last hour could not be used. A slow service would not "
        "be noticed now",
        certainty="certain (100 %), counted over 36 measurements",
    ),
)  # fmt: skip
EXPIRES = CalendarEntry(
    kind=CalendarKind.KEY, scope="openrouter", at=NOON + timedelta(days=3, hours=-3),
    what="the key expires", term="1", source="account API of openrouter",
)  # fmt: skip


def calendar_notice(*entries: CalendarEntry) -> Notice:
    verdict = CalendarRule().judge(Calendar(entries=entries), None, NOON)
    return passing_notice(verdict, Inhibitions(DEFAULT_RULES), now=NOON)


CASES = {
    **{f"{name}_firing": opened for name, opened in OPENED.items()},
    **{f"{name}_still_firing": _still(name) for name in OPENED},
    **{f"{name}_resolved": _ended(name) for name in OPENED},
    "down_of_several_targets": replace(
        OPENED["down"], finding=REFUSED, others=2, targets="helpdesk, search, wiki",
        sentence="5 of the last 6 probes failed: 5 refused. The same is true of 2 other targets: "
        "search, wiki.",
    ),
    "down_of_several_targets_resolved": replace(
        _ended("down"), finding=replace(REFUSED, when="from 10:48 to 12:00 UTC"), others=2,
        targets="helpdesk from 10:48 to 11:58 UTC; search from 10:48 to 12:00 UTC; wiki from 10:50 "
        "to 12:00 UTC",
    ),
    "down_resolved_without_a_check": replace(
        _ended("down"),
        sentence="Over after 1 h 12 min. Target removed from the configuration; closed without a "
        "final check.",
        finding=replace(
            DOWN, restored="",
            extent="Target removed from the configuration; closed without a final check",
        ),
    ),
    "fallback_joins_ttft": replace(
        OPENED["fallback"], status=STILL, worse=True, consequences=True,
        also=("slow: 2.5 s to first token, limit 1.2 s (new)",),
        sentence="4 of the last 4 answers (100%) came from Claude 3.5 Haiku; limit 10%. Now also "
        "ttft: "
        "TTFT is 2546 ms, the median of 7 rounds; limit 1200 ms.",
    ),
    "down_joins_model_changed": replace(
        OPENED["down"], status=STILL, worse=True, news="new",
        also=("answers no longer match Llama 4 Scout, since 11:54 UTC",),
    ),
    "down_ends_before_model_changed": replace(
        OPENED["model_changed"], status=STILL, since=NOON - 12 * MINUTE,
        restored="answers again after 3 min",
        also=("down is over after 3 min: None of the last 5 probes failed",),
        sentence="down is over after 3 min: None of the last 5 probes failed. Still open: "
        + OPENED["model_changed"].sentence,
    ),
    "key_causes_fallback": replace(
        OPENED["key"], consequences=True,
        also=("helpdesk: Claude 3.5 Haiku answers instead of Llama 4 Scout, 15 × the cost: at this "
              "rate $0.62 a day, was $0.04",),
        finding=replace(KEY, first_step="Renew the key at the provider, then check that the "
                        "expected model answers again."),
    ),
    "down_recovering": replace(
        OPENED["down"], status=STILL, value=0.0, since=NOON - 5 * timedelta(hours=1),
        recovering="Answers again since 11:40 UTC: None of the last 5 probes failed. The "
        "incident stays "
        "open until the recovery has lasted long enough.",
        finding=replace(
            DOWN, first_step="Nothing now. The incident ends by itself if this lasts."
        ),
    ),
    "spend_notice_at_this_rate": notice(
        NOTICE, "spend", "At this rate the spend of 2026-11-23 crosses $2.00 at 15:40 UTC; it is "
        "$0.90 "
        "now.",
        scope=ALL, value=Decimal("0.9"), limit=Decimal(2),
        finding=Finding(
            what="today's spend will pass the daily limit of $2.00 at about 15:40 UTC",
            extent="$0.90 so far today; 3 h 40 min left",
            certainty="almost certain (99.9 %), if spend continues as in the last 3 h",
        ),
    ),
    "spend_notice_upper_end": notice(
        NOTICE, "spend", "Spend of 2026-11-23 (UTC) is between $0.40 and $2.10; limit $2.00. The "
        "model "
        "of some answers is unknown: the spend exceeds the limit if the most expensive declared "
        "model "
        "gave them.",
        scope=ALL, value=Decimal("2.1"), limit=Decimal(2),
        finding=Finding(
            what="spend of 2026-11-23 may exceed $2.00",
            extent="It is between $0.40 and $2.10, as the model of some answers is unknown",
            certainty="uncertain: only if the most expensive declared model gave them",
        ),
    ),
    "calendar_notice": calendar_notice(EXPIRES),
    "calendar_notice_several": calendar_notice(
        EXPIRES,
        CalendarEntry(
            kind=CalendarKind.CERTIFICATE, scope="helpdesk", what="the certificate expires",
            at=NOON + timedelta(days=3, hours=4), term="1",
            source="TLS handshake with rag.example.com:443",
        ),
        CalendarEntry(
            kind=CalendarKind.CREDIT, scope="openrouter", at=NOON + timedelta(days=14),
            what="$48.00 of credit is used up at $3.40 a day", term="credit",
            source="account API of openrouter",
        ),
    ),
    "calendar_notice_price": calendar_notice(
        CalendarEntry(
            kind=CalendarKind.PRICE, scope="openrouter", model="meta-llama/llama-4-scout", at=NOON,
            what="the list price changed: input $0.08 → $0.10, output $0.30 → $0.50 per million "
            "tokens. A day like the last one costs $0.62, before $0.41",
            term="1", source="model list of openrouter",
        ),
    ),
    "ttft_unknown_notice": UNJUDGED,
    "ttft_unknown_notice_of_its_end": replace(
        UNJUDGED, since=NOON - 72 * MINUTE, until=NOON,
        sentence="Over after 1 h 12 min. 2 of 36 measurements in the last hour could not be used.",
        finding=replace(UNJUDGED.finding, extent=""),
    ),
    "identity_unknown_notice": notice(
        NOTICE, "identity_unknown",
        "The model could not be identified for 72 of 120 answers in the last 24 h.",
        value=0.6, limit=0.5, rows=rows(20), since=NOON - timedelta(hours=20),
        finding=Finding(
            what="the model is unknown for 60 % of the answers",
            extent="72 of 120 answers in the last 24 h; the latest identified answer is of 11:40 "
            "UTC. If another model gave these answers, the monitor would not notice",
            certainty="certain (100 %), counted over 120 answers",
        ),
    ),
    "unpriced_notice": notice(
        NOTICE, "unpriced", "3 of 10 answers of the last 24 h have no price: acme/model-7.",
        value=0.3, limit=0.0, rows=rows(3), since=NOON - 40 * MINUTE,
        finding=Finding(
            what="no price is known for acme/model-7",
            began="since {since}, ",
            extent="3 of 10 answers in the last 24 h have no price. The real spend is "
            "higher than shown",
            certainty="certain (100 %), counted over 10 answers",
        ),
    ),
    "cost_drift_notice": notice(
        NOTICE, "cost_drift", "Cache-hit rate of 3 queries: 0%, before 81% (visa), and the model "
        "is the same. Cost moved as well.",
        value=0.81, limit=0.2, rows=rows(24), since=NOON - 40 * MINUTE,
        facts={"Cache-hit rate, visa": "0%, before 81%", "Cost, visa": "$0.00031, before $0.00012"},
        finding=Finding(
            what="cache-hit rate of 3 queries: 0%, before 81% (visa); also cost",
            began="changed since {since}; ",
            extent="the model is the same",
            money="2.6 × the cost: at this rate $0.10 a day, was $0.04",
            certainty="almost certain (> 99.9 %), compared with the earlier answers of the last "
            "day",
            usd_a_day=Decimal("0.1032"), usual_usd_a_day=Decimal("0.04"),
        ),
    ),
    "storage_notice": notice(
        NOTICE, "storage", "The database has been unavailable for 4 min. Probing continues and "
        "results "
        "are kept on this machine's disk; nothing is evaluated or sent until the database is back.",
        scope=ALL, since=NOON - 4 * MINUTE, severity=Severity.WARN,
        facts={"Waiting": "12 observations", "Worker": "worker-1"},
        finding=Finding(
            what="the database has been unavailable for 4 min",
            extent="Probing continues and results are kept on this machine's disk. Nothing is "
            "evaluated or sent",
            first_step="Check the database host. The worker's log has the latest error.",
            certainty="certain (100 %), as the worker cannot connect or write",
        ),
    ),
    "clock_notice": notice(
        NOTICE, "clock", "Observations are dated up to 3 h in the future. The clock of worker "
        "worker-2 "
        "is ahead of the database's. Rules ignore them until that time.",
        scope=ALL, facts={"Latest": "2026-11-23 15:00:12 UTC, helpdesk", "Worker": "worker-2"},
        finding=Finding(
            what="observations are dated up to 3 h in the future",
            extent="The clock of worker worker-2 is ahead of the database's. Rules ignore them "
            "until "
            "that time",
            first_step="Check the time synchronisation (NTP) of the worker and database hosts.",
        ),
    ),
    "digest_notice": DIGEST,
    "test_notice": notice(
        NOTICE, "test", "This is a test. Alerts of this monitor will look like this and arrive "
        "here.",
        scope=ALL, facts={"Watched": "helpdesk, search"},
        finding=Finding(
            what="test message of rag-monitor",
            extent="Alerts of this monitor will look like this and arrive here",
        ),
    ),
    "without_parts": notice(  # as an earlier version stored it
        FIRING, "fallback", "4 of the last 4 answers (100%) came from claude-haiku; limit 10%.",
        value=1.0, limit=0.1, since=NOON - 4 * MINUTE,
    ),
}  # fmt: skip


def as_json(message: SlackMessage) -> dict[str, object]:
    return {
        "text": message.text.split("\n"),
        "blocks": list(message.blocks),
        "metadata": message.metadata,
    }


def snapshot(case: Notice) -> dict[str, object]:
    """All that Slack gets of a notice: by bot, by webhook, and what goes into the thread."""
    posted = as_json(render(case, runbook_url=RUNBOOK, threads=True))
    found: dict[str, object] = {"bot": posted}
    found["webhook"] = {"blocks": as_json(render(case))["blocks"][-1:]}  # type: ignore[index]
    if case.status in (STILL, RESOLVED):
        found["reply"] = as_json(thread_reply(case))
    if (more := thread_details(case)) is not None:
        found["details"] = as_json(more)
    return found


def write() -> None:
    found = {
        name: json.dumps(snapshot(case), indent=1, ensure_ascii=False)
        for name, case in CASES.items()
    }
    for old in SNAPSHOTS.glob("*.json"):
        old.unlink()
    for name, written in found.items():
        (SNAPSHOTS / f"{name}.json").write_text(written + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(CASES)} messages written\n")


def pages(folder: Path) -> None:
    """Each message with its thread as a page: the bot's above, the webhook's below."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, case in CASES.items():
        shown = []
        for via, threads in (("bot", True), ("webhook", False)):
            message = render(case, runbook_url=RUNBOOK if threads else None, threads=threads)
            shown.append(posted(message, via))
        replies = [thread_reply(case)] if case.status in (STILL, RESOLVED) else []
        replies += filter(None, [thread_details(case)])
        shown[0].thread = [posted(reply, "bot") for reply in replies]
        (folder / f"{name}.html").write_text(page(f"#alerts: {name}", shown), encoding="utf-8")
    picture(folder)
    sys.stdout.write(f"{len(CASES)} pages written\n")


def picture(folder: Path) -> None:
    """The messages of the picture in the README, docs/pictures/slack.png."""
    shown = [
        posted(render(case, runbook_url=RUNBOOK, threads=True), "bot")
        for case in (
            CASES["fallback_firing"],
            replace(CASES["ttft_firing"], number=43),
            CASES["fallback_resolved"],
        )
    ]
    (folder / "readme.html").write_text(page("#alerts", shown), encoding="utf-8")


def posted(message: SlackMessage, via: str) -> PostedMessage:
    blocks = [dict(block) for block in message.blocks]
    return PostedMessage(ts="1", via=via, at=NOON, text=message.text, blocks=blocks, metadata={},
                         sent={})  # fmt: skip


if __name__ == "__main__":
    pages(Path(sys.argv[1])) if len(sys.argv) > 1 else write()
