"""`key`: what a provider says of its own key."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from monitor.domain import AccountState, Reading, State
from monitor.rules import Key
from tests.marks import NOON


def reading(state: AccountState = AccountState.OK, **changes: Any) -> Reading:
    return Reading(provider="openrouter", at=NOON, state=state, **changes)


@pytest.mark.parametrize(
    ("account", "state"),
    [
        (AccountState.OK, State.OK),
        (AccountState.REJECTED, State.BREACH),  # at once: this is a statement, not a sample
        (AccountState.OUT_OF_CREDIT, State.BREACH),
        (AccountState.THROTTLED, State.HOLD),  # about us
        (AccountState.FAILING, State.HOLD),  # about the way there
    ],
)
def test_only_a_refusal_is_about_the_key(account: AccountState, state: State) -> None:
    verdict = Key().judge(reading(account, detail="HTTP 401: the key is rejected"), None, NOON)
    assert (verdict.state, verdict.scope) == (state, "openrouter")


def test_a_rejected_key_is_told_in_the_words_of_the_reading() -> None:
    rejected = reading(AccountState.REJECTED, detail="HTTP 401: the key is rejected")
    assert Key().judge(rejected, None, NOON).because == "openrouter: HTTP 401: the key is rejected."


@pytest.mark.parametrize(
    ("left", "once", "said"),
    [
        (timedelta(days=7, seconds=1), None, "openrouter accepts the key."),
        (timedelta(days=7), "expires 2026-11-30 12:00 UTC soon",
         "The key of openrouter expires in 7 days, 2026-11-30 12:00 UTC."),
        (timedelta(days=1), "expires 2026-11-24 12:00 UTC last day",
         "The key of openrouter expires in 24 hours, 2026-11-24 12:00 UTC."),
        (timedelta(hours=-1), "expires 2026-11-23 11:00 UTC last day",
         "The key of openrouter expires in 0 hours, 2026-11-23 11:00 UTC."),
    ],
)  # fmt: skip
def test_an_expiring_key_is_a_notice_and_again_on_its_last_day(
    left: timedelta, once: str | None, said: str
) -> None:
    verdict = Key().judge(reading(expires_at=NOON + left), None, NOON)
    assert (verdict.once, verdict.because) == (once, said)
    assert verdict.state is (State.NOTICE if once else State.OK)


@pytest.mark.parametrize(
    ("left", "once"), [("2.00", None), ("1.99", "credit 2026-11-23"), ("0", "credit 2026-11-23")]
)
def test_little_credit_is_a_notice_once_a_day(left: str, once: str | None) -> None:
    account = reading(limit_usd=Decimal(20), remaining_usd=Decimal(left))
    assert Key().judge(account, None, NOON).once == once


def test_two_warnings_are_one_notice() -> None:
    account = reading(
        expires_at=NOON + timedelta(days=3), limit_usd=Decimal(20), remaining_usd=Decimal("1.50")
    )
    verdict = Key().judge(account, None, NOON)
    assert verdict.because == (
        "The key of openrouter expires in 3 days, 2026-11-26 12:00 UTC. "
        "$1.50 of $20.00 is left on the key of openrouter."
    )
    assert verdict.once == "expires 2026-11-26 12:00 UTC soon, credit 2026-11-23"


def test_a_senseless_limit_is_refused_with_its_remedy() -> None:
    with pytest.raises(ValueError, match="credit_share = 2: write a number between 0 and 1"):
        Key(credit_share=2)
