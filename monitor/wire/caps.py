"""How much of a stranger's bytes we are willing to hold."""

LINE_BYTES = 256 * 1024
EVENT_BYTES = 1024 * 1024
STREAM_BYTES = 4 * 1024 * 1024
STREAM_EVENTS = 50_000  # four MiB of the shortest events would fill memory all the same
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
