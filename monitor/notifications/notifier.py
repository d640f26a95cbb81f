"""What every channel promises, and how a kind of channel describes itself."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from typing import Any, ClassVar, Protocol, Self

from monitor.domain import Delivery, GiveUp, Notice, TryLater
from monitor.incidents.actions import Person, ReactionsSeen


@dataclass(frozen=True, slots=True)
class ChannelCheck:
    """Whether a channel can be used, as far as can be known without sending.

    `usable` None: unknown. `reason` is for a person and holds no secret.
    """

    usable: bool | None
    reason: str
    limits: tuple[str, ...] = ()  # what does not work, and why: a sentence each


class OptionKind(Enum):
    """What an option holds, and so how the configuration checks it."""

    SECRET_ADDRESS = "secret address"  # https, or http on loopback; anyone who knows it can post
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

    `needs`: another variable that must be set when this one is; `needs_remedy`: what to write
    there. `meaning` stands in docs/configuration.md.
    """

    name: str
    option: str
    meaning: str
    needs: str | None = None
    needs_remedy: str = "set it as well"


@dataclass(frozen=True, kw_only=True)
class ChannelOptions(ABC):
    """A kind of channel, described by the options of its section in `monitor.toml`.

    Each field is made by `option`. `__post_init__` refuses what does not fit together: a ValueError
    with the remedy. It runs whenever the configuration is read, so it opens nothing.
    """

    kind: ClassVar[str]
    variables: ClassVar[tuple[ChannelVariable, ...]] = ()  # they describe the default channel
    setup: ClassVar[str] = ""  # which of them to set, as a person reads it

    @abstractmethod
    def notifier(self, name: str) -> "Notifier":
        """The channel of this name, ready to send. Raises nothing, and reaches nothing yet."""

    @classmethod
    def kinds(cls) -> Mapping[str, OptionKind]:
        """What each option holds, by its name."""
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
    """A channel to people. It knows which failures are final; expected trouble is a value.

    Subclass it explicitly: what is optional has a default here.
    """

    reaches_people: ClassVar[bool] = True  # False: messages wait for somebody who looks
    attaches: ClassVar[bool] = False  # whether `attach` is implemented
    reacts: ClassVar[bool] = False  # whether people answer here: `reactions`, `person`
    guide: ClassVar[str] = ""  # the document that explains its errors, within this project

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
        return GiveUp("this channel cannot attach pictures")

    async def limits(self) -> tuple[str, ...] | TryLater | GiveUp:
        """What the channel cannot do, and why: a sentence each, as in `check`."""
        return ()

    async def reactions(self, reference: str) -> ReactionsSeen | TryLater | GiveUp:
        """How people reacted to the message referred to. `channel_broken`: so with any message."""
        return GiveUp("this channel has no reactions", channel_broken=True)

    async def person(self, actor: str) -> Person | TryLater | GiveUp:
        """Who reacted, by the channel's id of the person."""
        return GiveUp("this channel does not name people", channel_broken=True)
