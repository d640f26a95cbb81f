"""`monitor.toml` as `monitor init` writes it: commented, valid, without secrets."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from monitor.domain import Query, Target, lasting
from monitor.identity import parse
from monitor.redaction import plain
from monitor.setup.event_fields import EventField

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 100
_NOT_FOUND = {
    "model": '# No model was found. If answers name it: model = "EXPRESSION"',
    "usage": '# No tokens were found. If answers count them: usage.prompt_tokens = "EXPRESSION"',
    "sources": '# No sources were found. If answers list documents: sources = "EXPRESSION"',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigDraft:
    """The content of the file. `headers` contain `${NAME}` in place of keys.

    `prices`: USD per million tokens of prompt and answer, by model. `disclosed`: the answer named
    the expected model; `echoed`: only because the request did. `own_name`: what the answer names
    instead of a known model. `notes`: where a value comes from,
    by its key.
    """

    target: Target
    headers: Mapping[str, str]
    prices: Mapping[str, tuple[Decimal, Decimal]]
    fields: Sequence[EventField]
    disclosed: bool
    echoed: bool
    own_name: str | None = None
    first_ttft_ms: float | None = None
    notes: Mapping[str, str]
    ttft_limit_ms: int
    spend_limit_usd: Decimal
    probe_budget_usd: Decimal
    written: date

    def text(self) -> str:
        """The whole file."""
        parts = (self._head(), self._target(), self._headers(), self._options(), *self._queries(),
                 *self._prices(), self._limits())  # fmt: skip
        return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part))) + "\n"

    def section(self, *, without_prices: Collection[str]) -> str:
        """The target alone, to be added to a file that has its own limits and these prices."""
        prices = {model: one for model, one in self.prices.items() if model not in without_prices}
        parts = (self._added(), self._target(), self._headers(), self._options(), *self._queries(),
                 *replace(self, prices=prices)._prices())  # fmt: skip
        return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part))) + "\n"

    def _added(self) -> Iterator[str]:
        yield f"# Added by `monitor init --add` on {self.written}."

    def _head(self) -> Iterator[str]:
        yield f"# Written by `monitor init` on {self.written}. All settings: docs/configuration.md"
        yield "# Secrets stay in the environment: ${NAME} in a header is replaced by the variable."

    def _target(self) -> Iterator[str]:
        target = self.target
        yield f"[targets.{target.name}]"
        yield f"url = {toml(target.url)}"
        yield f"dialect = {toml(target.dialect)}"
        if target.model:
            yield f"model = {toml(target.model)}  # the model that probes ask for"
        yield f'every = "{_duration(target.every)}"  # one round of all queries'
        if target.expected_models:
            said = "as you named it; the first answer did not name it"
            if self.echoed:
                said = "answers repeat the requested name, maybe an alias: it discloses no model"
            elif not all(parse(model).known for model in target.expected_models):
                said = "as you named it; no known model: if it is your own name, it discloses none"
            elif self.disclosed:
                said = "the first answer named it"
            yield f"expected_models = {toml(list(target.expected_models))}  # {said}"
        else:
            if self.own_name:
                name = toml(self.own_name)
                yield f"# Answers name {name}, which is no known model and shows none."
            yield "# The model that should answer. Without it no fallback is detected by name."
            yield '# expected_models = ["vendor/model"]'
        if target.fallback_models:
            yield f"fallback_models = {toml(list(target.fallback_models))}"
        else:
            yield "# Models that may answer in its place, so that their price is known."
            yield '# fallback_models = ["vendor/model"]'
        yield f"daily_queries = {target.daily_queries}  # questions of users a day; 0: unknown"

    def _headers(self) -> Iterator[str]:
        if self.headers:
            yield f"[targets.{self.target.name}.headers]"
        for name, value in self.headers.items():
            yield f"{_key(name)} = {toml(value)}"

    def _options(self) -> Iterator[str]:
        """Options, each expression with what it found in the first answer."""
        options = self.target.options
        if not options:
            return
        found = {item.option: item.found for item in self.fields}
        if found:
            yield "# Proposed from the first answers; the comments show what each expression found."
            yield "# Try changes with `monitor probe --explain`. Source: docs/dialects.md#custom"
        yield f"[targets.{self.target.name}.options]"
        if found:
            yield from (line for name, line in _NOT_FOUND.items() if name not in options)
        for name, value in options.items():
            if isinstance(value, Mapping) and name == "usage":
                yield ""
                yield f"[targets.{self.target.name}.options.usage]"
                for inner, text in value.items():
                    yield _noted(f"{_key(inner)} = {toml(text)}", found.get(f"usage.{inner}"))
            else:
                yield _noted(f"{_key(name)} = {toml(value)}", found.get(name))

    def _queries(self) -> Iterator[Iterator[str]]:
        yield from (self._query(query) for query in self.target.queries)

    def _query(self, query: Query) -> Iterator[str]:
        yield f"[[targets.{self.target.name}.queries]]"
        yield f"id = {toml(query.id)}"
        yield f"text = {toml(query.text)}"
        if query.identity:
            yield "identity = true  # asks the model for its name"
        if query.prompt_tokens:
            yield f"prompt_tokens = {query.prompt_tokens}{self._note('prompt_tokens')}"

    def _prices(self) -> Iterator[Iterator[str]]:
        for model, (prompt, answer) in self.prices.items():
            yield iter(
                (
                    f"[prices.{json.dumps(model)}]  # USD per million tokens",
                    f'input = "{prompt}"',
                    f'output = "{answer}"',
                    'source = "monitor init"',
                    f"checked = {self.written}",
                )
            )

    def _limits(self) -> Iterator[str]:
        yield "[rules.ttft]"
        yield f"limit_ms = {self.ttft_limit_ms}{self._note('limit_ms')}"
        yield ""
        yield "[rules.spend]"
        yield f'limit_usd = "{self.spend_limit_usd}"{self._note("limit_usd")}'
        yield ""
        yield "[probes]"
        yield f'daily_budget_usd = "{self.probe_budget_usd}"  # probes stop for the day there'

    def _note(self, key: str) -> str:
        return f"  # {note}" if (note := self.notes.get(key)) else ""


def toml(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return str(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(name)} = {toml(one)}" for name, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    text = str(value).encode("utf-8", "replace").decode()  # no lone surrogates
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else toml(name)


def _noted(line: str, found: str | None) -> str:
    if found is None:
        return line
    room = max(_WIDTH - len(line) - 4, 40)
    return f"{line}  # {plain(found, room)}"


def _duration(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return lasting(span) if span.microseconds else f"{seconds}s"
