"""`monitor init`: probes a service, recognises its format, and writes a configuration for it."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from monitor import __version__, identity, notifications
from monitor.cli.baseline import enough, run_capture
from monitor.cli.check import budget_warnings
from monitor.cli.config_writing import ExistingFile, refuse_existing, write_new
from monitor.cli.init_flags import (
    MOST_QUESTIONS,
    Dialogue,
    InitOptions,
    Price,
    SettledOptions,
    money,
    price_pair,
    say_line,
    service_address,
    settled_options,
)
from monitor.cli.run import run_async
from monitor.cli.spend_projection import projection
from monitor.cli.startup import FAILED, stop
from monitor.command_name import command_name
from monitor.config import NOTHING, Settings
from monitor.config.value_kinds import duration, positive
from monitor.dialects import dialect_of
from monitor.domain import Observation, Query, Target, Unpriced
from monitor.identity.fingerprint.profile import own_name
from monitor.pricing.book import PriceBook, price_book
from monitor.pricing.forecast import SpendForecast, projected
from monitor.probing.client import ProbeClient
from monitor.probing.observe import ProbeOccasion
from monitor.redaction import plain, redact
from monitor.rules import TtftRule, rule_of
from monitor.setup.answer_contents import answer_contents, unnamed
from monitor.setup.attempt_log import RecognizedService, Unrecognized
from monitor.setup.config_draft import ConfigDraft
from monitor.setup.recognition import recognize
from monitor.setup.request_forms import ServiceAddress, guessed, held_secrets
from monitor.worker import probe_round

FIRST = "Hello! What can you help me with? Please answer in two sentences."
# Short and cheap, and possible in any language.
PROPOSED = (
    Query(id="hi", text="Hi"),
    Query(id="sum", text="17 + 25 = ?"),
    Query(id="who", text="Who are you? Which AI model are you?", identity=True),
)
EXCERPT, LONGEST = 300, 400


def init(given: InitOptions) -> None:
    """Recognise a service and write its configuration. Exit 2: a flag is missing or wrong."""
    dialogue = Dialogue(not given.yes and sys.stdin.isatty() and sys.stdout.isatty())
    output = given.output or Path(os.environ.get("MONITOR_CONFIG", "").strip() or "monitor.toml")
    if output.exists() and not given.add:
        refuse_existing(output)
    existing = ExistingFile.read(output, named=given.output is not None) if given.add else None
    service = service_address(given, dialogue)
    settled = settled_options(given)
    if existing:
        existing.refuse_taken(given.name or _name(service.url))
        existing.refuse_priced(settled.prices)
    found = _recognized(service, (settled.questions or (FIRST,))[0])
    target = _target(found, settled, dialogue)
    draft = _draft(found, target, settled, dialogue, existing)
    if existing:
        existing.refuse_taken(target.name)
        settings = existing.add(draft)
        say_line(f"\nadded target {target.name} to {output}; a running worker reads it by itself")
        _of_the_whole(settings, draft)
    else:
        settings = write_new(draft, output)
        say_line(f"\nwrote {output}")
    _afterwards(settings, target.name, output, given, dialogue)


def _of_the_whole(settings: Settings, draft: ConfigDraft) -> None:
    """What the limits of the file mean for the added target."""
    ttft = rule_of(settings.rules, TtftRule)
    first = draft.first_ttft_ms
    if ttft and first is not None and first > ttft.limit_ms:
        say_line(
            f"rules.ttft.limit_ms = {ttft.limit_ms:g} is for all targets, and the first answer of "
            f"{draft.target.name} took {first:.0f} ms: raise it if this is usual"
        )
    book = price_book(settings.file.prices, same=identity.same)
    for line in budget_warnings(settings, book):
        say_line(f"{line.what}: {line.says}")


def _recognized(service: ServiceAddress, question: str) -> RecognizedService:
    query = Query(id="first", text=question)
    secrets = held_secrets(service, os.environ)
    found: list[RecognizedService] = []

    async def ask() -> None:
        async with ProbeClient(__version__) as wire:
            found.append(
                await recognize(
                    service,
                    query,
                    further=PROPOSED[:2],
                    wire=wire,
                    variables=os.environ,
                    note=lambda line: say_line(f"  {redact(line, secrets)}"),
                )
            )

    say_line(f"asking: {question}")
    try:
        run_async(ask())
    except Unrecognized as reason:
        stop(redact(str(reason), secrets), FAILED)
    told = [replace(item, found=redact(item.found, secrets)) for item in found[0].fields]
    result = replace(found[0], fields=tuple(told))
    count = f"{result.requests} request{'s' * (result.requests != 1)}"
    say_line(f"recognised: {result.target.dialect} ({count})")
    say_line(f"first answer: {plain(redact(result.reply.text, secrets), EXCERPT)}")
    if result.target.dialect == "custom" and (
        values := guessed(result.target.options) if not service.options else []
    ):
        say_line(f"the service wants values that init had to guess: {', '.join(values)}")
    for item in result.fields:
        say_line(f"  {item.option} = {item.expression}  found {plain(item.found, 160)}")
    for line in answer_contents(result):
        say_line(plain(line, LONGEST))
    return result


def _target(found: RecognizedService, settled: SettledOptions, dialogue: Dialogue) -> Target:
    """The target with its name, queries and models."""
    given = settled.given
    target = replace(found.target, name=given.name or _name(found.target.url))
    seen = _observed(found, target)
    if seen.ttft_ms is not None:
        say_line(f"time to first token: {seen.ttft_ms:.0f} ms")
    say_line(f"who answered: {_answerer(target, seen) or unnamed(found)}")
    own = _own_name(seen)
    expected = tuple(given.expected) or dialogue.ask(
        "Which model should answer (empty: not known)",
        _models,
        None if own else seen.model_disclosed,
    )
    for name in dict.fromkeys((*filter(None, [own]), *expected)):
        if not identity.parse(name).known:
            say_line(own_name(plain(name, 100), target.name))
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
        queries=_queries(settled, dialogue, found.reply.usage.prompt_tokens),
        expected_models=expected,
        fallback_models=tuple(model for model in fallbacks if model not in expected),
        every=positive(duration(every)),
        daily_queries=given.daily_queries or 0,
    )


def _echoed(target: Target, seen: Observation) -> bool:
    """Whether the answer only repeats the model's name from the request, which may be an alias."""
    named, requested = seen.model_disclosed, target.model
    return bool(named and requested) and identity.same(named or "", requested or "") is True


