"""What stands at the far end of a channel in the contract suite: a local service, or less.

Each notifier of the table has a module of its name in `tests/contract/channels/` with a
function `stand()`: a context manager that gives a `ChannelStand`.
"""

import importlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import Enum
from typing import ClassVar, Protocol

from monitor.notifications import Notifier


class ChannelTrouble(Enum):
    """How the service meets the next request."""

    RATE_LIMIT = "it asks to wait 7 s, and takes nothing"
    SERVER_ERROR = "it has an internal error, and takes nothing"
    REFUSAL = "it refuses for good: the key or address is wrong"
    LOST_REPLY = "it takes the message and resets the connection"
    SLOW = "it takes the message after 0.3 s"


class ChannelStand(Protocol):
    """The far end of a channel on loopback."""

    environment: Mapping[str, str]  # every variable of the notifier, as `from_environment` gets it
    secrets: ClassVar[tuple[str, ...]] = ()  # parts of it that must not be shown

    def messages(self) -> list[str]:
        """What people read now, oldest first, replies included, without escapes of the medium."""

    def pictures(self) -> list[bytes]:
        """Pictures that arrived. A notifier that attaches none does not need it."""
        return []

    def meet(self, trouble: ChannelTrouble) -> None:
        """Meet the next request so. A notifier that reaches nobody does not need it."""


def stand_of(kind: type[Notifier]) -> AbstractContextManager[ChannelStand]:
    """The far end of this notifier's channel."""
    module = importlib.import_module(f"tests.contract.channels.{kind.name}")
    found: AbstractContextManager[ChannelStand] = module.stand()
    return found
