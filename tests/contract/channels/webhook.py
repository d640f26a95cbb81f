"""A receiver of signed JSON documents."""

from collections.abc import Iterator
from contextlib import contextmanager

from monitor.notifications.plain_text import REPEATED
from tests.contract.channel_services import ChannelFailure, ChannelService
from tests.contract.http_sink import SECRET, HttpSink, http_sink

KEY = "canary-signing-key-9d2"


class WebhookStand(ChannelService):
    secrets = (SECRET, KEY)

    def __init__(self, sink: HttpSink) -> None:
        self.sink = sink
        self.options = {"url": sink.url, "secret": KEY}

    def messages(self) -> list[str]:
        """The text of each document; whether it is a repetition stands in a header."""
        return [
            item.json["text"] + (REPEATED if "Monitor-Repeated" in item.headers else "")
            for item in self.sink.taken
        ]

    def meet(self, trouble: ChannelFailure) -> None:
        self.sink.script.append(trouble)


@contextmanager
def stand() -> Iterator[ChannelService]:
    with http_sink() as sink:
        yield WebhookStand(sink)
