"""Where the configuration holds what may be a secret: headers, addresses, keys in options."""

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from monitor.addresses import is_token, looks_secret, secret_parts
from monitor.domain import Target
from monitor.health import address
from monitor.settings.schema import File

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Headers that hold no secret, unless it comes from the environment.
_HARMLESS_NAMES = """
    accept accept-charset accept-encoding accept-language cache-control connection content-type
    host origin pragma referer user-agent x-title http-referer anthropic-version anthropic-beta
    openai-beta
"""
_WORD = re.compile(r"[A-Za-z][A-Za-z ._/-]{0,15}")
_HARMLESS = frozenset(_HARMLESS_NAMES.split())


def references(table: Any) -> Iterator[str]:
    """The variables that any text of the document refers to by `${NAME}`."""
    if isinstance(table, Mapping):
        for value in table.values():
            yield from references(value)
    elif isinstance(table, list):
        for value in table:
            yield from references(value)
    elif isinstance(table, str):
        yield from REFERENCE.findall(table)


def secret_values(table: Any) -> Iterator[str]:
    """Texts of an unchecked document that may be secrets, by their key or their shape."""
    yield from _secret_texts(table, of_headers=True)


def target_secrets(file: File, built: Mapping[str, Target]) -> Iterator[str]:
    """Whatever in a target may be a secret: headers, parts of addresses, keys in options."""
    for name, target in built.items():
        templates = file.targets[name].headers
        for header, value in target.headers.items():
            if REFERENCE.search(templates[header]) or _may_be_secret(header, value):
                yield from _header_secrets(value)
        page = file.targets[name].health.url
        for found in (target.url, target.proxy, page and address(target.url, page)):
            yield from secret_parts(found or "")
        yield from _secret_texts(target.options)


def _may_be_secret(header: str, value: str) -> bool:
    """Of a header written out in the file: no name of a standard header, and no ordinary word,
    for it would be redacted wherever the service says that word.
    """
    if header.lower() in _HARMLESS:
        return False
    return looks_secret(header) or not _WORD.fullmatch(value)


def _header_secrets(value: str) -> Iterator[str]:
    """The value, each cookie in it, and what Basic authentication spells in base64."""
    yield value
    cookies = (pair.partition("=")[2] for pair in value.split(";"))
    yield from filter(None, cookies)
    scheme, _, credentials = value.partition(" ")
    if scheme.lower() == "basic":
        with suppress(ValueError):
            plain = base64.b64decode(credentials.strip(), validate=True).decode("utf-8", "replace")
            yield from (plain, plain.partition(":")[2])


def _secret_texts(table: Any, *, secret: bool = False, of_headers: bool = False) -> Iterator[str]:
    if isinstance(table, Mapping):
        for key, value in table.items():
            named = looks_secret(str(key)) or (of_headers and key == "headers")
            yield from _secret_texts(value, secret=secret or named, of_headers=of_headers)
    elif isinstance(table, (list, tuple)):
        for value in table:
            yield from _secret_texts(value, secret=secret, of_headers=of_headers)
    elif isinstance(table, str):
        if secret or is_token(table):
            yield from REFERENCE.split(table)[::2]  # what is written out, without `${NAME}`
        elif of_headers:
            yield from secret_parts(table)
