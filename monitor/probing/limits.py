"""How much of a stranger's bytes we are willing to hold."""

LINE_BYTES = 256 * 1024
EVENT_BYTES = 1024 * 1024
STREAM_BYTES = 4 * 1024 * 1024
STREAM_EVENTS = 50_000  # four MiB of the shortest events would fill memory all the same
SLICE_BYTES = 4 * 1024  # worked on in one turn of the loop
FREE_BYTES = 2 * 1024 * 1024  # of memory that any stream may hold, 5,000 tokens and more …
HELD_BYTES = 20 * 1024 * 1024  # … and what all streams together may hold beyond it
EVENT_OVERHEAD_BYTES = 300  # of memory that an event takes besides its text
HEAD_BYTES = 64 * 1024
HEAD_FIELDS = 256
BODY_BYTES = 8_000
BODY_CHARS = 2_000  # kept of a body that was no stream
MALFORMED_EVENTS = 20


class TooLarge(Exception):
    """A cap was reached. `events` were complete before it."""

    def __init__(self, what: str, events: list[tuple[str, str]]) -> None:
        super().__init__(what)
        self.events = events
