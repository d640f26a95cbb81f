"""The flags of `monitor init`, and its questions to a person at a terminal."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from monitor.cli.startup import BAD_INPUT, stop
from monitor.command_name import as_started
from monitor.config.value_kinds import duration, http_url, positive
from monitor.dialects import DIALECTS
from monitor.redaction import is_token, looks_secret, plain
from monitor.setup.request_forms import ServiceAddress

MOST_QUESTIONS = 20
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"([A-Za-z0-9-]+)\s*[:=]\s*(.+)")
_PRICE = re.compile(r"\s*([0-9.]+)\s*[/ ]\s*([0-9.]+)\s*")

T = TypeVar("T")
Price = tuple[Decimal, Decimal]  # USD per million tokens of prompt and answer


@dataclass(frozen=True, slots=True, kw_only=True)
class InitOptions:
    """The flags of `monitor init`, as written. Empty or None: asked for, or the default."""

    url: str | None = None
    name: str | None = None
    key_variable: str | None = None
    headers: Sequence[str] = ()
    dialect: str | None = None
    model: str | None = None
    body: str | None = None
    parameters: Sequence[str] = ()
    options: Sequence[str] = ()
    questions: Sequence[str] = ()
    expected: Sequence[str] = ()
    fallbacks: Sequence[str] = ()
    prices: Sequence[str] = ()
    every: str | None = None
    daily_queries: int | None = None
    prompt_tokens: int | None = None
    ttft_limit_ms: int | None = None
    spend_limit: str | None = None
    output: Path | None = None
    add: bool = False
    capture: bool | None = None
    test_alert: bool | None = None
    yes: bool = False


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Questions to a person; without a terminal, the default or an error that names the flag."""

    open: bool

    def ask(self, question: str, read: Callable[[str], T], default: str | None) -> T:
        """The answer, converted by `read`, which raises ValueError with a sentence."""
        shown = f" [{default}]" if default else ""
        while True:
            try:
                if self.open:  # `input` is not used, because it may write to standard error
                    print(f"{question}{shown}: ", end="", flush=True)  # noqa: T201
                written = input().strip() if self.open else ""
            except EOFError:
                stop("the input ended: nothing was written", BAD_INPUT)
            try:
                return read(written or default or "")
            except ValueError as error:
                if not self.open:
                    stop(f"{error}", BAD_INPUT)
                say_line(f"  {error}")

    def agreed(self, question: str, given: bool | None) -> bool:
        """Yes or no: the flag, else the person's answer, else no."""
        if given is not None or not self.open:
            return bool(given)
        return self.ask(f"{question} [y/N]", str.lower, None) in ("y", "yes")


def say_line(line: str) -> None:
    print(as_started(line), flush=True)  # noqa: T201


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledOptions:
    """The flags that describe the configuration, validated."""

    given: InitOptions
    questions: tuple[str, ...]
    prices: Mapping[str, Price] = field(default_factory=dict)


def settled_options(given: InitOptions) -> SettledOptions:
    faults: list[str] = []

    def each(flag: str, texts: Sequence[str], read: Callable[[str], T]) -> list[T]:
        found = []
        for text in texts:
            try:
                found.append(read(text))
            except ValueError as error:
                faults.append(f"{flag}: {error}")
        return found

    prices = dict(each("--price", given.prices, _model_price))
    each("--every", [given.every] if given.every else [], lambda text: positive(duration(text)))
    each("--spend-limit", [given.spend_limit] if given.spend_limit else [], money)
    if any(not text.strip() for text in given.questions):
        faults.append("--question: must not be empty")
    if given.name and not re.fullmatch(r"[a-z0-9_-]{1,64}", given.name):
        faults.append(f'--name = "{plain(given.name, 60)}": use 1 to 64 of a-z, 0-9, _ -')
    for flag, value, key in (
        ("--ttft-limit", given.ttft_limit_ms, "rules.ttft.limit_ms"),
        ("--spend-limit", given.spend_limit, "rules.spend.limit_usd"),
    ):
        if given.add and value:
            faults.append(f"{flag}: a limit is for all targets: change {key} in the file")
    if faults:
        stop("\n".join(faults), BAD_INPUT)
    questions = tuple(text.strip() for text in given.questions)[:MOST_QUESTIONS]
    return SettledOptions(given=given, questions=questions, prices=prices)


def _model_price(text: str) -> tuple[str, Price]:
    model, found, price = text.rpartition("=")
    if not found or not model.strip():
        raise ValueError(f'"{plain(text, 80)}": write MODEL=IN/OUT, such as vendor/m=0.20/0.80')
    return model.strip(), price_pair(price)


