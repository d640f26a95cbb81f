"""What every notifier promises, and how it describes itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Protocol, Self

from monitor.domain import Delivery, GiveUp, Notice


@dataclass(frozen=True, slots=True)
class ChannelCheck:
    """Whether a channel can be used, as far as can be known without sending.

    `usable` None: unknown. `reason` is for a person and holds no secret.
    """

    usable: bool | None
    reason: str


class VariableKind(Enum):
    """What a variable holds, and so how the configuration checks it."""

    SECRET_ADDRESS = "secret address"  # https, or http on loopback; anyone who knows it can post
    ADDRESS = "address"
    KEY = "key"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class NotifierVariable:
    """An environment variable of a notifier.

    A notifier is configured when all its variables without default are set. `needs`: another
    variable that must be set when this one is; `needs_remedy`: what to write there.
    """

    name: str
    kind: VariableKind = VariableKind.TEXT
    default: str | None = None
    needs: str | None = None
    needs_remedy: str = "set it as well"

    @property
    def required(self) -> bool:
        return self.default is None

    @property
    def secret(self) -> bool:
        return self.kind in (VariableKind.SECRET_ADDRESS, VariableKind.KEY)


class Notifier(Protocol):
    """A channel to people. It knows which failures are final; expected trouble is a value.

    Subclass it explicitly: what is optional has a default here.
    """

    name: ClassVar[str]  # stored in the outbox
    variables: ClassVar[tuple[NotifierVariable, ...]] = ()
    reaches_people: ClassVar[bool] = True  # False: messages wait for somebody who looks
    attaches: ClassVar[bool] = False  # whether `attach` is implemented

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """The notifier, from the checked values of its variables; None: it is not configured.

        Variables that are not set and have no default are absent.
        """

    async def send(
        self, notice: Notice, *, reference: str | None = None, runbook_url: str | None = None
    ) -> Delivery:
        """Send a notice as a new message, or with `reference` as an edit of that message.

        An edit is followed by something that notifies people, unless the notice is `quiet`:
        then it is an edit or nothing. Channels that cannot edit send a new message, and nothing
        for a quiet notice. It ends within 30 s.

        Without `runbook_url` the runbook is named by its path in this project.
        """

    async def check(self) -> ChannelCheck:
        """Find out whether the channel can be used, without sending anything."""

    async def attach(self, reference: str, picture: bytes, *, title: str) -> Delivery:
        """Put a PNG picture beside the message referred to. It never breaks the channel."""
        return GiveUp(f"{self.name} cannot attach pictures")
