"""`key`: a provider's key is rejected, expires soon, or is nearly out of credit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from monitor.domain import AccountState, Incident, Reading, State, Verdict
from monitor.rules.limits import at_least, between


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Breach when a provider rejects its key or the credit is gone.

    Notices before that: the key expires within `expires_days`, said again on its last day;
    less than `credit_share` of its limit is left, said once a day. A reading that failed
    says nothing about the key.

    Source: docs/alerts.md#key
    """

    name: ClassVar[str] = "key"
    expires_days: int = 7
    credit_share: float = 0.10

    def __post_init__(self) -> None:
        at_least(self, 1, "expires_days")
        between(self, 0, 1, "credit_share")

    def judge(self, reading: Reading, standing: Incident | None, now: datetime) -> Verdict:
        """Judge the latest reading of one provider's account."""
        soon = {**self._expiring(reading, now), **self._running_dry(reading, now)}
        match reading.state:
            case AccountState.REJECTED | AccountState.OUT_OF_CREDIT:
                state, said = State.BREACH, f"{reading.provider}: {reading.detail}."
            case AccountState.OK:
                state = State.NOTICE if soon else State.OK
                said = " ".join(soon.values()) or f"{reading.provider} accepts the key."
            case _:
                state, said = State.HOLD, f"{reading.provider} was not read: {reading.detail}."
        return Verdict(
            rule=self.name,
            scope=reading.provider,
            state=state,
            value=None,
            limit=None,
            because=said,
            facts={"Read": f"{reading.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"},
            once=", ".join(soon) if state is State.NOTICE else None,
        )

    def _expiring(self, reading: Reading, now: datetime) -> Mapping[str, str]:
        if reading.expires_at is None:
            return {}
        left = reading.expires_at - now
        if left > timedelta(days=self.expires_days):
            return {}
        last = "last day" if left <= timedelta(days=1) else "soon"
        at = f"{reading.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        hours = max(left // timedelta(hours=1), 0)
        in_ = f"{hours // 24} days" if hours >= 48 else f"{hours} hours"
        return {f"expires {at} {last}": f"The key of {reading.provider} expires in {in_}, {at}."}

    def _running_dry(self, reading: Reading, now: datetime) -> Mapping[str, str]:
        left, limit = reading.remaining_usd, reading.limit_usd
        if left is None or limit is None or left >= limit * Decimal(str(self.credit_share)):
            return {}
        said = f"${left:.2f} of ${limit:.2f} is left on the key of {reading.provider}."
        return {f"credit {now.astimezone(UTC).date()}": said}
