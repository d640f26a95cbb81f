"""Which model a name means, and whether two names mean the same model.

Names are compared part by part, and only by parts that both give: an undated name agrees with any
date of the same model, but two different dates are two models, as `claude-3-5-sonnet-20240620` and
`-20241022` are. Words that are not known to be noise are part of the name: it is better to keep two
spellings of one model apart than to confuse two models.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from monitor.data_files import data_file
from monitor.identity.model_names.families import (
    FAILURES,
    FAMILIES,
    HOSTS,
    MAKERS,
    O_SERIES,
    PATHS,
    REGIONS,
)
from monitor.identity.model_names.families import TIERS as KNOWN_TIERS
from monitor.identity.model_names.parse import LONGEST, NameParts, ReleaseDate, kin, listed, spelled

_NOBODY = HOSTS | {"@preset"}  # the vendor part here is not the maker of the model


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """A parsed model name. None: the name does not say.

    `family` None: an unknown family; all its words are in `tier`. `size`, `active` and `experts`
    are parameter counts as written: `70b`, `a3b`, `16e`.
    """

    vendor: str | None = None
    family: str | None = None
    generation: str | None = None
    tier: frozenset[str] = frozenset()
    size: str | None = None
    active: str | None = None
    experts: str | None = None
    context: str | None = None
    revision: str | None = None
    date: ReleaseDate | None = None
    latest: bool = field(default=False, compare=False)

    @property
    def failure(self) -> bool:
        """The name says that no model answered: `llama-4-scout-error`."""
        return self.family is not None and bool(self.tier & FAILURES)

    @property
    def model(self) -> bool:
        """Whether the name means one model, not a role or a group."""
        numbered = bool(self.generation or self.size or self.active or self.date)
        if self.family is None:  # a name behind a host is a deployment; "N/A" has no maker
            made = self.vendor is not None and len(self.vendor) > 1 and self.vendor not in _NOBODY
            return made and bool(self.tier or numbered)
        return not self.failure and (numbered or bool(self.tier & KNOWN_TIERS))

    @property
    def known(self) -> bool:
        """Whether it names one model of a known family, or of an unknown one by its size.

        Otherwise it may be a service's own name, which stays the same whichever model answers.
        """
        if self.family is None:
            return bool(self.size or self.active or self.experts)
        return self.model or (FAMILIES.get(self.family, O_SERIES).alone and not self.tier)

    @property
    def vague(self) -> bool:
        """An unknown word without a number or a maker, like `haiku`: it is ambiguous."""
        numbered = self.generation or any(c.isdigit() for word in self.tier for c in word)
        return not (self.family or self.vendor or numbered)


def parse(name: str) -> ModelName:
    """Parse a name in any usual spelling. Never fails."""
    return _parsed(name[:LONGEST])


@lru_cache(maxsize=4096)  # price lists compare one name with thousands
def _parsed(name: str) -> ModelName:
    spelling = spelled(name)
    family, tokens = kin(spelling.path, spelling.tokens)
    parts = NameParts(family)
    for token in tokens:
        parts.take(token)
    return ModelName(
        vendor=family.vendor if family else _vendor(spelling.path),
        family=family.name if family else None,
        generation=parts.generation,
        tier=parts.tier,
        size=parts.size,
        active=parts.active,
        experts=parts.experts,
        context=parts.context,
        revision=parts.revision,
        date=spelling.date,
        latest=parts.latest,
    )


def same(a: str, b: str) -> bool | None:
    """Whether two names mean the same model; None if they cannot be compared.

    Symmetric, and reflexive for every name that is not blank.
    """
    if a.strip().lower() == b.strip().lower():
        return True if a.strip() else None
    if _several(a) or _several(b):
        return None
    ours, theirs = parse(a), parse(b)
    if ours.family is not None and ours.family == theirs.family:
        return _kin_same(ours, theirs)
    if ours.family is None and theirs.family is None:
        judged = _strangers_same(ours, theirs)
    else:
        judged = False
    return None if judged is False and (ours.vague or theirs.vague) else judged


def _several(name: str) -> bool:
    """The name lists models, as a router's does, and does not say which one it means."""
    return sum(parse(part).model for part in listed(name)) > 1


def _kin_same(ours: ModelName, theirs: ModelName) -> bool | None:
    """Compare two names of one known family."""
    if not _agree(ours, theirs):
        return False
    family = FAMILIES.get(ours.family or "", O_SERIES)
    if ours.generation and theirs.generation and ours.generation != theirs.generation:
        return False
    if ours.tier != theirs.tier:
        untiered = not ours.tier or not theirs.tier
        return None if untiered and ours.tier | theirs.tier <= family.tiers else False
    if ours.generation == theirs.generation:
        return True
    loose, firm = (theirs, ours) if ours.generation else (ours, theirs)
    if loose.date and loose.date == firm.date:
        return True
    if family.numbered and not loose.latest:
        return firm.generation == "1"
    if loose.size or (loose.date and not firm.date):
        return None
    return True if loose.tier else None


def _strangers_same(ours: ModelName, theirs: ModelName) -> bool | None:
    """Compare two names of unknown families: every word counts."""
    if not _agree(ours, theirs):
        return False
    if (ours.tier, ours.generation, ours.size) != (theirs.tier, theirs.generation, theirs.size):
        return False
    if not (ours.tier or ours.generation or ours.size):
        return None
    makers = {ours.vendor, theirs.vendor} - {None} - HOSTS
    return True if len(makers) < 2 else None


def _agree(ours: ModelName, theirs: ModelName) -> bool:
    """No part that both give differs; parts that may be absent are ignored."""
    pairs = (
        (ours.size, theirs.size),
        (ours.active, theirs.active),
        (ours.experts, theirs.experts),
        (ours.context, theirs.context),
        (ours.revision, theirs.revision),
    )
    if any(a and b and a != b for a, b in pairs):
        return False
    return not (ours.date and theirs.date) or ours.date.agrees(theirs.date)


def _vendor(path: tuple[str, ...]) -> str | None:
    """The maker or host in the path, else the word directly before the name."""
    known = [MAKERS.get(part, part) for part in path if part in MAKERS or part in HOSTS]
    if known:
        return known[-1]
    return path[-1] if path and path[-1] not in PATHS | REGIONS else None


# Names that providers serve with different models over time: `aliases.toml`.


ANY = "*"  # served by a router, which chooses


@dataclass(frozen=True, slots=True)
class ServedAlias:
    """A requested alias and the model its provider answers with. `renamed`: both are one model."""

    alias: str  # as declared
    renamed: bool


@dataclass(frozen=True, slots=True)
class _Row:
    served: tuple[str, ...]
    renamed: bool


@lru_cache(maxsize=1)
def _rows() -> dict[str, _Row]:
    return {
        row.text("name"): _Row(row.texts("served"), row.flag("renamed", False))
        for row in data_file(__package__, "aliases.toml").rows("alias")
    }


def served_alias(name: str, declared: Iterable[str]) -> ServedAlias | None:
    """The declared alias that its provider serves with this model; None if none is known.

    A name that ends in `latest` is an alias by itself, for any model of the same maker.
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
