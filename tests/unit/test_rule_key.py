"""`key`: what a provider says of its own key."""

from typing import Any

import pytest

from monitor.domain import AccountReading, AccountState, VerdictState
from monitor.rules import KeyRule
from tests.probe_notation import NOON


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
