"""The ids of probes: in order of time, so that rows of the same minutes lie together.

A random id makes Postgres write another page of each index for every row, and after each
checkpoint the whole page into its log.
"""

import secrets
import time
from uuid import UUID

_MS = 48  # bits of the milliseconds since 1970
_RANDOM = 80  # further bits, of which the version and the variant take six
_VERSION, _VARIANT = 0x7 << 76, 0b10 << 62
_RESERVED = 0xF << 76 | 0b11 << 62


def new_probe_id() -> UUID:
    """An id that no other probe has; a UUID of version 7 (RFC 9562, section 5.7)."""
    ms = time.time_ns() // 1_000_000 % (1 << _MS)
    number = ms << _RANDOM | secrets.randbits(_RANDOM)
    return UUID(int=number & ~_RESERVED | _VERSION | _VARIANT)
