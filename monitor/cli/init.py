"""`monitor init`: asks a service, recognises its format, and writes a configuration for it."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from monitor import __version__, identity, notifications
from monitor.cli.baseline import enough, run_capture
from monitor.cli.check import projection
from monitor.cli.run import run_async
from monitor.cli.startup import BAD_INPUT, FAILED, stop
from monitor.config import ConfigErrors, Settings, load
from monitor.config.value_kinds import duration, http_url, positive
from monitor.dialects import DIALECTS, dialect_of
from monitor.domain import Observation, Query, Target, Unpriced
from monitor.pricing.book import PriceBook, price_book
from monitor.pricing.forecast import SpendForecast, projected
from monitor.probing.client import ProbeClient
from monitor.probing.observe import ProbeOccasion
from monitor.redaction import is_token, looks_secret, plain, redact
from monitor.setup.config_draft import ConfigDraft
from monitor.setup.recognition import RecognizedService, Unrecognized, recognize
from monitor.setup.request_forms import ServiceAddress, guessed
from monitor.worker import probe_round

FIRST = "Hello! What can you help me with? Please answer in two sentences."
# Short, cheap, and understood in any language.
PROPOSED = (
    Query(id="hi", text="Hi"),
    Query(id="sum", text="17 + 25 = ?"),
    Query(id="who", text="Who are you? Which AI model are you?", identity=True),
)
EXCERPT = 300
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
    capture: bool | None = None
    test_alert: bool | None = None
    yes: bool = False


@dataclass(frozen=True, slots=True)
class _Dialogue:
    """Questions to a person; without one, the default or a fault that names the flag."""

    open: bool

    def ask(self, question: str, read: Callable[[str], T], default: str | None) -> T:
        """The answer as `read` takes it, which raises ValueError with a sentence."""
        shown = f" [{default}]" if default else ""
        while True:
            try:
                if self.open:  # not by `input`, which may write to standard error
                    print(f"{question}{shown}: ", end="", flush=True)  # noqa: T201
                written = input().strip() if self.open else ""
            except EOFError:
                stop("the input ended: nothing was written", BAD_INPUT)
            try:
                return read(written or default or "")
            except ValueError as error:
                if not self.open:
                    stop(f"{error}", BAD_INPUT)
                _say(f"  {error}")

    def agreed(self, question: str, given: bool | None) -> bool:
        """Yes or no: the flag, else the person's answer, else no."""
        if given is not None or not self.open:
            return bool(given)
        return self.ask(f"{question} [y/N]", str.lower, None) in ("y", "yes")


def init(given: InitOptions) -> None:
    """Recognise a service and write its configuration. Exit 2: a flag is missing or wrong."""
    dialogue = _Dialogue(not given.yes and sys.stdin.isatty() and sys.stdout.isatty())
    output = given.output or Path(os.environ.get("MONITOR_CONFIG", "").strip() or "monitor.toml")
    if output.exists():
        stop(
            f"{output} exists, and init overwrites no file: name another with --output FILE",
            BAD_INPUT,
        )
    service = _service(given, dialogue)
    settled = _checked(given)
    found = _recognized(service, (settled.questions or (FIRST,))[0])
    target = _target(found, settled, dialogue)
    draft = _draft(found, target, settled, dialogue)
    settings = _written(draft, output)
    _say(f"\nwrote {output}")
    _afterwards(settings, target.name, output, given, dialogue)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


# Flags, read before anything is asked of the service.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settled:
    """The flags that describe the configuration, checked."""

    given: InitOptions
    questions: tuple[str, ...]
    prices: Mapping[str, Price] = field(default_factory=dict)


def _checked(given: InitOptions) -> _Settled:
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
    each("--spend-limit", [given.spend_limit] if given.spend_limit else [], _money)
    if any(not text.strip() for text in given.questions):
        faults.append("--question: must not be empty")
    if given.name and not re.fullmatch(r"[a-z0-9_-]{1,64}", given.name):
        faults.append(f'--name = "{plain(given.name, 60)}": use 1 to 64 of a-z, 0-9, _ -')
    if faults:
        stop("\n".join(faults), BAD_INPUT)
    questions = tuple(text.strip() for text in given.questions)[:MOST_QUESTIONS]
    return _Settled(given=given, questions=questions, prices=prices)


def _model_price(text: str) -> tuple[str, Price]:
    model, found, price = text.rpartition("=")
    if not found or not model.strip():
        raise ValueError(f'"{plain(text, 80)}": write MODEL=IN/OUT, such as vendor/m=0.20/0.80')
    return model.strip(), _price(price)


def _price(text: str) -> Price:
    match = _PRICE.fullmatch(text)
    try:
        if match:
            return Decimal(match[1]), Decimal(match[2])
    except InvalidOperation:
        pass
    raise ValueError(
        f'"{plain(text, 40)}": write USD per million tokens of prompt and answer, such as 0.20/0.80'
    )


