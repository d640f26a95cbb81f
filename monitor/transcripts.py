"""Transcripts as JSON Lines: written by `monitor probe --record`, read by tests and `identify`."""

from collections.abc import Iterable
from dataclasses import replace

from pydantic import TypeAdapter

from monitor.domain import Transcript
from monitor.redaction import redact

# Headers that identify a session or a person rather than a model.
_PRIVATE = frozenset({"set-cookie", "cookie", "authorization", "x-api-key", "proxy-authorization"})

_TRANSCRIPT: TypeAdapter[Transcript] = TypeAdapter(Transcript)


def scrubbed(transcripts: Iterable[Transcript], secrets: Iterable[str]) -> str:
    """One transcript a line, without private headers and without any of our secrets."""
    held = tuple(secrets)
    lines = []
    for transcript in transcripts:
        kept = tuple((n, v) for n, v in transcript.headers if n not in _PRIVATE)
        line = _TRANSCRIPT.dump_json(replace(transcript, headers=kept), exclude={"heard"}).decode()
        lines.append(redact(line, held) + "\n")
    return "".join(lines)


def recorded(lines: Iterable[str]) -> list[Transcript]:
    """Transcripts read back; raises ValueError naming the invalid line."""
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(_TRANSCRIPT.validate_json(line))
        except ValueError as error:
            raise ValueError(f"line {number} is not a transcript: {error}") from None
    return found
