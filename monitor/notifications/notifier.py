"""What a channel that takes messages promises."""

import asyncio
import html
import sys
from dataclasses import dataclass
from typing import Protocol, TextIO

from monitor.domain import Delivery, Message, Sent, TryLater


@dataclass(frozen=True, slots=True)
class ChannelCheck:
    """Whether a channel can be used, as far as one can tell without sending.

    `usable` None: nobody can tell. `says` is for a person and holds no secret.
    """

    usable: bool | None
    says: str


class Notifier(Protocol):
    """A way to tell. Its only wisdom is which failures are final; trouble is a value."""

    @property
    def channel(self) -> str:
        """Name stored in the outbox: `webhook`, `bot` or `console`."""

    async def send(
        self,
        message: Message,
        *,
        reference: str | None = None,
        reply: Message | None = None,
        quiet: bool = False,
    ) -> Delivery:
        """Tell a message: a new one, or with `reference` an edit of that one and a reply to it.

        `reply`, else the message itself, goes into the thread of `reference` and is shown in
        the channel. Channels that cannot edit send a new message and no reply. A message
        notifies people, unless it is `quiet`: then it only edits.
        A call to Slack takes at most `slack.DEADLINE_S`.
        """

    async def check(self) -> ChannelCheck:
        """Check whether the channel can be used, without sending a message."""


# The console: where messages go while Slack is not configured, so that none is lost.


UNSET = (
    "Slack is not configured (SLACK_WEBHOOK_URL, or SLACK_BOT_TOKEN with SLACK_CHANNEL): "
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
            return TryLater(f"cannot write to the console: {type(error).__name__}")
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
