"""A local Slack, as a webhook finds it."""

from collections.abc import Iterator
from contextlib import contextmanager

from monitor.simulator.slack_server import SlackServer
from tests.contract.alerts import SECRET, TOKEN
from tests.contract.channel_stand import ChannelStand
from tests.contract.channels.slack_bot import SlackStand


@contextmanager
def stand() -> Iterator[ChannelStand]:
    with SlackServer(token=TOKEN, secret=SECRET) as inbox:
        yield SlackStand(inbox, {"webhook_url": inbox.webhook_url})
