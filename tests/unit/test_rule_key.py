"""`key`: what a provider says of its own key."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from monitor.domain import AccountReading, AccountState, VerdictState
from monitor.rules import KeyCredit, KeyRule
from tests.probe_notation import NOON, incident


def reading(state: AccountState = AccountState.OK, **changes: Any) -> AccountReading:
    return AccountReading(provider="openrouter", at=NOON, state=state, **changes)


@pytest.mark.parametrize(
    ("account", "state"),
    [
        (AccountState.OK, VerdictState.OK),
        (AccountState.REJECTED, VerdictState.BREACH),  # at once: this is a statement, not a sample
        (AccountState.OUT_OF_CREDIT, VerdictState.BREACH),
        (AccountState.THROTTLED, VerdictState.HOLD),  # about us
        (AccountState.FAILING, VerdictState.HOLD),  # about the way there
    ],
)
def test_only_a_refusal_is_about_the_key(account: AccountState, state: VerdictState) -> None:
    verdict = KeyRule().judge(reading(account, detail="HTTP 401: the key is rejected"), None, NOON)
    assert (verdict.state, verdict.scope) == (state, "openrouter")


def test_a_rejected_key_is_reported_in_the_words_of_the_reading() -> None:
    rejected = reading(AccountState.REJECTED, detail="HTTP 401: the key is rejected")
    assert (
        KeyRule().judge(rejected, None, NOON).because
        == "openrouter: HTTP 401: the key is rejected."
    )


@pytest.mark.parametrize(
    ("left", "once", "reported"),
    [
        (timedelta(days=14, seconds=1), None, "openrouter accepts the key."),
        (timedelta(days=14), "expires 2026-12-07 12:00 UTC, 14 d",
         "The key of openrouter expires in 14 days, 2026-12-07 12:00 UTC."),
        (timedelta(days=3, seconds=1), "expires 2026-11-26 12:00 UTC, 14 d",
         "The key of openrouter expires in 3 days, 2026-11-26 12:00 UTC."),
        (timedelta(days=3), "expires 2026-11-26 12:00 UTC, 3 d",
         "The key of openrouter expires in 3 days, 2026-11-26 12:00 UTC."),
        (timedelta(days=1), "expires 2026-11-24 12:00 UTC, 1 d",
         "The key of openrouter expires in 24 hours, 2026-11-24 12:00 UTC."),
        (timedelta(hours=-1), "expires 2026-11-23 11:00 UTC, 1 d",
         "The key of openrouter expires in 0 hours, 2026-11-23 11:00 UTC."),
    ],
)  # fmt: skip
def test_an_expiring_key_is_a_notice_at_14_days_at_3_and_at_1(
    left: timedelta, once: str | None, reported: str
) -> None:
    verdict = KeyRule().judge(reading(expires_at=NOON + left), None, NOON)
    assert (verdict.once, verdict.because) == (once, reported)
    assert verdict.state is (VerdictState.NOTICE if once else VerdictState.OK)


def test_each_stage_is_said_once_however_often_it_is_judged() -> None:
    ends = NOON + timedelta(days=20)
    hours = [NOON + timedelta(hours=hour) for hour in range(20 * 24)]
    verdicts = [KeyRule().judge(reading(expires_at=ends), None, now) for now in hours]
    assert len({verdict.once for verdict in verdicts if verdict.once}) == 3


def test_a_refusal_that_is_over_ends_before_an_expiry_is_said() -> None:
    soon = reading(expires_at=NOON + timedelta(days=2))
    refused = incident("key", scope="openrouter")
    assert KeyRule().judge(soon, refused, NOON).state is VerdictState.OK
    over = replace(refused, resolved_at=NOON)
    assert KeyRule().judge(soon, over, NOON).state is VerdictState.NOTICE


@pytest.mark.parametrize(
    ("left", "day", "once"),
    [
        ("2.00", "2.00", None),  # it lasts for a day
        ("1.99", "2.00", "credit 2026-11-23"),
        ("0", "0", None),  # nothing is spent
    ],
)
def test_less_credit_than_a_days_spend_is_a_notice_once_a_day(
    left: str, day: str, once: str | None
) -> None:
    credit = KeyCredit(provider="openrouter", at=NOON, left_usd=Decimal(left), day_usd=Decimal(day))
    verdict = KeyRule().judge(credit, None, NOON)
    assert verdict.once == once
    assert verdict.state is (VerdictState.NOTICE if once else VerdictState.HOLD)
    if once:
        reported = "The key of openrouter has $1.99 of credit left and spends $2.00 a day."
        assert verdict.because == reported


def test_credit_never_ends_a_refusal() -> None:
    rich = KeyCredit(provider="openrouter", at=NOON, left_usd=Decimal(9), day_usd=Decimal(1))
    refused = incident("key", scope="openrouter")
    assert KeyRule().judge(rich, refused, NOON).state is VerdictState.HOLD


def test_a_senseless_limit_is_refused_with_its_remedy() -> None:
    with pytest.raises(ValueError, match="expires_days = 0: write whole days of at least 1"):
        KeyRule(expires_days=(14, 0))
