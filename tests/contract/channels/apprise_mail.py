"""A mail server that Apprise reaches by SMTP."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.contract.channel_services import ChannelFailure, ChannelService
from tests.contract.smtp_sink import SmtpSink, smtp_sink

PASSWORD = "canaryMail6c2"


class AppriseMailStand(ChannelService):
    secrets = (PASSWORD,)
    wait_s = None

    def __init__(self, sink: SmtpSink) -> None:
        self.sink = sink
        where = f"127.0.0.1:{sink.port}"
        self.options = {
            "url": f"mailto://{where}?from=monitor@example.com&to=oncall@example.com"
            f"&user=&mode=insecure&reply={PASSWORD}@example.com"
        }

    def messages(self) -> list[str]:
        return [text.replace("\u200b", "") for text in self.sink.taken]

    def meet(self, trouble: ChannelFailure) -> None:
        self.sink.script.append(trouble)


@contextmanager
def stand() -> Iterator[ChannelService]:
    pytest.importorskip("apprise")
    with smtp_sink() as sink:
        yield AppriseMailStand(sink)
