"""From timestamps to latencies, from endings to outcomes: what one probe measured.

Every figure counts from the last byte of the request, except those of the connection.

Source: docs/metrics.md
"""

from monitor.domain import (
    Ending,
    Finish,
    Outcome,
    Reply,
    StampSource,
    TextDelta,
    Timing,
    Transcript,
)
from monitor.error_text import error_text
from monitor.redaction import plain

INSTRUMENT = 2  # increased whenever a definition changes: docs/metrics.md#instrument

BURST = 5  # texts in one read, from which the sender is assumed to have buffered them
LATE_SHARE = 0.9  # share of the total time that passed before the first text
LATE_TEXTS = 16  # with fewer texts nothing follows: a short answer ends soon after it begins
TEXTS_A_READ = 4  # on average; a model that starts slowly still sends one by one
MOST_CHARS = 1000  # of a reason; it is shortened for storage only after our secrets are removed

# even if text arrived, because it is not to be trusted
_UNMEASURED = (Outcome.ABORTED, Outcome.PROTOCOL)
_NAMESAKES = {
    Ending.SILENT: Outcome.TIMEOUT_FIRST_TOKEN,
    Ending.STALLED: Outcome.STALLED,
    Ending.DEADLINE: Outcome.DEADLINE,
    Ending.TOO_LARGE: Outcome.TOO_LARGE,
    Ending.STATUS: Outcome.HTTP_STATUS,
    Ending.CONTENT_TYPE: Outcome.CONTENT_TYPE,
    Ending.PROTOCOL: Outcome.PROTOCOL,
    Ending.REFUSED: Outcome.REFUSED,
    Ending.CONNECT: Outcome.CONNECT,
    Ending.DNS: Outcome.DNS,
    Ending.TLS: Outcome.TLS,
    Ending.ABORTED: Outcome.ABORTED,
}
_ABOUT_STATUS = {429: Outcome.RATE_LIMITED, 503: Outcome.UNAVAILABLE}
_REASONS = {
    Outcome.EMPTY: "the stream ended without answer text",
    Outcome.ERROR_EVENT: "an error event without a message",
    Outcome.TRUNCATED: "the connection ended before the stream",
    Outcome.TIMEOUT_FIRST_TOKEN: "no answer text within the first-token deadline",
    Outcome.STALLED: "no further text before the deadline",
    Outcome.DEADLINE: "not finished within the deadline",
    Outcome.TOO_LARGE: "larger than the limit",
    Outcome.PROTOCOL: "not the expected protocol",
    Outcome.REFUSED: "no connection",
    Outcome.CONNECT: "no connection within the deadline",
    Outcome.DNS: "the name was not resolved",
    Outcome.TLS: "the TLS connection is not trusted",
    Outcome.ABORTED: "the monitor stopped",
}


def outcome(transcript: Transcript, reply: Reply) -> tuple[Outcome, str | None]:
    """How the probe ended, and why in words; no words for an answer.

    Text of the service becomes one harmless line; secrets that it repeats are not removed yet.
    """
    kind = _kind(transcript, reply)
    match kind:
        case Outcome.ANSWERED:
            return kind, None
        case Outcome.ERROR_EVENT:
            text = reply.error
        case Outcome.HTTP_STATUS | Outcome.UNAVAILABLE | Outcome.RATE_LIMITED:
            text = _with_body(f"HTTP {transcript.status}", transcript)
        case Outcome.CONTENT_TYPE:
            media = dict(transcript.headers).get("content-type", "none")
            text = _with_body(transcript.detail or f"content type {media}", transcript)
        case Outcome.EMPTY if reply.finish is Finish.LENGTH:
            text = "the token limit was reached before any answer text"
        case _:
            text = transcript.detail
    return kind, plain(text or _REASONS[kind], MOST_CHARS)


