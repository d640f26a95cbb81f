"""The protocol of every notifier, and how a kind of channel describes itself."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from typing import Any, ClassVar, Protocol, Self

from monitor.domain import Delivery, GiveUp, Notice, TryLater
from monitor.incidents.actions import Person, ReactionsSeen


@dataclass(frozen=True, slots=True)
class ChannelCheck:
    """Whether a channel can be used, as far as this can be known without sending.

    `usable` None: unknown. `reason` is for a person and contains no secret.
    """

    usable: bool | None
    reason: str
    limits: tuple[str, ...] = ()  # what does not work and why, one sentence each


class OptionKind(Enum):
    """The kind of value of an option, which decides how the configuration validates it."""

    # https, or http on loopback; anyone who knows the address can post
    SECRET_ADDRESS = "secret address"
    ADDRESS = "address"
    KEY = "key"  # a secret without spaces
    SECRET_TEXT = "secret text"
    TEXT = "text"

    @property
    def secret(self) -> bool:
        return self not in (OptionKind.ADDRESS, OptionKind.TEXT)


def option(kind: OptionKind, **given: Any) -> Any:
    """A field of `ChannelOptions`: a text of this kind. Without a default it is required."""
    return field(metadata={"kind": kind}, repr=False, **given)


@dataclass(frozen=True, slots=True)
class ChannelVariable:
    """An environment variable that holds an option of the default channel.

    `needs`: another variable that must be set with this one; `needs_remedy`: what to write there.
    `meaning` is printed in docs/configuration.md.
    """

    name: str
    option: str
    meaning: str
    needs: str | None = None
    needs_remedy: str = "set it as well"


@dataclass(frozen=True, kw_only=True)
class ChannelOptions(ABC):
    """A kind of channel, described by the options of its section in `monitor.toml`.

    Each field is made by `option`. `__post_init__` rejects invalid combinations with a ValueError
    that gives the remedy. It runs whenever the configuration is read, so it opens nothing.
    """

    kind: ClassVar[str]
    variables: ClassVar[tuple[ChannelVariable, ...]] = ()  # they describe the default channel
    setup: ClassVar[str] = ""  # which of them to set, for a message

    @abstractmethod
    def notifier(self, name: str) -> "Notifier":
        """The notifier of this name, ready to send. Raises nothing and opens no connection."""

    @classmethod
    def kinds(cls) -> Mapping[str, OptionKind]:
        """The kind of each option, by its name."""
        return {item.name: item.metadata["kind"] for item in fields(cls)}

    @classmethod
    def defaults(cls) -> Mapping[str, Any]:
        """The default of each option that has one; the others are required."""
        return {f.name: f.default for f in fields(cls) if f.default is not MISSING}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """The options, from the checked values of the variables; None: too few are set."""
        return None

    @property
    def secrets(self) -> Iterator[str]:
        """Values that must not be shown."""
        for name, kind in self.kinds().items():
            if kind.secret and (value := getattr(self, name)):
                yield value


class Notifier(Protocol):
    """Sends notices to people. It knows which failures are final, and returns failures as values.

    Subclass it explicitly: optional methods have a default here.
    """

    # False: messages notify nobody, they are only printed or stored
    reaches_people: ClassVar[bool] = True
    attaches: ClassVar[bool] = False  # whether `attach` is implemented
    reacts: ClassVar[bool] = False  # whether people can react here: `reactions`, `person`
    guide: ClassVar[str] = ""  # the document of this project that explains its errors

    async def send(
        self, notice: Notice, *, reference: str | None = None, runbook_url: str | None = None
    ) -> Delivery:
        """Send a notice as a new message, or with `reference` as an edit of that message.

        An edit is followed by a message that notifies people, unless the notice is `quiet`.
        Channels that cannot edit send a new message, and nothing for a quiet notice
        (`Sent.posted`). It ends within 30 s. Without `runbook_url` the runbook is named by its path
        in this project.
        """

    async def check(self) -> ChannelCheck:
        """Find out whether the channel can be used, without sending anything."""

    async def attach(self, reference: str, picture: bytes, *, title: str) -> Delivery:
        """Attach a PNG picture to a sent message. A failure does not mark the channel as broken."""
        return GiveUp("this channel cannot attach pictures")

    async def limits(self) -> tuple[str, ...] | TryLater | GiveUp:
        """What the channel cannot do, and why, one sentence each, as in `check`."""
        return ()

    async def reactions(self, reference: str) -> ReactionsSeen | TryLater | GiveUp:
        """How people reacted to a message. `channel_broken`: other messages fail the same way."""
        return GiveUp("this channel has no reactions", channel_broken=True)

    async def person(self, actor: str) -> Person | TryLater | GiveUp:
        """Who reacted, by the channel's id of the person."""
        return GiveUp("this channel does not name people", channel_broken=True)
