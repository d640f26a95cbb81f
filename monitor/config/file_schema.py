"""The schema of `monitor.toml`: sections, keys, defaults, bounds and the meaning of each key.

docs/configuration.md is generated from it: `python -m monitor.config.documentation`. A description
is Markdown; `shown` is a default in words.
"""

from datetime import time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    model_validator,
)

from monitor.config.query_schema import QuerySection
from monitor.config.section import Listed, Section, shown
from monitor.config.value_kinds import (
    ClockTime,
    Duration,
    HttpUrl,
    Interval,
    ListeningHost,
    Money,
    Plain,
    ProxyUrl,
    SlugName,
    Zone,
    http_url,
)
from monitor.domain import Severity, Target
from monitor.health_page import address, expectation

Name = Annotated[str, AfterValidator(str.lower)]  # name of something, in lower case


class HealthSection(Section):
    """The target's own health page. `url` None: none is read."""

    url: Plain | None = Field(
        None,
        description="whole address, or path below the target's; without it no page is read",
    )
    every: Interval = Field(
        timedelta(minutes=5), description='time between readings, at least `"1s"`'
    )
    expect: list[Annotated[str, AfterValidator(expectation)]] = Field(
        [],
        description="JMESPath expressions that a healthy page meets, such as `status == 'healthy'`",
    )

    @model_validator(mode="after")
    def _has_a_page(self) -> "HealthSection":
        if self.url is None and self.model_fields_set:
            raise ValueError("url is missing: add it, or remove the section")
        return self


USUAL = Target(name="", url="", dialect="", queries=())  # the defaults of a target


