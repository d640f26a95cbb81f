"""The state of one exchange, from which its deadlines, ending and transcript follow."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import h11

from monitor.domain import Dialect, Ending, Query, StampSource, Target, Transcript
from monitor.probing.http_message import (
    Fields,
    encoded,
    excess,
    fields,
    media_type,
    retry_after_s,
)
from monitor.probing.limits import BODY_BYTES, BODY_CHARS, ProbeError, reason
from monitor.probing.resources import ProbeResources
from monitor.probing.stream_reader import StreamReader
from monitor.probing.timestamped_socket import ConnectionTimes

DOUBT_NS = 5_000_000  # a first token with a larger uncertainty is not a measurement
DETAIL_CHARS = 300
BODY_TIME = timedelta(seconds=5)  # time for a body that is not a stream to arrive
# How an exchange ends if a deadline passes before the connection is established.
CONNECTING = {Ending.DNS: Ending.DNS, Ending.REFUSED: Ending.CONNECT, Ending.TLS: Ending.TLS}


class ExchangeProgress:
    """One exchange from its start. `verdict` is what the headers decided, if anything."""

    def __init__(
        self, dialect: Dialect, target: Target, query: Query, http: ProbeResources, *, raw: bool
    ) -> None:
        self.stamps = ConnectionTimes()
        self.hearing = StreamReader(
            dialect, stop_after_chars=query.stop_after_chars, memory=http.memory, raw=raw
        )
        self.verdict: tuple[Ending, str] | None = None
        self.body_complete = False
        self._dialect = dialect
        self._target = target
        self._query = query
        self._http = http
        http.clock.compare()
        self._steps = http.clock.steps
        self._started_at = datetime.now(UTC)
        self._started_ns = time.monotonic_ns()
        self._status: int | None = None
        self._head: Fields = ()
        self._head_ns: int | None = None
        self._body = bytearray()

    def due(self) -> tuple[int, Ending]:
        """The next deadline and the ending it causes. Of all bytes only text moves it."""
        whole = self._started_ns + _ns(self._target.deadline)
        if self.verdict is None and self.stamps.stage in CONNECTING:
            return self._started_ns + _ns(self._connect_deadline), CONNECTING[self.stamps.stage]
        if self.verdict is not None and self._head_ns is not None:
            nearest = self._head_ns + _ns(BODY_TIME), self.verdict[0]
        elif self.hearing.last_text_ns is not None:
            nearest = self.hearing.last_text_ns + _ns(self._target.stall_deadline), Ending.STALLED
        elif self.stamps.sent_ns is not None:
            nearest = self.stamps.sent_ns + _ns(self._target.first_token_deadline), Ending.SILENT
        else:
            nearest = whole, Ending.DEADLINE
        return min(nearest, (whole, Ending.DEADLINE), key=lambda due: due[0])

    @property
    def _connect_deadline(self) -> timedelta:
        """A shorter deadline for the whole probe also applies to its connection."""
        return min(self._target.connect_deadline, self._target.deadline)

    def unheard(self, due_ns: int) -> bool:
        """Whether bytes that arrived by then are still to be processed."""
        first = self.stamps.unheard_ns
        return first is not None and first <= due_ns

    def take_head(self, status: int, raw: list[tuple[bytes, bytes]]) -> None:
        """Record the headers, and what they decide."""
        self.stamps.stage = Ending.EOF
        self._status = status
        self._head_ns = self.stamps.arrived_ns
        over = excess(raw)
        self._head = () if over else fields(raw)
        encoding, media = encoded(self._head), media_type(self._head)
        if over:
            self.verdict = Ending.PROTOCOL, over
        elif status != 200:
            self.verdict = Ending.STATUS, f"status {status}"
        elif encoding is not None:
            self.verdict = Ending.PROTOCOL, f"sent as {encoding}, although identity was requested"
        elif media not in self._dialect.media_types:
            self.verdict = Ending.CONTENT_TYPE, f"sent as {media or 'no media type'}"
        else:
            self.hearing.use(self._dialect.framing_of(media))
        self.stamps.enough = bool(over or encoding)  # the body would not be readable

    def take_body(self, piece: bytes) -> None:
        """Keep the start of a body that is not a stream."""
        if not self.stamps.enough:
            self._body += piece[: BODY_BYTES - len(self._body)]
            self.stamps.enough = len(self._body) >= BODY_BYTES

    def ending(self, error: Exception | None) -> tuple[Ending, str | None]:
        """How it ended, and why, given what stopped it. What was received outranks how it broke."""
        if self.hearing.ending is not None:
            return self.hearing.ending, self.hearing.detail
        if self.verdict is not None:
            return self.verdict
        stage = self.stamps.stage
        match error:
            case None:
                return Ending.EOF, "the stream ended without the dialect's end"
            case ProbeError():
                return error.ending, error.detail
            case h11.LocalProtocolError():  # its message may quote our headers
                return Ending.PROTOCOL, "the request's headers are not HTTP"
            case OSError():
                return stage, reason(error)
            case _:
                return stage, str(error)[:DETAIL_CHARS]

    def overdue(self, ending: Ending) -> tuple[Ending, str | None]:
        """The same when a deadline passed or the worker stops."""
        if self.hearing.ending is not None:
            return self.hearing.ending, self.hearing.detail
        if self.verdict is not None:
            return self.verdict
        target = self._target
        match ending:
            case Ending.ABORTED:
                return ending, "stopped by the monitor"
            case Ending.DEADLINE:
                return ending, f"not finished within {_s(target.deadline)}"
            case Ending.SILENT:
                return ending, f"no answer text within {_s(target.first_token_deadline)}"
            case Ending.STALLED:
                return ending, f"no further answer text for {_s(target.stall_deadline)}"
            case _:
                return ending, f"{self._phase(ending)} within {_s(self._connect_deadline)}"

    def _phase(self, ending: Ending) -> str:
        """The phase that was not complete when the connection's deadline passed."""
        match ending:
            case Ending.DNS:
                return "dns: the name was not resolved"
            case Ending.TLS:
                return "tls: the handshake was not finished"
            case _ if self.stamps.tunnelling:
                return "connect: the proxy opened no tunnel"
            case _:
                return "connect: no TCP connection"

    def transcript(self, probe: UUID, ending: Ending, detail: str | None) -> Transcript:
        """The complete transcript, once the exchange is over."""
        ended_ns = time.monotonic_ns()
        self._http.clock.compare()
        worst_ns = max(self.stamps.late_ns, self._http.pulse.worst_ns(self._started_ns))
        body = self._body.decode(errors="replace")[:BODY_CHARS]
        return Transcript(
            id=probe,
            started_at=self._started_at,
            started_ns=self._started_ns,
            ended_ns=ended_ns,
            ending=ending,
            query=self._query.id,
            dns_ns=self.stamps.dns_ns,
            connected_ns=self.stamps.connected_ns,
            tls_ns=self.stamps.tls_ns,
            sent_ns=self.stamps.sent_ns,
            head_ns=self._head_ns,
            status=self._status,
            headers=self._head,
            events=tuple(self.hearing.events),
            heard=tuple(self.hearing.heard),
            detail=detail,
            body=body or None,
            body_complete=self.body_complete,
            stamp=self._stamp(),
            lag_ms=worst_ns / 1e6,
            retry_after_s=self._retry_after_s(),
        )

    def _stamp(self) -> StampSource:
        kernel, doubt_ns = self.hearing.first_text or (self.stamps.kernel, 0)
        if self._http.clock.steps != self._steps:
            return StampSource.DEGRADED
        if doubt_ns + self.stamps.sending_ns > DOUBT_NS:
            return StampSource.DEGRADED
        return StampSource.KERNEL if kernel else StampSource.USER

    def _retry_after_s(self) -> float | None:
        if self._status is None or self._status == 200:
            return None
        return retry_after_s(self._head, datetime.now(UTC))


def _ns(span: timedelta) -> int:
    return span // timedelta(microseconds=1) * 1000


def _s(span: timedelta) -> str:
    return f"{span.total_seconds():g} s"
