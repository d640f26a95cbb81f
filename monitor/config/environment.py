"""What the environment tells: addresses and secrets, checked."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    SecretStr,
    ValidationError,
    model_validator,
)

from monitor.addresses import HIDDEN, postgres_fault, secret_parts
from monitor.config.config_errors import ConfigError, sentence, shown_value
from monitor.config.spelling_fixes import bare, normalized
from monitor.config.value_types import HttpUrl, host_and_port

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _webhook(value: SecretStr) -> SecretStr:
    parts = host_and_port(value.get_secret_value())
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not (parts.scheme == "https" or local):
        raise ValueError("write the whole https address that Slack gave")
    return value


def _database(value: SecretStr) -> SecretStr:
    scheme, mark, rest = value.get_secret_value().partition("://")
    if fault := postgres_fault(value.get_secret_value()):
        raise ValueError(fault)
    return SecretStr(f"{scheme.lower()}{mark}{rest}")


def _address(value: SecretStr) -> SecretStr:
    host_and_port(value.get_secret_value())
    return value


def _key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("holds characters that no key has, such as a blank: copy it again")
    return value


Key = Annotated[SecretStr, AfterValidator(_key)]


class Environment(BaseModel):
    """What stands in environment variables named like the fields, in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: Annotated[SecretStr, AfterValidator(_database)] | None = None
    monitor_home: Path = Path(".monitor")
    monitor_config: Path = Path("monitor.toml")
    slack_webhook_url: Annotated[SecretStr, AfterValidator(_webhook)] | None = None
    slack_bot_token: Key | None = None
    slack_channel: str | None = None
    slack_api_base_url: HttpUrl = "https://slack.com/api"
    openrouter_api_key: Key | None = None
    openrouter_base_url: HttpUrl = "https://openrouter.ai/api/v1"
    anthropic_admin_key: Key | None = None
    anthropic_base_url: HttpUrl = "https://api.anthropic.com/v1"
    openai_admin_key: Key | None = None
    openai_base_url: HttpUrl = "https://api.openai.com/v1"
    heartbeat_url: Annotated[SecretStr, AfterValidator(_address)] | None = None
    fly_region: str = "local"
    fly_machine_id: str | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @model_validator(mode="after")
    def _bot_has_channel(self) -> "Environment":
        if self.slack_bot_token and not self.slack_channel:
            raise ValueError("SLACK_BOT_TOKEN is set, SLACK_CHANNEL is not: name the channel's id")
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret held, for redaction; of an address also the part that makes it one."""
        held = (getattr(self, name) for name in type(self).model_fields)
        secret, public = [], []
        for value in held:
            if isinstance(value, SecretStr):
                secret.append(value.get_secret_value())
            elif isinstance(value, str):
                public.append(value)
        parts = [part for value in secret for part in _parts(value)]
        return (*secret, *parts, *(part for value in public for part in secret_parts(value)))


# What an incident may be about besides a target: the account of a provider, a channel.
PROVIDERS = tuple(
    name.partition("_")[0] for name in Environment.model_fields if name.endswith("_key")
)
CHANNELS = ("bot", "webhook", "console")
SECRET_VARIABLES = tuple(
    name.upper()
    for name, field in Environment.model_fields.items()
    if "SecretStr" in str(field.annotation)
)


def environment(variables: Mapping[str, str]) -> tuple[Environment | None, list[ConfigError]]:
    """The environment, checked; None with every fault where something in it is wrong."""
    given = {name: normalized(bare(variables[name.upper()]), field.annotation)
             for name, field in Environment.model_fields.items()
             if bare(variables.get(name.upper(), ""))}  # fmt: skip
    try:
        return Environment.model_validate(given), []
    except ValidationError as error:
        return None, [
            ConfigError(
                str(item["loc"][0]).upper() if item["loc"] else "SLACK_CHANNEL",
                _shown(str(item["loc"][0]), item["input"]) if item["loc"] else None,
                sentence(item) if item["loc"] else item["msg"].removeprefix("Value error, "),
            )
            for item in error.errors(include_url=False)
        ]


def _parts(address: str) -> Iterator[str]:
    """The secrets within an address; of one that is secret as a whole, its longest part, too."""
    yield from secret_parts(address)
    try:
        parts = urlsplit(address)
    except ValueError:
        return
    if parts.scheme in ("http", "https"):
        yield max(reversed(parts.path.split("/")), key=len)


def _shown(name: str, value: object) -> str:
    """A value as a fault may show it: of a secret only that it is one, or its scheme."""
    secret = name.upper() in SECRET_VARIABLES
    scheme, found, _ = str(value).partition("://")
    if not secret:
        return shown_value(value)
    known = found and scheme.isascii() and scheme.replace("+", "").isalnum() and len(scheme) < 20
    return f'"{scheme}://{HIDDEN}"' if known else HIDDEN
