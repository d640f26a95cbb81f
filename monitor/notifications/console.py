"""The console: where messages go while Slack is not set, so that nothing is lost in silence."""

import asyncio
import html
import sys
from typing import TextIO

from monitor.domain import Delivery, Message, Sent, TryLater
from monitor.notifications.notifier import ChannelCheck

UNSET = (
    "Slack is not set (SLACK_WEBHOOK_URL, or SLACK_BOT_TOKEN with SLACK_CHANNEL): "
    "messages are printed here"
)


class ConsoleNotifier:
    """Prints the text of each message, after saying once why it stands here."""

    channel = "console"

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._explained = False

    async def send(
        self,
        message: Message,
        *,
        reference: str | None = None,
        reply: Message | None = None,
        quiet: bool = False,
    ) -> Delivery:
        """Print a message; what would only edit or reply is for channels that can."""
        if quiet:
            return Sent()
        notified = html.unescape(message.text)  # undoes what Slack needs
        try:
            await asyncio.to_thread(
                self._print, notified if self._explained else f"{UNSET}\n{notified}"
            )
        except (OSError, ValueError) as error:  # gone, or closed
            return TryLater(f"the console cannot be written: {type(error).__name__}")
        self._explained = True
        return Sent()

    async def check(self) -> ChannelCheck:
        """Say that Slack is not set."""
        return ChannelCheck(True, UNSET)

    def _print(self, text: str) -> None:
        stream = self._stream or sys.stdout
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
        stream.flush()