def _kind(transcript: Transcript, reply: Reply) -> Outcome:
    ending = transcript.ending
    if ending is Ending.STATUS:
        return _ABOUT_STATUS.get(transcript.status or 0, Outcome.HTTP_STATUS)
    if ending in _NAMESAKES:
        return _NAMESAKES[ending]
    if reply.error is not None:
        return Outcome.ERROR_EVENT
    if not complete(transcript, reply):
        return Outcome.TRUNCATED
    return Outcome.ANSWERED if any(piece.text for piece in reply.pieces) else Outcome.EMPTY


def complete(transcript: Transcript, reply: Reply) -> bool:
    """Whether the answer is complete: the dialect's end, or a finish reason and a complete body.

    Also False if we hung up; use `outcome` to distinguish.
    """
    if transcript.ending is not Ending.EOF:
        return transcript.ending in (Ending.END, Ending.CUT)
    return reply.ended or (transcript.body_complete and reply.finish not in (None, Finish.ERROR))


def _with_body(text: str, transcript: Transcript) -> str:
    return f"{text}: {error_text(transcript.body)}" if transcript.body else text


def timing(transcript: Transcript, reply: Reply) -> Timing:
    """Latencies in ms. None means "not measurable": never zero, never another figure instead."""
    sent = transcript.sent_ns
    ready = transcript.tls_ns
    if ready is None and sent is not None:
        ready = transcript.connected_ns
    kind = _kind(transcript, reply)
    received = [] if kind in _UNMEASURED else list(reply.pieces)
    late = kind is Outcome.TIMEOUT_FIRST_TOKEN
    spoken = [] if late else [piece for piece in received if piece.text]
    return Timing(
        dns_ms=_ms(transcript.started_ns, transcript.dns_ns),
        connect_ms=_ms(transcript.started_ns, ready),
        tls_ms=_ms(transcript.connected_ns, transcript.tls_ns),
        ttfb_ms=_ms(sent, transcript.head_ns),
        ttft_ms=_ms(sent, spoken[0].arrived_ns) if spoken else None,
        ttft_any_ms=_ms(sent, received[0].arrived_ns) if received else None,
        total_ms=_ms(sent, spoken[-1].arrived_ns) if spoken else None,
        tpot_ms=_tpot_ms(spoken, _answer_tokens(reply)) if spoken else None,
        stamp=_stamp(transcript, received),
    )


def _ms(start_ns: int | None, end_ns: int | None) -> float | None:
    if start_ns is None or end_ns is None or end_ns < start_ns:
        return None
    return (end_ns - start_ns) / 1e6


def _answer_tokens(reply: Reply) -> int | None:
    """Reported tokens of the answer text alone; None if they include reasoning."""
    usage = reply.usage
    if usage.answer_tokens is None:
        return None
    if usage.reasoning_tokens is None and reply.reasoned:
        return None
    return usage.answer_tokens - (usage.reasoning_tokens or 0)


def _tpot_ms(spoken: list[TextDelta], tokens: int | None) -> float | None:
    """Time per token after the first; None for an answer that came in one piece."""
    span = _ms(spoken[0].arrived_ns, spoken[-1].arrived_ns)
    return span / (tokens - 1) if span and tokens is not None and tokens > 1 else None


def _stamp(transcript: Transcript, received: list[TextDelta]) -> StampSource:
    """The quality of the timestamps: degraded if the clock was stepped or text was buffered."""
    sent = transcript.sent_ns or 0
    after = [piece.arrived_ns - sent for piece in received]
    stepped = after != sorted(after) or any(ns < 0 for ns in after)
    texts = [piece for piece in received if piece.text]
    return StampSource.DEGRADED if stepped or _held_back(texts, sent) else transcript.stamp


def _held_back(texts: list[TextDelta], sent_ns: int) -> bool:
    """Whether the texts came in bursts, as from a buffer, rather than one by one."""
    reads = len({piece.read for piece in texts})
    if len(texts) >= BURST and reads == 1:
        return True
    if len(texts) < max(LATE_TEXTS, TEXTS_A_READ * reads):
        return False
    first_ns, last_ns = texts[0].arrived_ns - sent_ns, texts[-1].arrived_ns - sent_ns
    return first_ns > LATE_SHARE * last_ns