def _money(text: str) -> Decimal:
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise ValueError(f'"{plain(text, 40)}": write dollars, such as 2.00')
    return amount


def _service(given: InitOptions, dialogue: _Dialogue) -> ServiceAddress:
    """The address and how to get in, from flags or from the person."""
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
    """The name of a variable that is set; "" for none. What looks like a key is not repeated."""
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


# The service, asked.


def _recognized(service: ServiceAddress, question: str) -> RecognizedService:
    query = Query(id="first", text=question)
    secrets = [os.environ.get(service.key or "", "")]
    found: list[RecognizedService] = []

    async def ask() -> None:
        async with ProbeClient(__version__) as wire:
            found.append(
                await recognize(
                    service,
                    query,
                    wire=wire,
                    variables=os.environ,
                    note=lambda line: _say(f"  {redact(line, secrets)}"),
                )
            )

    _say(f"asking: {question}")
    try:
        run_async(ask())
    except Unrecognized as reason:
        stop(redact(str(reason), secrets), FAILED)
    result = found[0]
    count = f"{result.requests} request{'s' * (result.requests != 1)}"
    _say(f"recognised: {result.target.dialect} ({count})")
    _say(f"first answer: {plain(redact(result.reply.text, secrets), EXCERPT)}")
    if result.target.dialect == "custom" and (
        values := guessed(result.target.options) if not service.options else []
    ):
        _say(f"the service wants values that init had to guess: {', '.join(values)}")
    for item in result.fields:
        _say(f"  {item.option} = {item.expression}  found {plain(item.found, 160)}")
    return result


def _target(found: RecognizedService, settled: _Settled, dialogue: _Dialogue) -> Target:
    """The target with its name, queries and models."""
    given = settled.given
    target = replace(found.target, name=given.name or _name(found.target.url))
    seen = _observed(found, target)
    if seen.ttft_ms is not None:
        _say(f"time to first token: {seen.ttft_ms:.0f} ms")
    _say(f"who answered: {seen.model_disclosed or 'the answer does not say'}")
    expected = tuple(given.expected) or dialogue.ask(
        "Which model should answer (empty: not known)", _models, seen.model_disclosed
    )
    fallbacks = tuple(given.fallbacks) or dialogue.ask(
        "Which models may answer in its place, separated by commas (empty: not known)",
        _models,
        None,
    )
    every = given.every or dialogue.ask("Ask every", _span_text, "5m")
    return Target(
        name=target.name,
        url=target.url,
        dialect=target.dialect,
        model=target.model,
        headers=target.headers,
        options=target.options,
        queries=_queries(settled, dialogue, seen.prompt_tokens),
        expected_models=expected,
        fallback_models=tuple(model for model in fallbacks if model not in expected),
        every=positive(duration(every)),
        daily_queries=given.daily_queries or 0,
    )


def _span_text(text: str) -> str:
    positive(duration(text))
    return text


