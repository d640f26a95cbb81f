"""Standard output."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

from monitor.notifications.console import UNSET
from tests.contract.channel_services import ChannelService

IS_SERVICE = False


class ConsoleStand(ChannelService):
    def __init__(self, printed: io.StringIO) -> None:
        self._printed = printed
        self.options: dict[str, str] = {}

    def messages(self) -> list[str]:
        printed = self._printed.getvalue().removeprefix(f"{UNSET}\n")
        return [printed] if printed else []


@contextmanager
def stand() -> Iterator[ChannelService]:
    printed = io.StringIO()
    # pytest replaces sys.stdout between a fixture and its test: it is replaced for the module.
    with patch("monitor.notifications.console.sys", SimpleNamespace(stdout=printed)):
        yield ConsoleStand(printed)