def price_pair(text: str) -> Price:
    match = _PRICE.fullmatch(text)
    try:
        if match:
            return Decimal(match[1]), Decimal(match[2])
    except InvalidOperation:
        pass
    raise ValueError(
        f'"{plain(text, 40)}": write USD per million tokens of prompt and answer, such as 0.20/0.80'
    )


def money(text: str) -> Decimal:
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise ValueError(f'"{plain(text, 40)}": write dollars, such as 2.00')
    return amount


def service_address(given: InitOptions, dialogue: Dialogue) -> ServiceAddress:
    """The address and the credentials, from flags or from the person."""
    url = given.url and _address(given.url)
    if not url:
        if not dialogue.open:
            stop(
                "--url is missing: name the address of the service (no terminal to ask on)",
                BAD_INPUT,
            )
        url = dialogue.ask("Address of the service, with the path of its chat", _url_text, None)
    headers = dict(_header(text) for text in given.headers)
    key = given.key_variable
    if key is None and not headers and dialogue.open:
        key = dialogue.ask("Environment variable that holds its key (empty: none)", _variable, None)
    try:
        key = _variable(key or "")
        for template in headers.values():
            for name in re.findall(r"\$\{([^}]*)\}", template):
                _variable(name)
    except ValueError as error:
        stop(f"--key-variable: {error}", BAD_INPUT)
    if given.dialect and given.dialect not in DIALECTS:
        stop(f"--dialect: unknown; known: {', '.join(DIALECTS)}", BAD_INPUT)
    return ServiceAddress(
        url=url,
        model=given.model,
        dialect=given.dialect,
        options=_options(given),
        headers=headers,
        key=key or None,
    )


def _address(text: str) -> str:
    try:
        return _url_text(text)
    except ValueError as error:
        stop(f"--url: {error}", BAD_INPUT)


def _url_text(text: str) -> str:
    if not text:
        raise ValueError("write the address of the service, such as https://rag.example.com/chat")
    if "://" not in text:
        local = re.match(r"(?:localhost|127\.|\[::1\]|10\.|192\.168\.)", text)
        text = f"{'http' if local else 'https'}://{text}"
    for name, value in parse_qsl(urlsplit(text).query):
        if looks_secret(name) or is_token(value):
            raise ValueError(
                f"the parameter {plain(name, 40)} looks like a key: remove it from the address and "
                "use --key-variable or --header"
            )
    return http_url(text)


def _variable(name: str) -> str:
    """The name of a set variable; "" for none. A value that may be a key is not repeated."""
    name = name.strip().removeprefix("$").strip("{}")
    if not name:
        return ""
    if not _VARIABLE.fullmatch(name) or is_token(name):
        raise ValueError(
            "write the name of an environment variable, never the key itself, such as SERVICE_KEY"
        )
    if not os.environ.get(name, "").strip():
        raise ValueError(f"{name} is not set: export {name}=… in this shell and start again")
    return name


def _header(text: str) -> tuple[str, str]:
    match = _HEADER.fullmatch(text.strip())
    if not match:
        stop("--header: write 'NAME: VALUE', such as 'X-API-Key: ${SERVICE_KEY}'", BAD_INPUT)
    name, value = match[1], match[2].strip()
    if "${" not in value and (looks_secret(f"{name}={value}") or is_token(value)):
        stop(
            f"--header {name}: the value looks like a key. Put it into an environment variable and "
            f"write '{name}: ${{VARIABLE}}'",
            BAD_INPUT,
        )
    return name, value


def _options(given: InitOptions) -> dict[str, Any]:
    """Options of the dialect: `--body`, `--param` and `--option`."""
    options: dict[str, Any] = {}
    for flag, texts in (("--option", given.options), ("--param", given.parameters)):
        for text in texts:
            name, found, value = text.partition("=")
            if not found or not name.strip():
                stop(f"{flag} {plain(text, 60)}: write NAME=VALUE", BAD_INPUT)
            if flag == "--param":
                options.setdefault("query", {})[name.strip()] = value
                continue
            table, _, inner = name.strip().partition(".")
            read = {"true": True, "false": False}.get(value, value)
            if inner:
                options.setdefault(table, {})[inner] = read
            else:
                options[table] = read
    if given.body is not None:
        try:
            options["body"] = json.loads(given.body)
        except ValueError as error:
            stop(
                f'--body is not JSON ({error}): write such as \'{{"question": "{{query}}"}}\'',
                BAD_INPUT,
            )
    return options
