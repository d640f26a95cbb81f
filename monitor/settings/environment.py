"""What the environment tells: addresses and secrets, checked."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from monitor.settings.faults import Fault
from monitor.settings.values import HttpUrl

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _webhook(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise ValueError("write the whole https address that Slack gave")
    return value


def _database(value: SecretStr) -> SecretStr:
    scheme = value.get_secret_value().partition("://")[0]
    if scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise ValueError("write postgresql://user:password@host:5432/database")
    return value


class Environment(BaseModel):
    """What stands in environment variables named like the fields, in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: Annotated[SecretStr, AfterValidator(_database)] | None = None
    monitor_home: Path = Path(".monitor")
    monitor_config: Path = Path("monitor.toml")
    slack_webhook_url: Annotated[SecretStr, AfterValidator(_webhook)] | None = None
    slack_bot_token: SecretStr | None = None
    slack_channel: str | None = None
    slack_api_base_url: HttpUrl = "https://slack.com/api"
    openrouter_api_key: SecretStr | None = None
    openrouter_base_url: HttpUrl = "https://openrouter.ai/api/v1"
    anthropic_admin_key: SecretStr | None = None
    anthropic_base_url: HttpUrl = "https://api.anthropic.com/v1"
    openai_admin_key: SecretStr | None = None
    openai_base_url: HttpUrl = "https://api.openai.com/v1"
    heartbeat_url: SecretStr | None = None
    fly_region: str = "local"
    fly_machine_id: str | None = None
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @model_validator(mode="after")
    def _bot_has_channel(self) -> "Environment":
        if self.slack_bot_token and not self.slack_channel:
            raise ValueError("SLACK_BOT_TOKEN is set, SLACK_CHANNEL is not: name the channel's id")
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret held, for redaction; of an address also the part that makes it one."""
        held = (getattr(self, name) for name in type(self).model_fields)
        whole = [s.get_secret_value() for s in held if isinstance(s, SecretStr)]
        return (*whole, *(part for address in whole for part in _secret_parts(address)))


def environment(variables: Mapping[str, str]) -> tuple[Environment | None, list[Fault]]:
    """The environment, checked; None with every fault where something in it is wrong."""
    given = {name: variables[name.upper()] for name in Environment.model_fields
             if variables.get(name.upper())}  # fmt: skip
    try:
        return Environment.model_validate(given), []
    except ValidationError as error:
        return None, [
            Fault(
                str(item["loc"][0]).upper() if item["loc"] else "SLACK_CHANNEL",
                _shown(str(item["loc"][0]), item["input"]) if item["loc"] else None,
                item["msg"].removeprefix("Value error, "),
            )
            for item in error.errors(include_url=False)
        ]


def _secret_parts(address: str) -> Iterator[str]:
    """The password of an address, else the longest part of its path, as in a webhook's."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return
    if parts.password:
        yield parts.password
        yield unquote(parts.password)
    elif parts.scheme in ("http", "https"):
        yield max(reversed(parts.path.split("/")), key=len)


def _shown(name: str, value: object) -> str:
    """A value as a fault may show it: of a secret only that it is one, or its scheme."""
    secret = "SecretStr" in str(Environment.model_fields[name].annotation)
    scheme, found, _ = str(value).partition("://")
    if not secret:
        return f'"{value}"'
    return f'"{scheme}://***"' if found else "***"
