"""Messages, log events and help use standard terms: the old private vocabulary stays out."""

import ast
import builtins
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.parsed_sources import nodes

ROOT = Path(__file__).parents[2] / "monitor"

# Words that no sentence for a person needs, whatever it is about.
PRIVATE = re.compile(
    r"\b(anew|betwixt|dearer|for want of|heard|lest|mend(ed|s)?|nats|nobody|of ours|overhear\w*"
    r"|reckon\w*|telling|thereof|thrift\w*|told|upon|whoever)\b|\bdatabase (is )?away\b"
    r"|\b(its|by) looks\b|\basks for patience\b",
    re.IGNORECASE,
)

# Not sentences of the monitor: phrases of models and services, and comments of the schema.
OTHERS = ("identity/model_names", "identity/self_identification", "storage", "simulator")
ACCOUNT = re.compile(r"`?\bnobody\b`(?= to run)|^(postgres )?nobody$")  # of the operating system

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
EVENT = re.compile(r"[a-z][a-z0-9 -]*")
VERBS = {"told", "wait", "waits", "away", "looks", "nats"}


@cache
def _nodes() -> dict[str, Sequence[ast.AST]]:
    """Every node of every module, by its path below `monitor/`."""
    return {path.relative_to(ROOT).as_posix(): nodes(path) for path in sorted(ROOT.rglob("*.py"))}


def _texts(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """String literals with a blank in them that are not docstrings."""
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and " " in text and id(node) not in docstrings:
            yield text


def _events(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """The first argument of each call that logs, where it is a literal."""
    for node in nodes:
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                args=[ast.Constant(value=str(event)), *_],
            ) if level in LEVELS:
                yield event


def _sentences() -> Iterator[tuple[str, str]]:
    for place, found in _nodes().items():
        if not place.startswith(OTHERS):
            yield from ((place, ACCOUNT.sub("", text)) for text in _texts(found))


def _all_events() -> list[tuple[str, str]]:
    return [(place, event) for place, nodes in _nodes().items() for event in _events(nodes)]


def test_enough_is_read() -> None:
    assert sum(1 for _ in _sentences()) > 1_000
    assert len(_all_events()) > 30


def test_no_sentence_for_a_person_uses_the_private_vocabulary() -> None:
    assert [found for found in _sentences() if PRIVATE.search(found[1])] == []


def test_each_error_that_a_docstring_names_exists() -> None:
    """A renamed exception leaves its old name in docstrings, where no tool finds it."""
    modules = list(_nodes().values())
    known = {node.name for nodes in modules for node in nodes if isinstance(node, ast.ClassDef)}
    imported = {node.name for nodes in modules for node in nodes if isinstance(node, ast.alias)}
    documented = [
        (place, raised)
        for place, nodes in _nodes().items()
        for node in nodes
        if isinstance(node, DOCUMENTED)
        for raised in re.findall(r"\b[Rr]aises ([A-Z]\w+)", ast.get_docstring(node) or "")
    ]
    assert len(documented) > 50
    known |= imported | set(dir(builtins)) | {"BadParameter"}  # of typer
    assert [found for found in documented if found[1] not in known] == []


def test_log_events_are_short_phrases_without_punctuation() -> None:
    odd = [
        (place, event)
        for place, event in _all_events()
        if not EVENT.fullmatch(event)
        or not 2 <= len(event.split()) <= 4
        or not VERBS.isdisjoint(event.split())
    ]
    assert odd == []


@pytest.mark.parametrize(
    "text",
    [
        "Nobody can tell who gave 40 of 120 answers.", "16.0 nats of 11.0 needed",
        "By its looks claude-3-5-haiku", "the database is away", "mend that", "started anew",
    ],
)  # fmt: skip
def test_a_sentence_of_the_old_kind_is_found(text: str) -> None:
    assert PRIVATE.search(text)


@pytest.mark.parametrize(
    "text",
    ["The model could not be identified for 40 answers.", "move the directory away", "amends"],
)
def test_a_plain_sentence_is_not_found(text: str) -> None:
    assert not PRIVATE.search(text)
