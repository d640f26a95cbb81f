"""`key`: a provider's key is rejected, expires soon, or has almost no credit left."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from monitor.domain import (
    AccountReading,
    AccountState,
    CauseOwner,
    Finding,
    Incident,
    Severity,
    Subject,
    Verdict,
    VerdictState,
    usd_text,
)
from monitor.rules.limit_checks import CERTAIN
from monitor.rules.rule import Rule, Unit

_NOTHING = Finding()
_ADD_CREDIT = "Add credit at the provider."


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCredit:
    """The rest of a key's limit, and the daily spend of its account."""

    provider: str
    at: datetime
    left_usd: Decimal
    day_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRule(Rule):
    """Breach as soon as a provider rejects its key or the credit is used up.

    Notices before that: the key expires within so many days, once for each entry of `expires_days`;
    the rest of the credit is less than a day's spend, once a day. A failed reading says nothing
    about the key.

    Source: docs/alerts.md#key
    """

    name: ClassVar[str] = "key"
    subject: ClassVar[Subject] = Subject.PROVIDER
    unit: ClassVar[Unit] = Unit.COUNT
    first_step: ClassVar[str] = "Renew the key at the provider, or add credit if none is left."
    evidence_sql: ClassVar[str] = (
        "SELECT started_at, target, outcome, error, model_detected FROM report.observations "
        "WHERE {rows} ORDER BY started_at;"
    )
    inhibits: ClassVar[frozenset[str]] = frozenset({"fallback", "model_changed", "ttft", "spend"})
    likely_cause: ClassVar[bool] = False
    chart: ClassVar[bool] = False

    severity: Severity = Severity.PAGE
    expires_days: tuple[int, ...] = (14, 3, 1)

    def __post_init__(self) -> None:
        for days in self.expires_days:
            if days < 1:
                raise ValueError(f"expires_days = {days}: write whole days of at least 1")

    def judge(
        self, judged: AccountReading | KeyCredit, latest_incident: Incident | None, now: datetime
    ) -> Verdict:
        """Judge the latest reading of one provider's account, or its credit."""
        if isinstance(judged, KeyCredit):
            return self._credit(judged, now)
        reported, finding = f"{judged.provider} accepts the key.", Finding()
        state, once, recovered = VerdictState.OK, None, ""
        match judged.state:
            case AccountState.REJECTED | AccountState.OUT_OF_CREDIT:
                state, reported = VerdictState.BREACH, f"{judged.provider}: {judged.detail}."
                rejected = judged.state is AccountState.REJECTED
                finding = Finding(
                    what=f"rejects the key ({judged.detail})",
                    was=f"the key was rejected {{when}} ({judged.detail})",
                    restored="accepts the key again",
                    cause_owner=CauseOwner.BILLING,
                    first_step="Renew the key at the provider.",
                )
                if not rejected:
                    finding = Finding(
                        what=f"no credit left ({judged.detail})",
                        was=f"no credit was left {{when}} ({judged.detail})",
                        restored="has credit again",
                        cause_owner=CauseOwner.BILLING,
                        first_step=_ADD_CREDIT,
                    )
            case AccountState.OK:
                recovered = "Key accepted again"
                stage = self._stage(judged, now)
                if stage and not (
                    latest_incident is not None and latest_incident.open
                ):  # whichever ends first
                    state, (once, reported) = VerdictState.NOTICE, stage
                    what = reported.removeprefix(f"The key of {judged.provider} ").rstrip(".")
                    step = "Renew the key before then."
                    finding = Finding(what=f"the key {what}", first_step=step)
            case _:
                state, reported = (
                    VerdictState.HOLD,
                    f"The account at {judged.provider} could not be read: {judged.detail}.",
                )
        verdict = self._verdict(judged, state, reported, once=once, finding=finding)
        if recovered and latest_incident is not None and latest_incident.open:
            since = latest_incident.recovering_since or judged.at
            return replace(verdict, recovered=recovered, since=since)
        return verdict

    def _stage(self, reading: AccountReading, now: datetime) -> tuple[str, str] | None:
        """The smallest entry of `expires_days` that the key has reached."""
        if reading.expires_at is None:
            return None
        left = reading.expires_at - now
        reached = [days for days in self.expires_days if left <= timedelta(days=days)]
        if not reached:
            return None
        at = f"{reading.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        hours = max(left // timedelta(hours=1), 0)
        in_ = f"{hours // 24} days" if hours >= 48 else f"{hours} hours"
        reported = f"The key of {reading.provider} expires in {in_}, {at}."
        return f"expires {at}, {min(reached)} d", reported

    def _credit(self, credit: KeyCredit, now: datetime) -> Verdict:
        left, day, provider = credit.left_usd, credit.day_usd, credit.provider
        if left >= day:
            return self._verdict(credit, VerdictState.HOLD, f"{usd_text(left)} of credit is left.")
        reported = (
            f"The key of {provider} has {usd_text(left)} of credit left "
            f"and spends {usd_text(day)} a day."
        )
        once = f"credit {now.astimezone(UTC).date()}"
        what = f"{usd_text(left)} of credit is left, less than a day's spend of {usd_text(day)}"
        finding = Finding(what=what, first_step=_ADD_CREDIT)
        return self._verdict(credit, VerdictState.NOTICE, reported, once=once, finding=finding)

    def _verdict(
        self,
        judged: AccountReading | KeyCredit,
        state: VerdictState,
        reported: str,
        *,
        once: str | None = None,
        finding: Finding = _NOTHING,
    ) -> Verdict:
        return Verdict(
            rule=self.name,
            scope=judged.provider,
            state=state,
            value=None,
            limit=None,
            because=reported,
            facts={"Last checked": f"{judged.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"},
            finding=replace(finding, certainty=f"{CERTAIN}, as the provider's API reports"),
            severity=Severity.INFO if state is VerdictState.NOTICE else None,
            once=once,
            since=judged.at if state is VerdictState.BREACH else None,
        )
