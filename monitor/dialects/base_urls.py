"""Which part of an endpoint's path a configured URL lacks: `base_urls.toml` knows the exceptions.

People configure a host, a base URL as their SDK wants it, or the whole address. A whole address
is requested as it is. Behind a base URL follows the path of the endpoint, without its version
where the URL has one already.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

VERSION = re.compile(r"v[0-9]{1,3}[a-z0-9]{0,10}", re.IGNORECASE)  # such as v1, v4 or v1beta
_METHOD = re.compile(r".*:[A-Za-z]+")  # Google's way to call a method: models/m:rawPredict
# Last segments of addresses that no base URL ends in. Sources: the services' references.
_WHOLE = (
    "chat/completions",
    "text/chatcompletion_v2",  # MiniMax
    "v*/completions",  # the older endpoint of OpenAI's format
    "agents/completions",  # Mistral
    "fim/completions",
    "agents/*/completions",  # RAGFlow
    "chats/*/completions",
    "chat-messages",  # Dify
    "completion-messages",
    "workflows/run",
    "v*/responses",
    "openai/responses",  # Azure
    "codex/responses",
    "v*/messages",
    "invocations",  # Databricks, SageMaker
    "invocations-response-stream",  # SageMaker
    "invoke-with-response-stream",  # Bedrock
    "converse-stream",
    "runs/stream",  # LangGraph
    "pexec/functions/*",  # NVIDIA Cloud Functions
    "ai/run/@*/*/*",  # Cloudflare Workers AI
    "production/predict",  # Baseten
    "score",  # Azure Machine Learning
    "generate_stream",  # Text Generation Inference
)


@dataclass(frozen=True, slots=True)
class _Base:
    """One row of the table."""

    host: str  # the host's name, with `*`, or its end; "" for any
    path: tuple[str, ...]  # the last segments; empty: no path at all
    query: str
    dialects: frozenset[str]  # empty: all
    append: str

    def fits(self, host: str, have: Sequence[str], query: str, dialect: str) -> bool:
        if self.dialects and dialect not in self.dialects:
            return False
        if self.host and not (fnmatchcase(host, self.host) or host.endswith(f".{self.host}")):
            return False
        return self.query in query and (_ends(have, self.path) if self.path else not have)


def missing(url: str, path: str, dialect: str) -> str:
    """What the URL lacks of an endpoint's path; "" where the URL is the whole address."""
    parts = urlsplit(url)
    have = [segment for segment in parts.path.split("/") if segment]
    want = path.split("/")
    versioned = VERSION.fullmatch(want[0]) is not None
    last = want[1:] if versioned else want
    if have[-len(last) :] == last or is_whole(have):
        return ""
    host = (parts.hostname or "").lower()
    row = next((row for row in _BASES if row.fits(host, have, parts.query, dialect)), None)
    if row:
        return row.append.format(path=path, endpoint="/".join(last))
    return "/".join(last) if versioned and _has_version(have) else path


def is_whole(have: Sequence[str]) -> bool:
    """Whether a path is the address of an endpoint, of whatever service."""
    if have and _METHOD.fullmatch(have[-1]):
        return True
    return any(_ends(have, ending) for ending in _ENDINGS)


def _has_version(have: Sequence[str]) -> bool:
    """A version anywhere in the path, or an Azure deployment, whose version is a parameter."""
    return have[-2:-1] == ["deployments"] or any(VERSION.fullmatch(part) for part in have)


def _ends(have: Sequence[str], pattern: tuple[str, ...]) -> bool:
    """Whether the last segments are those of a pattern; `*` is any text within a segment."""
    last = have[-len(pattern) :]
    return len(last) == len(pattern) and all(map(_matches, last, pattern))


def _matches(segment: str, pattern: str) -> bool:
    if pattern == "v*":
        return VERSION.fullmatch(segment) is not None
    start, star, _ = pattern.partition("*")
    return segment.startswith(start) if star else segment == pattern


def _base(row: Mapping[str, Any]) -> _Base:
    return _Base(
        host=row.get("host", ""),
        path=tuple(row["path"].split("/")) if row["path"] else (),
        query=row.get("query", ""),
        dialects=frozenset(row.get("dialects", ())),
        append=row["append"],
    )


_TABLE = tomllib.loads(files("monitor.dialects").joinpath("base_urls.toml").read_text("utf-8"))
_BASES = tuple(_base(row) for row in _TABLE["base"])
_ENDINGS = tuple(tuple(ending.split("/")) for ending in _WHOLE)
