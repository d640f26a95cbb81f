"""The environment variables, validated: addresses and secrets."""

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
)
from pydantic.fields import FieldInfo

from monitor.accounts import ACCOUNTS
from monitor.accounts.replies import ProviderAccount
from monitor.config.config_errors import ConfigError, sentence, shown_value
from monitor.config.file_schema import ConfigFile
from monitor.config.section import shown
from monitor.config.value_kinds import HttpUrl, bare, host_and_port, normalized
from monitor.domain import Target
from monitor.health_page import address
from monitor.notifications import OptionKind, variables
from monitor.redaction import (
    HIDDEN,
    is_odd,
    is_token,
    looks_secret,
    pieces,
    postgres_fault,
    secret_parts,
)

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _https(value: SecretStr) -> SecretStr:
    parts = host_and_port(value.get_secret_value())
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not (parts.scheme == "https" or local):
        raise ValueError("write the whole https address")
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
        raise ValueError("contains characters that no key has, such as a space: copy it again")
    return value


Key = Annotated[SecretStr, AfterValidator(_key)]


class Environment(BaseModel):
    """Environment variables with the names of the fields in capitals.

    The variables of provider accounts and of the default channel are added below.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: Annotated[SecretStr, AfterValidator(_database)] | None = Field(
        None,
        description="`postgresql://user:password@host:5432/database`, PostgreSQL 15 or newer, "
        "encoding UTF8; in user and password write `@` as `%40`, `:` as `%3A`, `/` as `%2F`; a "
        "pooler in transaction mode (PgBouncer, Fly Managed Postgres) is supported; "
        "`?options=-csearch_path%3DSCHEMA` puts the tables into a [schema of their own]"
        "(sql.md#one-database-for-several-programs) (there is no other setting for it); absent: "
        "an embedded Postgres under `MONITOR_HOME`",
    )
    monitor_home: Path = Field(
        Path(".monitor"),
        description="where the embedded database keeps its data, and `spool/` the observations "
        "that wait while the database is unavailable: at most 5,000 of about 16 MB, oldest "
        "dropped first. Several workers may share it. Keep it on a volume where a new machine "
        "should store what the old one could not",
    )
    monitor_config: Path = Field(Path("monitor.toml"), description="the configuration file")
    heartbeat_url: Annotated[SecretStr, AfterValidator(_address)] | None = Field(
        None,
        description="fetched after every whole good cycle: a dead-man's switch notices when it "
        "stops",
    )
    fly_region: str = Field("local", description="stamped on every observation")
    fly_machine_id: str | None = Field(
        None,
        description="name of the worker, stamped on every observation",
        json_schema_extra=shown("host and process"),
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="`DEBUG`, `INFO`, `WARNING` or `ERROR`"
    )
    notify_socket: str | None = Field(
        None, description="set by systemd for a unit with `Type=notify`"
    )
    watchdog_usec: int | None = Field(
        None, gt=0, description="set by systemd for a unit with `WatchdogSec`"
    )

    def account_key(self, account: type[ProviderAccount]) -> str | None:
        """The key of a provider account; None: not set."""
        key: SecretStr | None = getattr(self, account.key_variable.lower(), None)
        return key.get_secret_value() if key else None

    def account_url(self, account: type[ProviderAccount]) -> str:
        """The base URL of a provider account."""
        return getattr(self, _url_field(account), account.public_url)

    @property
    def for_notifiers(self) -> Mapping[str, str]:
        """The variables of the default channel in plain text, as `from_environment` needs them."""
        found = {item.name: getattr(self, item.name.lower(), None) for _, item in _OF_CHANNELS}
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in found.items()
            if value is not None
        }

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret, for redaction; of an address also its secret part."""
        held = (getattr(self, name) for name in type(self).model_fields)
        secret, public = [], []
        for value in held:
            if isinstance(value, SecretStr):
                secret.append(value.get_secret_value())
            elif isinstance(value, str):
                public.append(value)
        parts = [part for value in secret for part in address_secrets(value)]
        return (*secret, *parts, *(part for value in public for part in secret_parts(value)))


