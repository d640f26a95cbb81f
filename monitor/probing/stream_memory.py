"""What the streams under way hold together."""

from dataclasses import dataclass


@dataclass(slots=True)
class StreamMemory:
    """Bytes that all streams hold beyond what each may hold in any case."""

    held: int = 0
