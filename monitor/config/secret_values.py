"""Where the configuration holds what may be a secret: headers, addresses, keys in options."""

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from monitor.addresses import is_odd, is_token, looks_secret, pieces, secret_parts
from monitor.config.file_schema import ConfigFile
from monitor.domain import Target
from monitor.health_page import address

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Headers that hold no secret, unless it comes from the environment.
_HARMLESS_NAMES = """
    accept accept-charset accept-encoding accept-language cache-control connection content-type
    host origin pragma referer user-agent x-title http-referer anthropic-version anthropic-beta
    openai-beta
"""
_SENT = frozenset({"body", "query", "path"})  # options that become part of the request
_WORD = re.compile(r"[A-Za-z][A-Za-z ._/-]{0,15}")
_HARMLESS = frozenset(_HARMLESS_NAMES.split())


def references(table: Any) -> Iterator[str]:
    """The variables that any text of the document refers to by `${NAME}`."""
    for text in _texts(table, models=True):
        yield from REFERENCE.findall(text)


def _texts(table: Any, *, models: bool = False) -> Iterator[str]:
    """Every text in a document; without names of models, which must not be redacted."""
    if isinstance(table, Mapping):
        for key, value in table.items():
            if models or key != "model":
                yield from _texts(value, models=models)
    elif isinstance(table, list):
        for value in table:
            yield from _texts(value, models=models)
    elif isinstance(table, str):
        yield table


def secret_values(table: Any) -> Iterator[str]:
    """Texts of an unchecked document that may be secrets, by their key or their shape.

    Of options also what has the shape of a key within a longer text, for faults quote them.
    """
    yield from _secret_texts(table, of_headers=True)
    targets = table.get("targets") if isinstance(table, Mapping) else None
    for target in targets.values() if isinstance(targets, Mapping) else ():
        for text in _texts(target.get("options") if isinstance(target, Mapping) else None):
            yield from filter(is_odd, pieces(text))


def target_secrets(file: ConfigFile, built: Mapping[str, Target]) -> Iterator[str]:
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
        for key in target.options.keys() & _SENT:
            for text in _texts(target.options[key]):
                yield from filter(is_odd, pieces(text))


def _may_be_secret(header: str, value: str) -> bool:
    """Of a header written out in the file: no name of a standard header, and no ordinary word,
    for it would be redacted wherever the service says that word.
    """
    if header.lower() in _HARMLESS:
        return False
    return looks_secret(header) or not _WORD.fullmatch(value)


def _header_secrets(value: str) -> Iterator[str]:
    """The value, each cookie or parameter in it, and what Basic authentication spells in base64."""
    yield value
    named = (pair.partition("=")[2] for pair in re.split(r"[;,\s]", value))
    yield from (part.strip("\"'") for part in named if part)
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
        elif of_headers or "://" in table:
            yield from secret_parts(table)
