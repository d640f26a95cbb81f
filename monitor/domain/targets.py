"""What is watched: targets and their canned queries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A canned query: the same words, asked again and again."""

    id: str
    text: str
    identity: bool = False  # asks the service directly who it is
    prompt_tokens: int | None = None  # estimate, system prompt included
    stop_after_chars: int | None = None  # hang up early: a cheaper probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A streaming service and how it is to be asked."""

    name: str
    url: str
    dialect: str
    queries: tuple[Query, ...]
    every: timedelta = timedelta(minutes=5)
    expected_models: tuple[str, ...] = ()
    fallback_models: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets
    model: str | None = None  # the model to ask for, where a dialect asks for one
    connect_deadline: timedelta = timedelta(seconds=10)
    first_token_deadline: timedelta = timedelta(seconds=30)
    stall_deadline: timedelta = timedelta(seconds=20)
    deadline: timedelta = timedelta(seconds=60)
    ca_file: str | None = None
    proxy: str | None = None
    chars_per_token: Decimal = Decimal(4)
    daily_queries: int = 0  # traffic of the service; 0: no traffic meter
    persona: bool = True  # the service answers under another name than its model's
    # Tags of thoughts in the text, or pairs of an opening and a closing tag; None: the usual ones.
    reasoning_tags: tuple[str | tuple[str, ...], ...] | None = None
    untrusted: tuple[str, ...] = ()  # claim sources known to lie, e.g. "ai_used"
    options: Mapping[str, Any] = field(default_factory=dict)  # the dialect's own settings