class TargetSection(Section):
    url: HttpUrl = Field(description="http or https, without credentials")
    dialect: Name = Field(description="wire format: [dialects](dialects.md)")
    queries: list[QuerySection] = Field(min_length=1)
    every: Interval = Field(USUAL.every, description='time between rounds, at least `"1s"`')
    expected_models: list[Plain] = Field([], description="who should answer; any spelling")
    fallback_models: list[Plain] = Field(
        [],
        description="who may answer instead; a model in both lists counts as expected, and "
        "`check` warns",
    )
    headers: dict[str, str] = Field(
        {},
        description="sent with each probe; `${NAME}` stands for a variable of the environment",
    )
    model: Plain | None = Field(
        None, description="model to ask for, where the dialect asks for one"
    )
    connect_deadline: Duration = Field(
        USUAL.connect_deadline, description="how long a probe may take to connect"
    )
    first_token_deadline: Duration = Field(
        USUAL.first_token_deadline, description="how long the first token may take"
    )
    stall_deadline: Duration = Field(
        USUAL.stall_deadline, description="longest pause between two tokens"
    )
    deadline: Duration = Field(USUAL.deadline, description="how long a probe may take in all")
    ca_file: Plain | None = Field(
        None,
        description="certificates to trust besides the system's (which `SSL_CERT_FILE` and "
        "`SSL_CERT_DIR` replace); for probes, `check` and the health page. Verification is "
        "never off",
    )
    proxy: ProxyUrl | None = Field(
        None,
        description="an http proxy, such as `http://user:password@proxy:3128` (with a password "
        "better set as `MONITOR_TARGETS__NAME__PROXY`); for probes, `check` and the health "
        "page. Targets never use proxies of the environment",
    )
    chars_per_token: Decimal = Field(
        USUAL.chars_per_token,
        gt=0,
        le=20,
        description="divisor where tokens are estimated from characters",
    )
    daily_queries: int = Field(
        USUAL.daily_queries,
        ge=0,
        description="the service's own traffic, for the traffic meter; `0`: none",
    )
    persona: bool = Field(
        USUAL.persona,
        description="the service answers under another name than its model's: "
        "self-identification counts less",
    )
    reasoning_tags: list[str | list[str]] | None = Field(
        None,
        description='tags of thoughts at the start of the answer text: names (`"think"` for '
        '`<think>`), opening tags (`"[THINK]"`), or pairs of tags (`["<think>", "</think>"]`). '
        'An empty opening tag (`["", "</think>"]`) says that every answer begins inside '
        "thoughts. `[]`: none. What is between them is reasoning",
        json_schema_extra=shown("[the usual ones](dialects.md#thoughts-in-the-text)"),
    )
    untrusted: list[Plain] = Field(
        [],
        description="sources of claims that are known to be wrong, such as a constant field; "
        "`text` is the answer itself. `check` warns of a source that no stored answer of the "
        "last 7 days has",
    )
    options: dict[str, Any] = Field({}, description="the dialect's own settings")
    health: HealthSection = HealthSection()

    @model_validator(mode="after")
    def _sound(self) -> "TargetSection":
        ids = [query.id for query in self.queries]
        wrong = [
            f'two queries have the id "{twice}": each id must be unique'
            for twice in sorted({i for i in ids if ids.count(i) > 1})
        ]
        if self.first_token_deadline > self.deadline:
            wrong.append("first_token_deadline is longer than deadline: raise deadline")
        if self.health.url is not None:
            try:
                http_url(address(self.url, self.health.url))
            except ValueError as error:
                wrong.append(f"health.url: {error}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


class ProbesSection(Section):
    daily_budget_usd: Money = Field(
        Decimal("0.50"),
        description="what our own probes may cost on a UTC day. They stop when it is reached, "
        "report that once, and go on the next day",
    )
    max_per_day: int = Field(20_000, gt=0, description="the same for their number")
    max_concurrent: int = Field(
        1_000,
        gt=0,
        le=10_000,
        description="rounds that one worker probes at a time. What is due beyond that waits, and "
        "is recorded as missed if the next round of its target is due before there is room",
    )
    thin_out: bool = Field(
        True,
        description="leave rounds out while a fallback is open and expensive: "
        "[prices](prices.md#thinning-out)",
    )


class TokenizerSection(Section):
    """A model's own tokenizer, in a file. `pattern` None: the standard one of such a file."""

    file: Plain = Field(
        description="a model's own tokenizer, to [measure token counts]"
        "(identity.md#token-accounting) with"
    )
    pattern: str | None = Field(
        None,
        min_length=1,
        description="its pattern, where the usual one of such a file is wrong",
        json_schema_extra=shown("of the file"),
    )


class AccountsSection(Section):
    every: Interval = Field(
        timedelta(minutes=5), description="time between readings of provider accounts"
    )


class SlackSection(Section):
    runbook_url: HttpUrl | None = Field(
        None,
        description="where this project's runbook can be read: messages link to its sections. "
        "Not set: messages name the command `monitor runbook RULE`",
    )


class DigestSection(Section):
    enabled: bool = Field(
        True,
        description="one message a day on how the last 24 hours were: [digest](alerts.md#digest)",
    )
    at: ClockTime = Field(time(9, 0), description="when it is sent")
    timezone: Zone = Field("UTC", description="zone of that time")


class IncidentsSection(Section):
    remind_after: Interval = Field(
        timedelta(hours=4), description="first reminder of an incident that stays open"
    )
    remind_every: Interval = Field(timedelta(days=1), description="time between later ones")


class MaintenanceSection(Section):
    """A recurring window without notifications."""

    target: Name = Field(
        "all",
        description="a target, a provider (`openrouter`, `anthropic`, `openai`), a channel "
        "(`slack`, `console`, or the name of a section), or `all`",
    )
    rule: Name = Field("all", description="a rule, or `all`")
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = Field(
        min_length=1,
        description='days on which it begins: `["mon", "tue", "wed", "thu", "fri", "sat", "sun"]`',
    )
    start: ClockTime = Field(alias="from", description='wall clock, such as `"22:00"`')
    end: ClockTime = Field(
        alias="to",
        description="the same; a window that ends at or before its start ends on the next day",
    )
    timezone: Zone = Field("UTC", description="zone of the wall clock")
    reason: str = Field("maintenance", description="shown with what was held back")


class ChannelSection(Section):
    """A channel: its name, what it accepts, and the options of its kind."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: SlugName = Field(
        description="small letters, digits, `_ . -`; unique. It stands in `monitor check`, in "
        "metrics and in the database: a new name is a new channel"
    )
    kind: Name = Field(
        description="a [kind of channel](#kinds-of-channels); the other keys are its options"
    )
    rules: Listed[Name] = Field(
        [],
        description="rules whose messages it takes, and `digest`, `clock` (a wrong clock), "
        "`storage` (the database is unavailable), `configuration` (a changed file was refused); "
        "empty: all",
    )
    targets: Listed[Name] = Field(
        [],
        description="targets whose messages it takes; empty: all. What is about no single target "
        "(`spend`, `key`, `probe_budget`, `delivery`, the digest) is limited by `rules` and "
        "`severity` only",
    )
    severity: Listed[Severity] = Field(
        [],
        description="`page`, `warn` and `info`: the [severities](alerts.md#severity) it takes; "
        "empty: all",
    )


class StorageSection(Section):
    excerpt_chars: int = Field(
        200,
        ge=0,
        le=2000,
        description="characters of an answer that are kept, for days only; `0`: none",
    )
    keep_raw: Duration = Field(
        timedelta(days=90),
        description="how long observations, rounds and account readings are kept once they are "
        "rolled up: [retention](sql.md#retention)",
    )
    keep_excerpts: Duration = Field(
        timedelta(days=7),
        description="how long excerpts of answers are kept; not longer than `keep_raw`",
    )
    keep_failed_excerpts: Duration = Field(
        timedelta(days=30), description="the same for excerpts of failed probes"
    )

    @model_validator(mode="after")
    def _excerpts_end_first(self) -> "StorageSection":
        for name in ("keep_excerpts", "keep_failed_excerpts"):
            if name in self.model_fields_set and getattr(self, name) > self.keep_raw:
                raise ValueError(
                    f"{name} is longer than keep_raw, after which the whole row is "
                    "deleted: raise keep_raw"
                )
        return self


class MetricsSection(Section):
    port: int | None = Field(
        None,
        gt=0,
        lt=65536,
        description="where `/metrics`, `/healthz` and the status page are served; without a port "
        "nowhere: [metrics](metrics-endpoint.md)",
    )
    host: ListeningHost = Field(
        "127.0.0.1",
        description='the address it is bound to; `"0.0.0.0"` or `"::"` lets other machines in, '
        "and asks for no login",
    )
    targets: int = Field(
        200,
        ge=0,
        le=10_000,
        description="how many targets, in the order of this file, have series of their own; the "
        'others are summed under `target="other"`',
    )


class ConfigFile(Section):
    targets: dict[SlugName, TargetSection] = Field(min_length=1)
    rules: dict[str, dict[str, Any]] = {}
    prices: dict[str, Any] = {}  # tables of the price book, checked by monitor.pricing.price_table
    tokenizers: dict[str, TokenizerSection] = {}
    probes: ProbesSection = ProbesSection()
    accounts: AccountsSection = AccountsSection()
    slack: SlackSection = SlackSection()
    digest: DigestSection = DigestSection()
    incidents: IncidentsSection = IncidentsSection()
    maintenance: list[MaintenanceSection] = []
    channels: list[ChannelSection] = []
    storage: StorageSection = StorageSection()
    metrics: MetricsSection = MetricsSection()
