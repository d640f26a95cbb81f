"""The format of a spool file: one record a line, each with its length and checksum.

`+` records hold an observation, `-` records say up to which sequence number everything was
stored or dropped. Sequence numbers rise. A record begins with a line feed and holds no other,
so that reading goes on at the next record after damaged bytes.
"""

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from pydantic import TypeAdapter

from monitor.domain import Observation
from monitor.storage.observations import row

_HEAD = re.compile(rb"\n([+-]) ([0-9a-f]{16}) ([0-9a-f]{8}) ([0-9a-f]{8}) ")
_HEAD_BYTES = 38
_OBSERVATION: TypeAdapter[Observation] = TypeAdapter(Observation)
# A file may have been written by an older version: what it did not know is unknown.
_ABSENT: Mapping[str, None] = {f.name: None for f in fields(Observation) if f.default is MISSING}


def waiting(sequence: int, observation: Observation) -> bytes:
    """The record of an observation that waits."""
    return _record(b"+", sequence, json.dumps(row(observation), default=str).encode("ascii"))


def done(sequence: int) -> bytes:
    """The record that nothing up to this sequence number waits any more."""
    return _record(b"-", sequence, b"")


def _record(kind: bytes, sequence: int, payload: bytes) -> bytes:
    sealed = b"%s %016x %08x " % (kind, sequence, len(payload))
    return b"\n%s%08x %s" % (sealed, _checksum(sealed, payload), payload)


def _checksum(sealed: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(sealed))


@dataclass(slots=True)
class SpoolContents:
    """What a file holds: what waits, in order, and how many stretches could not be read.

    `torn`: the end could not be read either, as after a write that was interrupted.
    """

    waiting: list[Observation] = field(default_factory=list)
    damaged: int = 0
    torn: bool = False


def parse(data: bytes) -> SpoolContents:
    """Read a file, whole or torn anywhere."""
    found: dict[int, bytes] = {}
    newest, stored, position, contents = -1, -1, 0, SpoolContents()
    while position < len(data):
        record = _read(data, position)
        if record is None:
            following = data.find(b"\n", position + 1)
            contents.torn = following < 0
            contents.damaged += not contents.torn
            position = len(data) if contents.torn else following
            continue
        kind, sequence, payload = record
        position += _HEAD_BYTES + len(payload)
        if kind == b"-":
            stored = max(stored, sequence)
        elif sequence > newest:  # a write that was repeated after an error counts once
            newest = sequence
            found[sequence] = payload
    for sequence, payload in found.items():
        if sequence > stored:
            observation = _observation(payload)
            if observation is None:
                contents.damaged += 1
            else:
                contents.waiting.append(observation)
    return contents


def _read(data: bytes, position: int) -> tuple[bytes, int, bytes] | None:
    head = _HEAD.match(data, position)
    if head is None:
        return None
    payload = data[head.end() : head.end() + int(head[3], 16)]
    sealed = data[head.start() + 1 : head.start(4)]
    if len(payload) != int(head[3], 16) or _checksum(sealed, payload) != int(head[4], 16):
        return None
    return head[1], int(head[2], 16), payload


def _observation(payload: bytes) -> Observation | None:
    try:
        written: dict[str, Any] = json.loads(payload)
        return _OBSERVATION.validate_python({**_ABSENT, **written})
    except (ValueError, TypeError):
        return None
