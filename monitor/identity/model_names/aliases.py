"""Names that providers serve with one model today and with another tomorrow: `aliases.toml`."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from monitor.identity.model_names.compare import parse, same

ANY = "*"  # served by a router, which chooses


@dataclass(frozen=True, slots=True)
class ServedAlias:
    """An alias that was asked for and the model its provider answers with. `renamed`: one model."""

    alias: str  # as declared
    renamed: bool


@dataclass(frozen=True, slots=True)
class _Row:
    served: tuple[str, ...]
    renamed: bool


@lru_cache(maxsize=1)
def _rows() -> dict[str, _Row]:
    text = (
        files("monitor.identity.model_names").joinpath("aliases.toml").read_text(encoding="utf-8")
    )
    return {row["name"]: _Row(tuple(row["served"]), row.get("renamed", False))
            for row in tomllib.loads(text)["alias"]}  # fmt: skip


def served_alias(name: str, declared: Iterable[str]) -> ServedAlias | None:
    """The declared alias that its provider is known to serve with this model; None if none is.

    A name that ends in `latest` is one by itself, for any model of the same maker.
    """
    for alias in declared:
        row = _rows().get(alias.rsplit("/", 1)[-1].strip().lower())
        if row and any(_serves(served, name) for served in row.served):
            return ServedAlias(alias, row.renamed)
        requested, answered = parse(alias), parse(name)
        if (
            requested.latest
            and requested.vendor
            and requested.vendor == answered.vendor
            and answered.model
        ):
            return ServedAlias(alias, renamed=False)
    return None


def _serves(served: str, name: str) -> bool:
    if served == ANY:
        return parse(name).model
    return same(served, name) is True
