"""A service that Apprise reaches by HTTP: its own JSON format, to a local receiver."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.contract.channel_services import ChannelFailure, ChannelService
from tests.contract.http_sink import SECRET, HttpSink, http_sink


class AppriseHttpStand(ChannelService):
    secrets = (SECRET,)
    wait_s = None  # Apprise does not pass on `Retry-After`

    def __init__(self, sink: HttpSink) -> None:
        self.sink = sink
        self.options = {"url": sink.url.replace("http://", "json://")}

    def messages(self) -> list[str]:
        return [item.json["message"].replace("\u200b", "") for item in self.sink.taken]

    def meet(self, trouble: ChannelFailure) -> None:
        self.sink.script.append(trouble)


@contextmanager
def stand() -> Iterator[ChannelService]:
    pytest.importorskip("apprise")
    with http_sink() as sink:
        yield AppriseHttpStand(sink)
