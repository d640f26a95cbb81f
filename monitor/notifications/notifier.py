"""What a channel that takes messages promises."""

from dataclasses import dataclass
from typing import Protocol

from monitor.domain import Delivery, Message


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
        the channel. Channels that cannot edit send a new message and no reply. Whatever is
        sent notifies people, unless it is `quiet`: an edit or nothing.
        Slack is waited for no longer than `slack.DEADLINE_S`.
        """

    async def check(self) -> ChannelCheck:
        """Ask whether the channel can be used, without telling anybody anything."""
