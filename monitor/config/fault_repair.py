"""A configuration without what is wrong in it, so that no error hides another."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from monitor.config.file_schema import ConfigFile
from monitor.config.value_kinds import fields_normalized

_ATTEMPTS = 4  # an error may hide another one in the same section
_STAND_INS: Mapping[str, Any] = {
    "url": "http://localhost",
    "queries": [{"id": "q", "text": "q"}],
    "id": "q",
    "text": "q",
}


def without_faults(document: Mapping[str, Any], error: ValidationError) -> ConfigFile | None:
    """The document without what pydantic rejected, so that the rest can also be validated.

    Missing keys get a placeholder; targets with a rejected dialect or options are left out. None:
    nothing is left.
    """
    rest = deepcopy(fields_normalized(dict(document), ConfigFile))
    for _ in range(_ATTEMPTS):
        for item in reversed(error.errors(include_url=False)):  # later list entries first
            _remove(rest, item["loc"], missing=item["type"] == "missing")
        try:
            return ConfigFile.model_validate(rest)
        except ValidationError as again:
            error = again
    return None


def _remove(document: Any, place: Sequence[int | str], *, missing: bool) -> None:
    """Remove what is at a path, or put a placeholder there."""
    place = place[:-1] if place[-1:] == ("[key]",) else place
    if place[:1] == ("targets",) and len(place) > 2 and place[2] in ("dialect", "options"):
        place, missing = place[:2], False
    *above, last = place or ("",)
    if place[:1] in (("channels",), ("maintenance",)) and len(place) > 1:
        _replace_entry(document, place)
        return
    if place[:1] == ("targets",) and len(place) == 2 and _repaired(document["targets"], place[1]):
        return
    table = document
    for name in above:
        inside = isinstance(table, list) and isinstance(name, int) and name < len(table)
        if not inside and not (isinstance(table, dict) and name in table):
            return
        table = table[name]
    if isinstance(table, dict) and missing and last in _STAND_INS:
        table[last] = _STAND_INS[str(last)]
    elif isinstance(table, dict):
        table.pop(last, None)
        if above == ["targets"] and not table:
            table["stand-in"] = dict(_STAND_INS) | {"dialect": "bali_zero"}
            del table["stand-in"]["id"], table["stand-in"]["text"]
    elif isinstance(table, list) and isinstance(last, int) and last < len(table):
        del table[last]


def _repaired(targets: Mapping[str, Any], name: int | str) -> bool:
    """Change what no other fault depends on: ids that occur twice, deadlines, the health page.

    False: the target is refused for another reason.
    """
    section = targets.get(str(name))
    if not isinstance(section, dict):
        return False
    before = deepcopy(section)
    for key in ("deadline", "first_token_deadline", "health"):
        section.pop(key, None)
    seen: set[str] = set()
    for number, query in enumerate(section.get("queries") or ()):
        if query.get("id") in seen:
            query["id"] = f"query-{number + 1}"
        seen.add(query.get("id"))
    return section != before


def _replace_entry(document: Any, place: Sequence[int | str]) -> None:
    """Take out what a channel or a window has at a place; the numbers in the list stay."""
    entries, number = document.get(place[0]), place[1]
    if not isinstance(entries, list) or not isinstance(number, int) or number >= len(entries):
        return
    if place[0] == "maintenance":
        known = entries[number] if isinstance(entries[number], dict) else {}
        kept = {key: known[key] for key in ("target", "rule") if isinstance(known.get(key), str)}
        entries[number] = {"days": ["mon"], "from": "00:00", "to": "01:00", **kept}
        return
    stand_in = {"name": f"channel-{number + 1}", "kind": "console"}
    section = entries[number]
    if not isinstance(section, dict) or len(place) < 3 or place[2] == "kind":
        entries[number] = stand_in
    elif place[2] == "name":
        section["name"] = stand_in["name"]
    else:
        section.pop(place[2], None)
