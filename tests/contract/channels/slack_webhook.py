"""A local Slack, as a webhook finds it."""

from collections.abc import Iterator
from contextlib import contextmanager

from monitor.simulator.slack_server import SlackServer
from tests.contract.channel_services import ChannelService
from tests.contract.channels.slack_bot import SlackStand
from tests.contract.example_notices import SECRET, TOKEN


@contextmanager
def stand() -> Iterator[ChannelService]:
    with SlackServer(token=TOKEN, secret=SECRET) as inbox:
        yield SlackStand(inbox, {"webhook_url": inbox.webhook_url})
