"""`delivery`: a channel does not accept messages."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from monitor.domain import CERTAIN, Finding, Incident, Severity, Subject, Verdict, VerdictState
from monitor.rules.limit_checks import positive
from monitor.rules.rule import Rule, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryBacklog:
    """The backlog of one channel. `broken_since`: when it started to refuse all messages.

    `last_sent_at`: when it last took a message; None: never.
    """

    channel: str
    waiting: int = 0
    oldest_at: datetime | None = None
    broken_since: datetime | None = None
    broken_why: str | None = None
    last_sent_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRule(Rule):
    """Breach when a channel rejects all messages, or one has waited for `late_minutes`.

    It is visible outside the channel: in `monitor check`, the metrics, the exit status and the
    heartbeat, which stops. Its own message waits with the others.

    Source: docs/alerts.md#delivery
    """

    name: ClassVar[str] = "delivery"
    subject: ClassVar[Subject] = Subject.CHANNEL
    unit: ClassVar[Unit] = Unit.MINUTES
    first_step: ClassVar[str] = (
        "Correct the channel's address or token in the configuration, then run "
        "`monitor test-alert --channel {target}`."
    )
    evidence_sql: ClassVar[str] = "SELECT * FROM report.health;"
    inhibits: ClassVar[frozenset[str]] = frozenset()
    likely_cause: ClassVar[bool] = False
    chart: ClassVar[bool] = False

    severity: Severity = Severity.PAGE
    late_minutes: float = 15.0

    def __post_init__(self) -> None:
        positive(self, "late_minutes")

    def judge(
        self, backlog: DeliveryBacklog, latest_incident: Incident | None, now: datetime
    ) -> Verdict:
        """Judge one channel's outbox."""
        waited = (now - backlog.oldest_at) / timedelta(minutes=1) if backlog.oldest_at else 0.0
        if backlog.broken_since is not None:
            broken = f"{backlog.broken_since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            because = f"Channel {backlog.channel} has refused all messages since {broken}: "
            because += f"{backlog.broken_why}."
            what = f"refuses all messages: {backlog.broken_why}"
            was, began = f"it refused all messages {{when}}: {backlog.broken_why}", "broken"
        elif waited > 0:
            several = backlog.waiting > 1
            which = f"oldest of {backlog.waiting} messages" if several else "message"
            because = f"The {which} for channel {backlog.channel} has waited for {waited:.0f} min."
            oldest = "messages are late: the oldest" if several else "a message is late: it"
            what = f"{oldest} has waited for {waited:.0f} min"
            was, began = f"messages were late {{when}}, by up to {waited:.0f} min", "late"
        else:
            because = f"All messages for channel {backlog.channel} are sent."
            what = was = began = ""
        if backlog.broken_since is not None or waited > self.late_minutes:
            state = VerdictState.BREACH
        elif latest_incident is not None and latest_incident.open and backlog.waiting:
            state = VerdictState.HOLD  # the backlog is shrinking, but not yet empty
        else:
            state = VerdictState.OK
        since, recovered = None, ""
        if state is VerdictState.BREACH:
            since = backlog.broken_since or backlog.oldest_at
        elif latest_incident is not None and latest_incident.open:
            recovered, sent_at = "Messages are delivered again", backlog.last_sent_at
            since = latest_incident.until
            if since is None and sent_at is not None and sent_at > latest_incident.breach_since:
                since = sent_at
        return Verdict(
            rule=self.name,
            scope=backlog.channel,
            state=state,
            value=waited,
            limit=self.late_minutes,
            because=because,
            finding=Finding(
                what=what,
                was=was,
                restored="messages are delivered again",
                began=f"{began} since {{since}}: ",
                extent="1 message waits and is sent once the channel works"
                if backlog.waiting == 1
                else f"{backlog.waiting} messages wait and are sent once the channel works",
                certainty=f"{CERTAIN}, counted in the monitor's send queue",
            )
            if state is VerdictState.BREACH
            else Finding(),
            since=since,
            recovered=recovered,
        )