def _models(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _name(url: str) -> str:
    """A name for the target out of its host: the first label that says something."""
    labels = [part for part in (urlsplit(url).hostname or "").lower().split(".") if part]
    usual = {"www", "api", "app", "localhost", "com", "net", "org", "io", "dev", "ai"}
    said = [part for part in labels if part not in usual and not part.isdecimal()]
    return re.sub(r"[^a-z0-9_-]", "-", said[0])[:40] if said and ":" not in said[0] else "service"


def _queries(settled: _Settled, dialogue: _Dialogue, reported: int | None) -> tuple[Query, ...]:
    """The proposed queries and the user's own, which go through retrieval.

    `reported`: the prompt of the first answer in tokens, which is what is known of the others.
    """
    own = list(settled.questions)
    while dialogue.open and len(own) < MOST_QUESTIONS:
        prompt = "A question of your users, which needs your documents (empty: no more)"
        text = dialogue.ask(prompt, str, None)
        if not text:
            break
        own.append(text)
    asked = tuple(Query(id=f"own{n}", text=text) for n, text in enumerate(own, start=1))
    queries = (
        *PROPOSED,
        *(query for query in asked if query.text not in [p.text for p in PROPOSED]),
    )
    _say(f"queries: {', '.join(plain(query.text, 60) for query in queries)}")
    tokens = settled.given.prompt_tokens or reported
    return tuple(replace(query, prompt_tokens=tokens) for query in queries)


def _observed(found: RecognizedService, target: Target) -> Observation:
    """The first answer, interpreted as the worker does it."""
    asked = replace(target, queries=found.target.queries)
    occasion = ProbeOccasion(
        target=asked,
        query=found.target.queries[0],
        origin="manual",
        slot=found.transcript.started_at,
        region="local",
        worker="init",
        config_hash="",
        excerpt_chars=0,
        secrets=(),
    )
    made: list[Observation] = []

    async def interpret() -> None:
        judged = await probe_round.interpreted(
            replace(found.transcript, heard=()),
            occasion,
            dialect=dialect_of(asked),
            book=_book({}),
            known=None,
        )
        made.append(judged.observation)

    identity.prepare()
    run_async(interpret())
    return made[0]


def _book(prices: Mapping[str, Price]) -> PriceBook:
    tables = {model: {"input": one[0], "output": one[1]} for model, one in prices.items()}
    return price_book(tables, same=identity.same)


# What it will cost, the limits, and the file.


def _draft(
    found: RecognizedService, target: Target, settled: _Settled, dialogue: _Dialogue
) -> ConfigDraft:
    given, seen, now = settled.given, _observed(found, target), datetime.now(UTC)
    prices = dict(settled.prices)
    for model in (*target.expected_models, *target.fallback_models):
        if isinstance(_book(prices).price(model, at=now), Unpriced) and dialogue.open:
            price = dialogue.ask(
                f"Price of {model}, USD per million tokens of prompt/answer (empty: not known)",
                lambda text: _price(text) if text else None,
                None,
            )
            if price:
                prices[model] = price
    book = _book(prices)
    forecasts = [
        one
        for model, one in projected(target, book=book, at=now).items()
        if isinstance(one, SpendForecast) and model in target.expected_models
    ]
    probes = max((one.probes.usd for one in forecasts), default=Decimal(0))
    whole = max((one.per_day.usd for one in forecasts), default=Decimal(0))
    budget = max(Decimal("0.50"), _cents(probes * Decimal("1.5")))
    for line in projection(target, book, budget):
        _say(line)
    first = seen.ttft_ms
    limit = max(1000, int(-(-3 * (first or 0) // 100)) * 100)
    limit = min(limit, int(target.first_token_deadline.total_seconds() * 1000) - 1000)
    ttft = given.ttft_limit_ms or dialogue.ask(
        "Alert when the first token takes longer than (ms)", _whole_number, str(limit)
    )
    proposed = max(Decimal("2.00"), _cents(whole * 2))
    spend = (
        _money(given.spend_limit)
        if given.spend_limit
        else dialogue.ask("Alert when a day costs more than (USD)", _money, str(proposed))
    )
    return ConfigDraft(
        target=target,
        headers=found.headers,
        prices=prices,
        fields=found.fields,
        disclosed=any(identity.same(seen.model_disclosed or "", m) for m in target.expected_models),
        first_token_ms=first,
        ttft_limit_ms=ttft,
        spend_limit_usd=spend,
        probe_budget_usd=budget,
        written=now.date(),
    )


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), rounding=ROUND_CEILING)


def _whole_number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("write milliseconds, such as 1200")
    return int(text)


def _written(draft: ConfigDraft, output: Path) -> Settings:
    """The file, read back as every command reads it before it gets its name."""
    folder = output.parent
    try:
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".monitor-init-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(draft.text())
        try:
            settings = load({**os.environ, "MONITOR_CONFIG": temporary})
            os.link(temporary, output)  # fails where somebody wrote that file meanwhile
        finally:
            Path(temporary).unlink()
    except FileExistsError:
        stop(f"{output} exists, and init overwrites no file: name another with --output", BAD_INPUT)
    except ConfigErrors as fault:
        listed = "\n".join(f"  {item}" for item in fault.faults)
        stop(f"the configuration would not be valid; nothing was written:\n{listed}", FAILED)
    except OSError as error:
        stop(f"{output} cannot be written: {error.strerror}", BAD_INPUT)
    return settings


def _afterwards(
    settings: Settings, name: str, output: Path, given: InitOptions, dialogue: _Dialogue
) -> None:
    """Offer what comes next, and name the commands."""
    os.environ["MONITOR_CONFIG"] = str(output)
    target = settings.targets[name]
    answers = enough(target.queries) * len(target.queries)
    if target.expected_models and dialogue.agreed(
        f"Capture a baseline of {target.expected_models[0]} now ({answers} answers)? Only while "
        "you know that it answers",
        given.capture,
    ):
        run_capture(
            name, model=None, count=None, query=None, source=None, over_budget=False, yes=False
        )
    elif given.capture:
        _say("no baseline was captured: name the model that answers, with --expected")
    if dialogue.agreed("Send a test alert now?", given.test_alert):
        from monitor.cli.alerting import send_test

        send_test(None)
    elif notifications.unheard(settings.channels.values()):
        _say(f"alerts are printed only, until you set {notifications.setup()}")
    model = "" if target.expected_models else " --model NAME"
    with_config = "" if output == Path("monitor.toml") else f"MONITOR_CONFIG={output} "
    _say("next:")
    for command, purpose in (
        ("check", "checks it, and the way to Slack"),
        (f"baseline capture {name}{model}", "so that a silent fallback is detected"),
        ("test-alert", "sends one message"),
        ("run", "starts the monitor"),
    ):
        _say(f"  {with_config}monitor {command}  # {purpose}")
