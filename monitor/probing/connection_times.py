"""What one probe's connection knows of time and of how far it got."""

from dataclasses import dataclass

from monitor.domain import Ending


@dataclass(slots=True)
class ConnectionTimes:
    """Written by the connection, read by the exchange. All instants are monotonic.

    `stage` is how the exchange ends if the connection fails now. What is sent before stage
    PROTOCOL belongs to the connection and not to the request. `arrived_ns`, `read`,
    `doubt_ns` and `kernel` belong to the read whose bytes were handed out last; `doubt_ns`
    is how much earlier some of them may have arrived. `unheard_ns` is when the oldest read
    arrived that is not handed out yet.
    """

    stage: Ending = Ending.DNS
    tunnelling: bool = False  # a proxy was asked for a tunnel and has not answered
    dns_ns: int | None = None
    connected_ns: int | None = None
    tls_ns: int | None = None
    sent_ns: int | None = None
    sending_ns: int = 0  # how long the last send() took: the true start may be that much later
    arrived_ns: int = 0
    read: int = 0
    doubt_ns: int = 0
    kernel: bool = False
    late_ns: int = 0  # the longest that bytes waited for us, as far as the kernel tells
    unheard_ns: int | None = None
    spoken: bool = False  # the first text came: no arrival of later bytes is urgent
    enough: bool = False  # no further read is wanted


class EnoughReceived(Exception):
    """Everything worth hearing was heard, and all that was read is used up."""
