"""The shape of `monitor.toml`: sections, keys, defaults and their bounds."""

from datetime import time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from monitor.config.spelling_fixes import VERBATIM
from monitor.config.value_types import (
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
    not_blank,
)
from monitor.health_page import address, expectation

Name = Annotated[str, AfterValidator(str.lower)]  # of something named in small letters


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QuerySection(Section):
    id: SlugName
    text: Annotated[str, AfterValidator(not_blank), VERBATIM]  # as it is sent
    identity: bool | None = None  # None: as its words say
    prompt_tokens: int | None = Field(None, gt=0)
    stop_after_chars: int | None = Field(None, gt=0)


class HealthSection(Section):
    """The target's own health page. `url` None: none is read."""

    url: Plain | None = None
    every: Interval = timedelta(minutes=5)
    expect: list[Annotated[str, AfterValidator(expectation)]] = []

    @model_validator(mode="after")
    def _has_a_page(self) -> "HealthSection":
        if self.url is None and self.model_fields_set:
            raise ValueError("without url no page is read: add url, or remove the section")
        return self


class TargetSection(Section):
    url: HttpUrl
    dialect: Name
    queries: list[QuerySection] = Field(min_length=1)
    every: Interval = timedelta(minutes=5)
    expected_models: list[Plain] = []
    fallback_models: list[Plain] = []
    headers: dict[str, str] = {}
    model: Plain | None = None
    connect_deadline: Duration = timedelta(seconds=10)
    first_token_deadline: Duration = timedelta(seconds=30)
    stall_deadline: Duration = timedelta(seconds=20)
    deadline: Duration = timedelta(seconds=60)
    ca_file: Plain | None = None
    proxy: ProxyUrl | None = None
    chars_per_token: Decimal = Field(Decimal(4), gt=0, le=20)
    daily_queries: int = Field(0, ge=0)
    persona: bool = True
    reasoning_tags: list[str | list[str]] | None = None
    untrusted: list[Plain] = []
    options: dict[str, Any] = {}
    health: HealthSection = HealthSection()

    @model_validator(mode="after")
    def _sound(self) -> "TargetSection":
        ids = [query.id for query in self.queries]
        for twice in {i for i in ids if ids.count(i) > 1}:
            raise ValueError(f'two queries have the id "{twice}": ids name columns of reports')
        if self.first_token_deadline > self.deadline:
            raise ValueError("first_token_deadline is longer than deadline: raise deadline")
        if self.health.url is not None:
            try:
                http_url(address(self.url, self.health.url))
            except ValueError as error:
                raise ValueError(f"health.url: {error}") from None
        return self


class ProbesSection(Section):
    daily_budget_usd: Money = Decimal("0.50")
    max_per_day: int = Field(20_000, gt=0)
    thin_out: bool = True


class TokenizerSection(Section):
    """A model's own tokenizer, in a file. `pattern` None: the usual one of such a file."""

    file: Plain
    pattern: str | None = Field(None, min_length=1)


class AccountsSection(Section):
    every: Interval = timedelta(minutes=5)


class SlackSection(Section):
    runbook_url: HttpUrl | None = None


class DigestSection(Section):
    enabled: bool = True
    at: ClockTime = time(9, 0)
    timezone: Zone = "UTC"


class IncidentsSection(Section):
    remind_after: Interval = timedelta(hours=4)
    remind_every: Interval = timedelta(days=1)


class MaintenanceSection(Section):
    """A recurring window in which nothing is told."""

    target: Name = "all"
    rule: Name = "all"
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = Field(min_length=1)
    start: ClockTime = Field(alias="from")
    end: ClockTime = Field(alias="to")
    timezone: Zone = "UTC"
    reason: str = "maintenance"


class StorageSection(Section):
    excerpt_chars: int = Field(200, ge=0, le=2000)
    keep_raw: Duration = timedelta(days=90)
    keep_excerpts: Duration = timedelta(days=7)
    keep_failed_excerpts: Duration = timedelta(days=30)

    @model_validator(mode="after")
    def _excerpts_end_first(self) -> "StorageSection":
        for name in ("keep_excerpts", "keep_failed_excerpts"):
            if name in self.model_fields_set and getattr(self, name) > self.keep_raw:
                raise ValueError(f"{name} is longer than keep_raw, after which the whole row is "
                                 "deleted: raise keep_raw")  # fmt: skip
        return self


class MetricsSection(Section):
    port: int | None = Field(None, gt=0, lt=65536)
    host: ListeningHost = "0.0.0.0"  # noqa: S104  Fly's scraper comes from outside the machine


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
    storage: StorageSection = StorageSection()
    metrics: MetricsSection = MetricsSection()