def _url_field(account: type[ProviderAccount]) -> str:
    return f"{account.name}_base_url"


_ACCOUNT_FIELDS: dict[str, Any] = {
    name: field
    for account in ACCOUNTS.values()
    for name, field in (
        (account.key_variable.lower(), (Key | None, Field(None, description=account.shows))),
        (
            _url_field(account),
            (HttpUrl, Field(account.public_url, description="for proxies and tests")),
        ),
    )
}
OPTION_TYPES: Mapping[OptionKind, Any] = {
    OptionKind.SECRET_ADDRESS: Annotated[SecretStr, AfterValidator(_https)],
    OptionKind.ADDRESS: HttpUrl,
    OptionKind.KEY: Key,
    OptionKind.SECRET_TEXT: SecretStr,
    OptionKind.TEXT: str,
}
_OF_CHANNELS = tuple(variables())
_CHANNEL_FIELDS: dict[str, Any] = {
    item.name.lower(): (
        OPTION_TYPES[options.kinds()[item.option]] | None,
        Field(options.defaults()[item.option], description=item.meaning),
    )
    for options, item in _OF_CHANNELS
}
_WithTables = create_model(
    "_WithTables", __base__=Environment, **_ACCOUNT_FIELDS, **_CHANNEL_FIELDS
)

WHOLE_TEXT = "MONITOR_CONFIG_TOML"  # holds the configuration itself and is no field here
VARIABLES = (*(name.upper() for name in _WithTables.model_fields), WHOLE_TEXT)


def documented() -> Iterator[tuple[str, FieldInfo]]:
    """Every variable with its default and meaning, for the documents."""
    for name, field in _WithTables.model_fields.items():
        yield name.upper(), field
        if name == "monitor_config":
            meaning = (
                "the configuration itself, as TOML: for containers without a file. Not together "
                "with `MONITOR_CONFIG`"
            )
            yield WHOLE_TEXT, FieldInfo(default=None, description=meaning)


SECRET_VARIABLES = tuple(
    name.upper()
    for name, field in _WithTables.model_fields.items()
    if "SecretStr" in str(field.annotation)
)


def environment(variables: Mapping[str, str]) -> tuple[Environment | None, list[ConfigError]]:
    """The environment, validated; None with every error if it is invalid."""
    given = {
        name: normalized(bare(variables[name.upper()]), field.annotation)
        for name, field in _WithTables.model_fields.items()
        if bare(variables.get(name.upper(), ""))
    }
    faults = [
        ConfigError(
            item.needs, None, f"{item.name} is set, {item.needs} is not: {item.needs_remedy}"
        )
        for _, item in _OF_CHANNELS
        if item.needs and item.name.lower() in given and item.needs.lower() not in given
    ]
    try:
        found = _WithTables.model_validate(given)
    except ValidationError as error:
        faults += [
            ConfigError(
                str(item["loc"][0]).upper(),
                _shown(str(item["loc"][0]), item["input"]),
                sentence(item),
            )
            for item in error.errors(include_url=False)
        ]
        return None, faults
    return (None if faults else found), faults


def address_secrets(address: str) -> Iterator[str]:
    """The secrets within an address; if the whole address is secret, also its longest part."""
    yield from secret_parts(address)
    try:
        parts = urlsplit(address)
    except ValueError:
        return
    if parts.scheme in ("http", "https"):
        yield max(reversed(parts.path.split("/")), key=len)


def _shown(name: str, value: object) -> str:
    """A value as an error may show it: of a secret only that it is one, or its scheme."""
    secret = name.upper() in SECRET_VARIABLES
    scheme, found, _ = str(value).partition("://")
    if not secret:
        return shown_value(value)
    known = found and scheme.isascii() and scheme.replace("+", "").isalnum() and len(scheme) < 20
    return f'"{scheme}://{HIDDEN}"' if known else HIDDEN


