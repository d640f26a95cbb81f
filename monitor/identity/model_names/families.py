"""Model families, their vendors, and words that are no part of a name: `families.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from monitor.data_files import DataTable, data_file

NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFamily:
    """How the names of one model family are spelled; `families.toml` describes the fields."""

    name: str
    vendor: str
    numbered: bool = False
    closed: bool = False
    compact: bool = False
    alone: bool = False
    tiers: frozenset[str] = NONE
    serving: frozenset[str] = NONE
    keeps: frozenset[str] = NONE


def _family(row: DataTable) -> ModelFamily:
    row.knows(*(field.name for field in fields(ModelFamily)), "also")
    return ModelFamily(
        name=row.text("name"),
        vendor=row.text("vendor"),
        numbered=row.flag("numbered", False),
        closed=row.flag("closed", False),
        compact=row.flag("compact", False),
        alone=row.flag("alone", False),
        tiers=row.words("tiers", optional=True),
        serving=row.words("serving", optional=True),
        keeps=row.words("keeps", optional=True),
    )


_FILE = data_file(__package__, "families.toml")
_WORDS = _FILE.table("words")

# The word that identifies a family → the family.
FAMILIES: Mapping[str, ModelFamily] = {
    word: family
    for row in _FILE.rows("family")
    for family in [_family(row)]
    for word in (family.name, *row.texts("also", optional=True))
}

O_SERIES = _family(_FILE.table("o_series"))  # recognised by the parser

# Makers as they occur in paths, without punctuation → the vendor.
MAKERS: Mapping[str, str] = {
    **{family.vendor: family.vendor for family in FAMILIES.values()},
    **_FILE.table("makers").every_text(),
}

# Families that the parser treats specially.
CLAUDE, GPT, DEEPSEEK = FAMILIES["claude"], FAMILIES["gpt"], FAMILIES["deepseek"]
CLAUDE_TIERS = CLAUDE.tiers

HOSTS = _WORDS.words("hosts")
REGIONS = _WORDS.words("regions")
PATHS = _WORDS.words("paths")
VARIANTS = _WORDS.words("variants")
NOISE = _WORDS.words("noise") | REGIONS
FAMILIAR_NOISE = _WORDS.words("familiar_noise")
SERVED = _WORDS.words("served")
ROLES = _WORDS.words("roles")
FAILURES = _WORDS.words("failures")
TIERS = CLAUDE_TIERS | _WORDS.words("tiers")

del _FILE, _WORDS  # the texts are not needed any longer
