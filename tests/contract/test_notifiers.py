"""What every notifier of the table must do, against a local service or less.

Its far end is the module of its name in `tests/contract/channels/`.
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from monitor.domain import Delivery, GiveUp, Sent, TryLater
from monitor.notifications import NOTIFIERS, Notifier
from tests.contract.alerts import FIRING, RESOLVED, notice
from tests.contract.channel_stand import ChannelStand, ChannelTrouble, stand_of

LINE = "FIRING #42 ttft · nuzantara: over 1,200 ms"
HOSTILE = "<!channel> @here & *b* <https://evil.example|x> [x](https://evil.example) \x1b[2J\u202e"

every_notifier = pytest.mark.parametrize("kind", NOTIFIERS, ids=lambda kind: kind.name)
every_service = pytest.mark.parametrize(
    "kind", [kind for kind in NOTIFIERS if kind.reaches_people], ids=lambda kind: kind.name
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def stand(kind: type[Notifier]) -> Iterator[ChannelStand]:
    with stand_of(kind) as found:
        yield found


def made(kind: type[Notifier], stand: ChannelStand) -> Notifier:
    notifier = kind.from_environment(stand.environment)
    assert isinstance(notifier, kind)
    return notifier


@every_notifier
def test_it_is_configured_by_all_its_variables_and_by_no_fewer(
    kind: type[Notifier], stand: ChannelStand
) -> None:
    assert set(stand.environment) == {variable.name for variable in kind.variables}
    made(kind, stand)
    for variable in kind.variables:
        if variable.required:
            fewer = {k: v for k, v in stand.environment.items() if k != variable.name}
            assert kind.from_environment(fewer) is None, variable.name


@every_notifier
async def test_a_notice_arrives_as_one_message(kind: type[Notifier], stand: ChannelStand) -> None:
    assert isinstance(await made(kind, stand).send(FIRING), Sent)
    [message] = stand.messages()
    assert LINE in message
    assert "Now: 1,840 ms, limit 1,200 ms" in message
    assert "May be a duplicate" not in message


@every_notifier
async def test_the_end_of_an_incident_arrives(kind: type[Notifier], stand: ChannelStand) -> None:
    notifier = made(kind, stand)
    opened = await notifier.send(FIRING)
    assert isinstance(opened, Sent)
    assert isinstance(await notifier.send(RESOLVED, reference=opened.reference), Sent)
    assert "RESOLVED #42 ttft · nuzantara: well again" in "\n".join(stand.messages())


@every_notifier
async def test_a_quiet_notice_is_never_a_new_message(
    kind: type[Notifier], stand: ChannelStand
) -> None:
    assert await made(kind, stand).send(replace(FIRING, quiet=True)) == Sent(None)
    assert stand.messages() == []


@every_notifier
async def test_a_repeated_notice_says_so(kind: type[Notifier], stand: ChannelStand) -> None:
    await made(kind, stand).send(replace(FIRING, repeated=True))
    assert "May be a duplicate" in "\n".join(stand.messages())


@every_notifier
async def test_the_runbook_is_a_path_or_the_configured_address(
    kind: type[Notifier], stand: ChannelStand
) -> None:
    notifier = made(kind, stand)
    await notifier.send(FIRING)
    await notifier.send(FIRING, runbook_url="https://example.com/runbook")
    shown = "\n".join(stand.messages())
    assert "docs/runbook.md#ttft" in shown
    assert "https://example.com/runbook#ttft" in shown


@every_notifier
async def test_foreign_text_arrives_as_text(kind: type[Notifier], stand: ChannelStand) -> None:
    assert isinstance(await made(kind, stand).send(notice(sentence=HOSTILE)), Sent)
    [message] = stand.messages()
    shown = "<!channel> @here & *b* <https://evil.example|x> [x](https://evil.example)"
    assert shown in message
    assert not set(message) & {"\x1b", "\u202e"}


@every_notifier
async def test_a_notice_of_any_length_is_taken(kind: type[Notifier], stand: ChannelStand) -> None:
    facts = {f"{number} {'l' * 90}": "f&" * 300 for number in range(24)}
    long = replace(notice(sentence="s" * 5_000), facts=facts)
    assert isinstance(await made(kind, stand).send(long), Sent)
    assert "… and " in "\n".join(stand.messages())


@every_notifier
async def test_a_check_sends_nothing(kind: type[Notifier], stand: ChannelStand) -> None:
    found = await made(kind, stand).check()
    assert found.usable in (True, None)
    assert found.reason
    assert stand.messages() == []


@every_notifier
async def test_a_picture_arrives_or_is_given_up(kind: type[Notifier], stand: ChannelStand) -> None:
    notifier = made(kind, stand)
    opened = await notifier.send(FIRING)
    assert isinstance(opened, Sent)
    delivery = await notifier.attach(opened.reference or "", b"\x89PNG\r\n", title="TTFT")
    assert isinstance(delivery, Sent if kind.attaches else GiveUp)
    assert stand.pictures() == ([b"\x89PNG\r\n"] if kind.attaches else [])


async def met(kind: type[Notifier], stand: ChannelStand, trouble: ChannelTrouble) -> Delivery:
    stand.meet(trouble)
    return await made(kind, stand).send(FIRING)


@every_service
async def test_a_rate_limit_makes_the_whole_channel_wait(
    kind: type[Notifier], stand: ChannelStand
) -> None:
    delivery = await met(kind, stand, ChannelTrouble.RATE_LIMIT)
    assert isinstance(delivery, TryLater)
    assert (delivery.after_s, delivery.channel_wide, delivery.maybe_sent) == (7, True, False)
    assert stand.messages() == []


@every_service
async def test_an_error_of_the_service_passes(kind: type[Notifier], stand: ChannelStand) -> None:
    delivery = await met(kind, stand, ChannelTrouble.SERVER_ERROR)
    assert isinstance(delivery, TryLater)
    assert not delivery.channel_wide


@every_service
async def test_a_final_refusal_breaks_the_channel(
    kind: type[Notifier], stand: ChannelStand
) -> None:
    delivery = await met(kind, stand, ChannelTrouble.REFUSAL)
    assert isinstance(delivery, GiveUp)
    assert delivery.channel_broken


@every_service
async def test_a_lost_reply_may_have_been_sent(kind: type[Notifier], stand: ChannelStand) -> None:
    delivery = await met(kind, stand, ChannelTrouble.LOST_REPLY)
    assert isinstance(delivery, TryLater)
    assert delivery.maybe_sent
    assert len(stand.messages()) == 1


@every_service
async def test_a_service_that_is_down_was_not_sent_to(kind: type[Notifier]) -> None:
    with stand_of(kind) as stand:
        notifier = made(kind, stand)
    delivery = await notifier.send(FIRING)
    assert isinstance(delivery, TryLater)
    assert not delivery.maybe_sent


@every_service
async def test_the_loop_continues_while_the_service_is_slow(
    kind: type[Notifier], stand: ChannelStand
) -> None:
    sending = asyncio.create_task(met(kind, stand, ChannelTrouble.SLOW))
    ticks = 0
    while not sending.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10
    assert isinstance(sending.result(), Sent)


@pytest.mark.parametrize("trouble", [None, *ChannelTrouble], ids=str)
@every_service
async def test_no_result_or_log_line_holds_a_secret(
    kind: type[Notifier],
    stand: ChannelStand,
    trouble: ChannelTrouble | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    if trouble is not None:
        stand.meet(trouble)
    notifier = made(kind, stand)
    shown = [repr(notifier), repr(await notifier.check())]
    shown += [repr(await notifier.send(FIRING)), caplog.text]
    assert stand.secrets
    for secret in stand.secrets:
        assert secret not in "\n".join(shown)
