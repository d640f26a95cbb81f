"""What others see of the embedded server."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A server that accepts connections."""

    url: str  # for SQLAlchemy
    psql: str  # what a person types to look inside, quoted for a shell
    pid: int
    owned: bool  # False: another process owns it; we joined


class EmbeddedPostgresError(Exception):
    """There is no embedded server: one sentence on what, where, and how to mend it."""
