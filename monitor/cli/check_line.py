"""A line of `monitor check`: one thing looked at, and how it stands."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One thing looked at. `good` False is a fault; None is a warning."""

    what: str
    good: bool | None
    says: str

    def __str__(self) -> str:
        mark = {True: "ok     ", None: "warning", False: "FAULT  "}[self.good]
        return f"{mark} {self.what}: {self.says}"
