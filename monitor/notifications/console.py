"""The console prints messages while no other channel is configured, so that none is lost."""

import asyncio
import sys
from dataclasses import dataclass
from typing import ClassVar, TextIO

from monitor import bounded_io
from monitor.command_name import as_started
from monitor.domain import Delivery, Notice, Sent, TryLater
from monitor.notifications.notifier import ChannelCheck, ChannelOptions, Notifier
from monitor.notifications.plain_text import plain_text

PATIENCE_S = 2.0  # for a pipe that nobody reads
UNSET = "no notification channel is configured: messages go to the console"


class ConsoleNotifier(Notifier):
    """Prints each message as plain text. The first one explains why it is printed here."""

    reaches_people = False

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._explained = False

    async def send(
        self, notice: Notice, *, reference: str | None = None, runbook_url: str | None = None
    ) -> Delivery:
        """Print a message; a quiet notice is only for channels that can edit."""
        if notice.quiet:
            return Sent(posted=False)
        text = as_started(plain_text(notice, runbook_url=runbook_url))
        try:
            await asyncio.to_thread(self._print, text if self._explained else f"{UNSET}\n{text}")
        except (OSError, ValueError, AttributeError) as error:  # closed, or nobody reads it
            return TryLater(f"cannot write to the console: {type(error).__name__}")
        self._explained = True
        return Sent()

    async def check(self) -> ChannelCheck:
        """Report that no other channel is configured."""
        return ChannelCheck(True, UNSET)

    def _print(self, text: str) -> None:
        stream = self._stream or sys.stdout
        encoding = stream.encoding or "utf-8"
        data = f"{text}\n".encode(encoding, "replace")
        try:
            descriptor = stream.fileno()
        except (OSError, ValueError):  # in memory
            stream.write(data.decode(encoding))
            stream.flush()
            return
        stream.flush()
        if bounded_io.write(descriptor, data, within_s=PATIENCE_S) < len(data):
            raise TimeoutError


@dataclass(frozen=True, kw_only=True)
class ConsoleOptions(ChannelOptions):
    """Standard output. It has no options."""

    kind: ClassVar[str] = "console"

    def notifier(self, name: str) -> Notifier:
        return ConsoleNotifier()
