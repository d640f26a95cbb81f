"""What every section of `monitor.toml` is made of."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue

T = TypeVar("T")
# or a single one
Listed = Annotated[list[T], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def shown(default: str) -> dict[str, JsonValue]:
    """How the documents show a default that no value can express."""
    return {"shown": default}
