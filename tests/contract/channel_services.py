"""What stands at the far end of a channel in the contract suite: a local service, or less.

Each kind of channel has one module or more in `tests/contract/channels/`, `KIND.py` or
`KIND_VARIANT.py`, with a function `stand()`: a context manager that gives a `ChannelStand`. A
module whose channel has no service (a console, a file) states `IS_SERVICE = False`.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import Enum
from types import ModuleType
from typing import Any, ClassVar, Protocol

from monitor.notifications import NOTIFIERS, ChannelOptions, Notifier
from tests.contract import channels

# The kind of channel by the module.
STANDS = {name: name.partition("_")[0] for _, name, _ in pkgutil.iter_modules(channels.__path__)}


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{channels.__name__}.{name}")


def services() -> list[str]:
    """Names of the far ends that can fail as a service on the network does."""
    return [name for name in STANDS if getattr(_module(name), "IS_SERVICE", True)]


class ChannelFailure(Enum):
    """How the service meets the next request."""

    RATE_LIMIT = "it asks to wait 7 s, and takes nothing"
    SERVER_ERROR = "it has an internal error, and takes nothing"
    REFUSAL = "it refuses for good: the key or address is wrong"
    LOST_REPLY = "it takes the message and resets the connection"
    SLOW = "it takes the message after 0.3 s"


class ChannelService(Protocol):
    """The far end of a channel on loopback."""

    options: Mapping[str, Any]  # of its section in `monitor.toml`
    secrets: ClassVar[tuple[str, ...]] = ()  # parts of it that must not be shown
    wait_s: ClassVar[float | None] = 7  # what the channel makes of RATE_LIMIT

    def messages(self) -> list[str]:
        """What people are notified of, as it reads now, oldest first, without escapes.

        Details that only stand in a thread are no message.
        """

    def arrivals(self) -> list[str]:
        """What came for people or changed before their eyes, replies excluded: in order, where it
        is about the same incident.
        """
        return self.messages()

    def pictures(self) -> list[bytes]:
        """Pictures that arrived. A notifier that attaches none does not need it."""
        return []

    def meet(self, trouble: ChannelFailure) -> None:
        """Meet the next request so. A channel without a service does not need it."""
        where = type(self).__module__.replace(".", "/") + ".py"
        raise AssertionError(f"implement `meet`, or state `IS_SERVICE = False`, in {where}")


def channel_service(name: str) -> AbstractContextManager[ChannelService]:
    """The far end of this name."""
    found: AbstractContextManager[ChannelService] = _module(name).stand()
    return found


def notifier_for(name: str, stand: ChannelService) -> Notifier:
    """The channel that leads to a stand."""
    options: type[ChannelOptions] = NOTIFIERS[STANDS[name]]
    return options(**stand.options).notifier("alerts")
