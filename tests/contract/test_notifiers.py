"""What every kind of channel must do, against a local service or less.

The far ends are the modules in `tests/contract/channels/`.
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from monitor.domain import Delivery, GiveUp, Sent, TryLater
from monitor.notifications import NOTIFIERS
from tests.contract.channel_services import (
    STANDS,
    ChannelFailure,
    ChannelService,
    channel_service,
    notifier_for,
    services,
)
from tests.contract.example_notices import FIRING, RESOLVED, notice

LINE = "FIRING #42 ttft · nuzantara: over 1,200 ms"
HOSTILE = "<!channel> @here & *b* <https://evil.example|x> [x](https://evil.example) \x1b[2J\u202e"

every_channel = pytest.mark.parametrize("name", STANDS)
every_service = pytest.mark.parametrize("name", services())


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def stand(name: str) -> Iterator[ChannelService]:
    with channel_service(name) as found:
        yield found


@every_channel
async def test_a_notice_arrives_as_one_message(name: str, stand: ChannelService) -> None:
    assert isinstance(await notifier_for(name, stand).send(FIRING), Sent)
    [message] = stand.messages()
    assert LINE in message
    assert "Median of the last 3 rounds, since 12:00 UTC." in message
    assert "You may see this message twice" not in message


@every_channel
async def test_the_end_of_an_incident_arrives(name: str, stand: ChannelService) -> None:
    notifier = notifier_for(name, stand)
    opened = await notifier.send(FIRING)
    assert isinstance(opened, Sent)
    assert isinstance(await notifier.send(RESOLVED, reference=opened.reference), Sent)
    assert "RESOLVED #42 ttft · nuzantara: well again" in "\n".join(stand.messages())


@every_channel
async def test_a_quiet_notice_is_never_a_new_message(name: str, stand: ChannelService) -> None:
    quiet = replace(FIRING, quiet=True)
    assert await notifier_for(name, stand).send(quiet) == Sent(None, posted=False)
    assert stand.messages() == []


@every_channel
async def test_a_repeated_notice_says_so(name: str, stand: ChannelService) -> None:
    await notifier_for(name, stand).send(replace(FIRING, repeated=True))
    assert "You may see this message twice" in "\n".join(stand.messages())


@every_channel
async def test_the_runbook_is_a_command_or_the_configured_address(
    name: str, stand: ChannelService
) -> None:
    notifier = notifier_for(name, stand)
    await notifier.send(FIRING)
    await notifier.send(FIRING, runbook_url="https://example.com/runbook")
    shown = "\n".join(stand.messages())
    assert "monitor runbook ttft" in shown
    assert "https://example.com/runbook#ttft" in shown


@every_channel
async def test_foreign_text_arrives_as_text(name: str, stand: ChannelService) -> None:
    assert isinstance(await notifier_for(name, stand).send(notice(sentence=HOSTILE)), Sent)
    [message] = stand.messages()
    shown = "<!channel> @here & *b* <https://evil.example|x> [x](https://evil.example)"
    assert shown in message
    assert not set(message) & {"\x1b", "\u202e"}


@every_channel
async def test_a_notice_of_any_length_is_taken(name: str, stand: ChannelService) -> None:
    facts = {f"{number} {'l' * 90}": "f&" * 300 for number in range(24)}
    long = replace(notice(sentence="s" * 5_000), facts=facts)
    long = replace(long, number=None)  # its facts stand in the message
    assert isinstance(await notifier_for(name, stand).send(long), Sent)
    assert "… and " in "\n".join(stand.messages())


@every_channel
async def test_a_check_sends_nothing(name: str, stand: ChannelService) -> None:
    found = await notifier_for(name, stand).check()
    assert found.usable in (True, None)
    assert found.reason
    assert stand.messages() == []


@every_channel
async def test_a_picture_arrives_or_is_given_up(name: str, stand: ChannelService) -> None:
    notifier = notifier_for(name, stand)
    opened = await notifier.send(FIRING)
    assert isinstance(opened, Sent)
    delivery = await notifier.attach(opened.reference or "", b"\x89PNG\r\n", title="TTFT")
    assert isinstance(delivery, Sent if notifier.attaches else GiveUp)
    assert stand.pictures() == ([b"\x89PNG\r\n"] if notifier.attaches else [])


async def met(name: str, stand: ChannelService, trouble: ChannelFailure) -> Delivery:
    stand.meet(trouble)
    return await notifier_for(name, stand).send(FIRING)


@every_service
async def test_a_rate_limit_makes_the_whole_channel_wait(name: str, stand: ChannelService) -> None:
    delivery = await met(name, stand, ChannelFailure.RATE_LIMIT)
    assert isinstance(delivery, TryLater)
    assert delivery.after_s == stand.wait_s
    assert delivery.channel_wide
    assert not delivery.maybe_sent
    assert stand.messages() == []


@every_service
async def test_an_error_of_the_service_passes(name: str, stand: ChannelService) -> None:
    delivery = await met(name, stand, ChannelFailure.SERVER_ERROR)
    assert isinstance(delivery, TryLater)
    assert not delivery.channel_wide


@every_service
async def test_a_final_refusal_breaks_the_channel(name: str, stand: ChannelService) -> None:
    delivery = await met(name, stand, ChannelFailure.REFUSAL)
    assert isinstance(delivery, GiveUp)
    assert delivery.channel_broken


@every_service
async def test_a_lost_reply_may_have_been_sent(name: str, stand: ChannelService) -> None:
    delivery = await met(name, stand, ChannelFailure.LOST_REPLY)
    assert isinstance(delivery, TryLater)
    assert delivery.maybe_sent
    assert len(stand.messages()) == 1


@every_service
async def test_a_service_that_is_down_was_not_sent_to(name: str) -> None:
    with channel_service(name) as stand:
        notifier = notifier_for(name, stand)
    delivery = await notifier.send(FIRING)
    assert isinstance(delivery, TryLater)
    assert not delivery.maybe_sent


@every_service
async def test_the_loop_continues_while_the_service_is_slow(
    name: str, stand: ChannelService
) -> None:
    sending = asyncio.create_task(met(name, stand, ChannelFailure.SLOW))
    ticks = 0
    while not sending.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10
    assert isinstance(sending.result(), Sent)


@pytest.mark.parametrize("trouble", [None, *ChannelFailure], ids=str)
@every_service
async def test_no_result_or_log_line_holds_a_secret(
    name: str,
    stand: ChannelService,
    trouble: ChannelFailure | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    if trouble is not None:
        stand.meet(trouble)
    notifier = notifier_for(name, stand)
    shown = [repr(notifier), repr(await notifier.check())]
    shown += [repr(await notifier.send(FIRING)), caplog.text]
    if any(kind.secret for kind in NOTIFIERS[STANDS[name]].kinds().values()):
        assert stand.secrets, f"state `secrets` in tests/contract/channels/{name}.py"
    for secret in stand.secrets:
        assert secret not in "\n".join(shown)
