"""A local Slack, as a bot finds it."""

import html
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from monitor.simulator.slack_server import SlackReplyStep, SlackServer
from tests.contract.channel_services import ChannelFailure, ChannelService
from tests.contract.example_notices import SECRET, TOKEN

STEPS = {
    ChannelFailure.RATE_LIMIT: SlackReplyStep(status=429, word="ratelimited", retry_after="7"),
    ChannelFailure.SERVER_ERROR: SlackReplyStep(status=500, body=f"{TOKEN} {SECRET}"),
    ChannelFailure.REFUSAL: SlackReplyStep(status=404, body=f"{TOKEN} {SECRET}"),
    ChannelFailure.LOST_REPLY: SlackReplyStep(cut=True),
    ChannelFailure.SLOW: SlackReplyStep(late_s=0.3),
}


class SlackStand(ChannelService):
    secrets = (TOKEN, SECRET)

    def __init__(self, inbox: SlackServer, options: Mapping[str, str]) -> None:
        self._inbox, self.options = inbox, options

    def messages(self) -> list[str]:
        posted = self._inbox.messages
        aloud = [
            item
            for message in posted
            for item in (message, *message.thread)
            if item is message or item.broadcast
        ]
        shown = [item.text for item in aloud]
        return [html.unescape(text) for text in shown]

    def arrivals(self) -> list[str]:
        posted = self._inbox.messages
        return [html.unescape(text) for item in posted for text in (*item.was, item.text)]

    def pictures(self) -> list[bytes]:
        return [picture for message in self._inbox.messages for _, picture in message.files]

    def meet(self, trouble: ChannelFailure) -> None:
        self._inbox.script([STEPS[trouble]])


@contextmanager
def stand() -> Iterator[ChannelService]:
    with SlackServer(token=TOKEN, secret=SECRET) as inbox:
        given = {"token": TOKEN, "channel": "#alerts", "api_base_url": inbox.api_url}
        yield SlackStand(inbox, given)
