"""Tables that the package ships as TOML files. An error names the file, the table and the key."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


class DataFileError(Exception):
    """A data file of the package is damaged: an error in the package, not in a configuration."""


@dataclass(frozen=True, slots=True)
class DataTable:
    """One table of a data file. `where` names it in errors; methods raise DataFileError."""

    where: str
    entries: Mapping[str, Any]

    def text(self, key: str, default: str | None = None) -> str:
        value = self.entries.get(key, default)
        if not isinstance(value, str):
            raise DataFileError(f"{self.where}: {key} must be a text, not {value!r}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.entries.get(key, default)
        if not isinstance(value, bool):
            raise DataFileError(f"{self.where}: {key} must be true or false, not {value!r}")
        return value

    def texts(self, key: str, *, optional: bool = False) -> tuple[str, ...]:
        """A list of texts, in order; empty where an optional key is absent."""
        value = self.entries.get(key, [] if optional else None)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise DataFileError(f"{self.where}: {key} must be a list of texts, not {value!r}")
        return tuple(value)

    def words(self, key: str, *, optional: bool = False) -> frozenset[str]:
        return frozenset(self.texts(key, optional=optional))

    def alternation(self, key: str, *, optional: bool = False) -> str:
        """The texts of a list as one regular expression, in order."""
        return "|".join(self.texts(key, optional=optional))

    def every_text(self) -> dict[str, str]:
        """All entries of a table that contains only texts, in order."""
        return {key: self.text(key) for key in self.entries}

    def every_set(self) -> dict[str, frozenset[str]]:
        """All entries of a table that contains only lists of words, in order."""
        return {key: self.words(key) for key in self.entries}

    def table(self, key: str) -> "DataTable":
        return self._table(f"{self.where}, {key}", self.entries.get(key))

    def tables(self) -> dict[str, "DataTable"]:
        """All entries of a table that contains only tables, in order."""
        return {key: self.table(key) for key in self.entries}

    def rows(self, key: str) -> list["DataTable"]:
        """The tables of a list (`[[key]]`), in order."""
        value = self.entries.get(key)
        if not isinstance(value, list):
            raise DataFileError(f"{self.where}: [[{key}]] is missing")
        return [self._table(f"{self.where}, {key} {n}", row) for n, row in enumerate(value, 1)]

    def knows(self, *keys: str) -> None:
        """Refuse keys other than these, so that a misspelt one is not ignored."""
        if unknown := sorted(set(self.entries) - set(keys)):
            raise DataFileError(f"{self.where}: unknown key {', '.join(unknown)}")

    @staticmethod
    def _table(where: str, value: object) -> "DataTable":
        if not isinstance(value, dict):
            raise DataFileError(f"{where}: must be a table, not {value!r}")
        return DataTable(where, value)


def data_file(room: str, name: str) -> DataTable:
    """The file `name` of a room, for example `data_file("monitor.dialects", "usage.toml")`."""
    where = f"{room.replace('.', '/')}/{name}"
    try:
        return DataTable(where, tomllib.loads(files(room).joinpath(name).read_text("utf-8")))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise DataFileError(f"{where}: {error}") from error