def _own_name(seen: Observation) -> str | None:
    """The name in the answer, if it is not that of a model that the monitor knows."""
    named = seen.model_disclosed
    return named if named and not identity.parse(named).known else None


def _answerer(target: Target, seen: Observation) -> str | None:
    if seen.model_disclosed is None:
        return None
    name = plain(seen.model_disclosed, 100)
    if _echoed(target, seen):
        return (
            f"the answer repeats the requested name {name}, which may be an alias: it does not "
            "show which model answered"
        )
    return name


def _span_text(text: str) -> str:
    positive(duration(text))
    return text


def _models(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _name(url: str) -> str:
    """A name for the target, from its host: the first significant label."""
    labels = [part for part in (urlsplit(url).hostname or "").lower().split(".") if part]
    usual = {"www", "api", "app", "localhost", "com", "net", "org", "io", "dev", "ai"}
    said = [part for part in labels if part not in usual and not part.isdecimal()]
    return re.sub(r"[^a-z0-9_-]", "-", said[0])[:40] if said and ":" not in said[0] else "service"


def _queries(
    settled: SettledOptions, dialogue: Dialogue, reported: int | None
) -> tuple[Query, ...]:
    """The proposed queries and the user's own, which use retrieval.

    `reported`: prompt tokens of the first answer, used as an estimate for the others.
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
    say_line(f"queries: {', '.join(plain(query.text, 60) for query in queries)}")
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
        secrets=tuple(target.headers.values()),
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


def _book(prices: Mapping[str, Price], known: Mapping[str, Any] = NOTHING) -> PriceBook:
    """The usual prices with those of the file and those that the user stated."""
    tables = {model: {"input": one[0], "output": one[1]} for model, one in prices.items()}
    return price_book({**known, **tables}, same=identity.same)


def _draft(
    found: RecognizedService,
    target: Target,
    settled: SettledOptions,
    dialogue: Dialogue,
    existing: ExistingFile | None,
) -> ConfigDraft:
    """The content of the file. Limits are asked for only if the file is new."""
    given, seen, now = settled.given, _observed(found, target), datetime.now(UTC)
    known = existing.settings.file.prices if existing else {}
    prices = dict(settled.prices)
    for model in (*target.expected_models, *target.fallback_models):
        if isinstance(_book(prices, known).price(model, at=now), Unpriced) and dialogue.open:
            price = dialogue.ask(
                f"Price of {model}, USD per million tokens of prompt/answer (empty: not known)",
                lambda text: price_pair(text) if text else None,
                None,
            )
            if price:
                prices[model] = price
    book = _book(prices, known)
    forecasts = [
        one
        for model, one in projected(target, book=book, at=now).items()
        if isinstance(one, SpendForecast) and model in target.expected_models
    ]
    probes = max((one.probes.usd for one in forecasts), default=Decimal(0))
    whole = max((one.per_day.usd for one in forecasts), default=Decimal(0))
    budget = max(Decimal("0.50"), _cents(probes * Decimal("1.5")))
    if existing:
        budget = existing.settings.file.probes.daily_budget_usd
    for line in projection(target, book, budget):
        say_line(line)
    first, notes = seen.ttft_ms, {}
    limit = max(1000, int(-(-3 * (first or 0) // 100)) * 100)
    limit = min(limit, int(target.first_token_deadline.total_seconds() * 1000) - 1000)
    asked = replace(dialogue, open=dialogue.open and existing is None)
    ttft = given.ttft_limit_ms or asked.ask(
        "Alert when the first token takes longer than (ms)", _whole_number, str(limit)
    )
    if first is not None:
        notes["limit_ms"] = f"the first answer took {first:.0f} ms"
        if ttft == limit:
            notes["limit_ms"] = f"proposed: 3 × the {first:.0f} ms of one answer, at least 1000 ms"
    if given.prompt_tokens:
        notes["prompt_tokens"] = "of the whole prompt, as you gave it; for the cost"
    elif found.reply.usage.prompt_tokens:
        notes["prompt_tokens"] = "measured: reported for the first answer, whose question differs"
    proposed = max(Decimal("2.00"), _cents(whole * 2))
    spend = (
        money(given.spend_limit)
        if given.spend_limit
        else asked.ask("Alert when a day costs more than (USD)", money, str(proposed))
    )
    notes["limit_usd"] = "a day"
    if spend == proposed:
        notes["limit_usd"] = "a day; proposed: twice the projected spend, at least $2"
    return ConfigDraft(
        target=target,
        headers=found.headers,
        prices=prices,
        fields=found.fields,
        disclosed=any(identity.same(seen.model_disclosed or "", m) for m in target.expected_models),
        echoed=_echoed(target, seen),
        own_name=plain(named, 100) if (named := _own_name(seen)) else None,
        notes=notes,
        first_ttft_ms=first,
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


def _afterwards(
    settings: Settings, name: str, output: Path, given: InitOptions, dialogue: Dialogue
) -> None:
    """Offer the next steps, and name the commands."""
    os.environ["MONITOR_CONFIG"] = str(output)
    target, captured = settings.targets[name], False
    answers = enough(target.queries) * len(target.queries)
    if target.expected_models and dialogue.agreed(
        f"Capture a baseline of {target.expected_models[0]} now ({answers} answers)? Only while "
        "you know that it answers",
        given.capture,
    ):
        run_capture(
            name, model=None, count=None, query=None, source=None, over_budget=False, yes=False
        )
        captured = True
    elif given.capture:
        say_line("no baseline was captured: name the model that answers, with --expected")
    if dialogue.agreed("Send a test alert now?", given.test_alert):
        from monitor.cli.alerting import send_test

        send_test(None)
    elif notifications.unheard(settings.channels.values()):
        say_line(f"alerts are printed only, until you set {notifications.setup()}")
    model = "" if target.expected_models else " --model NAME"
    with_config = "" if output == Path("monitor.toml") else f"MONITOR_CONFIG={output} "
    say_line("next:")
    for command, purpose in (
        ("check", "checks it, and the way to Slack"),
        (f"baseline capture {name}{model}", "so that a silent fallback is detected"),
        ("test-alert", "sends one message"),
        ("run", "starts the monitor"),
    ):
        if not (captured and command.startswith("baseline")):
            say_line(f"  {with_config}{command_name()} {command}  # {purpose}")
