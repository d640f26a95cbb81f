"""`key`: a provider's key is rejected, or its credit is used up."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar

from monitor.domain import (
    CERTAIN,
    AccountReading,
    AccountState,
    CauseOwner,
    Finding,
    Incident,
    Severity,
    Subject,
    Verdict,
    VerdictState,
)
from monitor.rules.rule import Rule, Unit

_ADD_CREDIT = "Add credit at the provider."


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRule(Rule):
    """Breach as soon as a provider rejects its key or the credit is used up.

    A failed reading says nothing about the key. Rule `calendar` reports expiry and credit in
    advance.

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
    moved: ClassVar[Mapping[str, str]] = {
        "expires_days": "`days` of [rules.calendar], a list such as [30, 14, 3, 1]"
    }

    severity: Severity = Severity.PAGE

    def judge(
        self, judged: AccountReading, latest_incident: Incident | None, now: datetime
    ) -> Verdict:
        """Judge the latest reading of one provider's account."""
        reported, finding = f"{judged.provider} accepts the key.", Finding()
        state, recovered = VerdictState.OK, ""
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
            case _:
                state, reported = (
                    VerdictState.HOLD,
                    f"The account at {judged.provider} could not be read: {judged.detail}.",
                )
        verdict = self._verdict(judged, state, reported, finding)
        if recovered and latest_incident is not None and latest_incident.open:
            since = latest_incident.recovering_since or judged.at
            return replace(verdict, recovered=recovered, since=since)
        return verdict

    def _verdict(
        self, judged: AccountReading, state: VerdictState, reported: str, finding: Finding
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
            since=judged.at if state is VerdictState.BREACH else None,
        )
