"""What Slack's answers mean, without a Slack."""

import asyncio
import threading

import pytest

from monitor.domain import TryLater
from monitor.notifications import calls as call_threads
from monitor.notifications.calls import Calls
from monitor.notifications.slack.webhook import (
    _BLAMED,
    RefusalBlame,
    SlackRefusal,
    refused,
)
from tests.case_tables import each


def test_the_table_of_refusals_holds_what_matters() -> None:
    assert {
        "account_inactive", "action_prohibited", "channel_is_archived", "channel_not_found",
        "invalid_auth", "invalid_token", "is_archived", "missing_scope", "no_service",
        "not_in_channel", "restricted_action", "token_revoked",
    } <= _blamed(RefusalBlame.CHANNEL)  # fmt: skip
    assert {
        "invalid_blocks", "invalid_payload", "msg_blocks_too_long", "no_text",
    } <= _blamed(RefusalBlame.MESSAGE)  # fmt: skip


def _blamed(blame: RefusalBlame) -> set[str]:
    return {word for word, of in _BLAMED.items() if of is blame}


@each(
    ("status", "word", "judged"),
    [
        (404, " no_service\n", SlackRefusal("no_service", RefusalBlame.CHANNEL)),
        (
            400,
            "invalid_token",
            SlackRefusal("invalid_token", RefusalBlame.CHANNEL),
        ),  # the word outweighs 400
        (400, "brand_new", SlackRefusal("brand_new", RefusalBlame.MESSAGE)),
        (403, "brand_new", SlackRefusal("brand_new", RefusalBlame.CHANNEL)),
        (403, "<b>No</b> xoxb-1", SlackRefusal("HTTP 403", RefusalBlame.CHANNEL)),
        (413, "", SlackRefusal("HTTP 413", RefusalBlame.MESSAGE)),
        (200, "brand_new", SlackRefusal("brand_new", RefusalBlame.UNKNOWN)),
        (200, None, TryLater("Slack returned HTTP 200 with an unknown body", maybe_sent=True)),
        (302, "", TryLater("Slack returned HTTP 302 with an unknown body", maybe_sent=True)),
        (500, "rollup_error", TryLater("Slack error rollup_error")),
        (500, "no_service", TryLater("Slack returned HTTP 500")),  # trouble outweighs the word
        (429, "no_service", TryLater("Slack rate limit (HTTP 429)", channel_wide=True)),
    ],
)
def test_status_and_word_together_decide(
    status: int, word: object, judged: TryLater | SlackRefusal
) -> None:
    assert refused(status, word, {}) == judged


async def test_a_slack_that_hangs_costs_a_bounded_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(call_threads, "FREE_WITHIN_S", 0.0)
    answers, calls = threading.Event(), Calls("Slack", most=2)
    hanging = [asyncio.create_task(calls.run(answers.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    assert isinstance(await calls.run(answers.is_set), TryLater)
    hanging[0].cancel()  # whoever gives up waiting frees no thread
    await asyncio.wait([hanging[0]])
    assert isinstance(await calls.run(answers.is_set), TryLater)
    answers.set()
    assert await hanging[1] is True
    monkeypatch.setattr(call_threads, "FREE_WITHIN_S", 60.0)
    assert await calls.run(answers.is_set) is True