# Places of the configuration that may hold secrets: headers, addresses, keys in options.


REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Headers that hold no secret, unless it comes from the environment.
_HARMLESS_NAMES = """
    accept accept-charset accept-encoding accept-language cache-control connection content-type
    host origin pragma referer user-agent x-title http-referer anthropic-version anthropic-beta
    openai-beta
"""
_SENT = frozenset({"body", "query", "path"})  # options that become part of the request
_WORD = re.compile(r"[A-Za-z][A-Za-z ._/-]{0,15}")
_HARMLESS = frozenset(_HARMLESS_NAMES.split())


def references(table: Any) -> Iterator[str]:
    """The variables that texts of the document refer to by `${NAME}`."""
    for text in _texts(table, models=True):
        yield from REFERENCE.findall(text)


def _texts(table: Any, *, models: bool = False) -> Iterator[str]:
    """Every text in a document, except model names, which must not be redacted."""
    if isinstance(table, Mapping):
        for key, value in table.items():
            if models or key != "model":
                yield from _texts(value, models=models)
    elif isinstance(table, list):
        for value in table:
            yield from _texts(value, models=models)
    elif isinstance(table, str):
        yield table


def secret_values(table: Any) -> Iterator[str]:
    """Texts of an unvalidated document that may be secrets, by their key or their form.

    Of options also parts of a longer text that look like keys, because errors quote them.
    """
    yield from _secret_texts(table, of_headers=True)
    targets = table.get("targets") if isinstance(table, Mapping) else None
    for target in targets.values() if isinstance(targets, Mapping) else ():
        for text in _texts(target.get("options") if isinstance(target, Mapping) else None):
            yield from filter(is_odd, pieces(text))


def target_secrets(file: ConfigFile, built: Mapping[str, Target]) -> Iterator[str]:
    """Everything in a target that may be secret: headers, parts of addresses, keys in options."""
    for name, target in built.items():
        templates = file.targets[name].headers
        for header, value in target.headers.items():
            if REFERENCE.search(templates[header]) or _may_be_secret(header, value):
                yield from _header_secrets(value)
        page = file.targets[name].health.url
        for found in (target.url, target.proxy, page and address(target.url, page)):
            yield from secret_parts(found or "")
        yield from _secret_texts(target.options)
        for key in target.options.keys() & _SENT:
            for text in _texts(target.options[key]):
                yield from filter(is_odd, pieces(text))


def _may_be_secret(header: str, value: str) -> bool:
    """Whether a header written in the file may be secret.

    Names of standard headers and ordinary words are not: they would be redacted wherever the
    service uses them.
    """
    if header.lower() in _HARMLESS:
        return False
    return looks_secret(header) or not _WORD.fullmatch(value)


def _header_secrets(value: str) -> Iterator[str]:
    """The value, each cookie or parameter in it, and the decoded text of Basic authentication."""
    yield value
    named = (pair.partition("=")[2] for pair in re.split(r"[;,\s]", value))
    yield from (part.strip("\"'") for part in named if part)
    scheme, _, credentials = value.partition(" ")
    if scheme.lower() == "basic":
        with suppress(ValueError):
            plain = base64.b64decode(credentials.strip(), validate=True).decode("utf-8", "replace")
            yield from (plain, plain.partition(":")[2])


def _secret_texts(table: Any, *, secret: bool = False, of_headers: bool = False) -> Iterator[str]:
    if isinstance(table, Mapping):
        for key, value in table.items():
            named = looks_secret(str(key)) or (of_headers and key == "headers")
            yield from _secret_texts(value, secret=secret or named, of_headers=of_headers)
    elif isinstance(table, (list, tuple)):
        for value in table:
            yield from _secret_texts(value, secret=secret, of_headers=of_headers)
    elif isinstance(table, str):
        if secret or is_token(table):
            yield from REFERENCE.split(table)[::2]  # the literal part, without `${NAME}`
        elif of_headers or "://" in table:
            yield from secret_parts(table)
