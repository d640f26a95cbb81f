"""What `monitor check` says of rules that have nothing to look at, and of pages they trust."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from monitor import identity
from monitor.addresses import shown
from monitor.cli.check_line import CheckLine
from monitor.config import Settings
from monitor.config.config_errors import suggestion
from monitor.domain import ALL, Target, Unpriced, lasting
from monitor.health_page import statement
from monitor.identity.token_counts.counts import SOURCE as TOKEN_COUNT
from monitor.probing.fetch import fetch
from monitor.rules import RULES, TtftRule
from monitor.storage.outbox import OutboxBacklog
from monitor.worker.account_polling import providers
from monitor.worker.health_polling import page_headers

TIMEOUT_S = 10
_ALWAYS = ("text", TOKEN_COUNT)  # sources that need no claim in the response
_ABSENT = (401, 403, 404, 405, 410)  # the page is not there for us, however the service is


async def page(settings: Settings, name: str) -> CheckLine:
    """Whether a target's health page can be read, and what it says now."""
    target, found = settings.targets[name], settings.health[name]
    what, url = f"health page of {name}", shown(found.url)
    reply = await fetch(found.url, headers=page_headers(target, found), timeout_s=TIMEOUT_S,
                        target=target)  # fmt: skip
    if reply.status is None:
        return CheckLine(what, False, f"{url}: {reply.error}. Correct targets.{name}.health.url")
    if reply.status in _ABSENT:
        return CheckLine(
            what,
            False,
            f"{url}: HTTP {reply.status}. Correct targets.{name}.health.url, "
            "or the headers of the target",
        )
    reported = statement(found, http_status=reply.status, document=reply.json)
    if reported.healthy is None:
        return CheckLine(
            what, False, f"{url} is no JSON, which `expect` needs: correct its address"
        )
    if reported.unmet:
        return CheckLine(what, None, f"{url} does not meet: {'; '.join(reported.unmet)}")
    if not found.expect:
        return CheckLine(
            what,
            None,
            f"{url} answers, but without `expect` its content is not judged: "
            f"add targets.{name}.health.expect",
        )
    return CheckLine(what, True, f"{url} meets what is expected")


def warnings(settings: Settings, used: Mapping[str, object]) -> Iterator[CheckLine]:
    """A warning for everything that leaves a rule without something to judge."""
    yield from _rules(settings)
    yield from _limits(settings)
    yield from _models(settings, used)
    yield from _spend(settings, used)
    if settings.environment.heartbeat_url is None:
        yield CheckLine(
            "heartbeat",
            None,
            "HEARTBEAT_URL is not set: nobody is told when the worker itself stops",
        )


def untrusted(target: Target, sources: frozenset[str]) -> Iterator[CheckLine]:
    """A warning for each source in `untrusted` that no stored answer has. None before there are."""
    known = (*sorted(sources), *_ALWAYS)
    for source in target.untrusted:
        if sources and source not in known:
            yield CheckLine(
                f"untrusted of {target.name}",
                None,
                f"no answer of the last 7 days has the "
                f'source "{source}"; {suggestion(source, known)}',
            )


def delivery(channel: str, waiting: OutboxBacklog, *, now: datetime) -> CheckLine:
    """Whether messages reach people: what waits, and whether the channel refuses everything."""
    if waiting.broken_since is not None:
        return CheckLine("delivery", False, f"{channel} has refused everything since "
                    f"{waiting.broken_since:%Y-%m-%d %H:%M} UTC ({waiting.broken_why}), "
                    f"{waiting.waiting} messages wait: correct the settings of Slack, then run "
                    "`monitor test-alert`")  # fmt: skip
    if waiting.oldest_at is not None:
        age = lasting(max(now - waiting.oldest_at, timedelta(0)))
        return CheckLine(
            "delivery",
            None,
            f"{waiting.waiting} messages wait, the oldest for {age}: a running worker sends them",
        )
    return CheckLine("delivery", True, f"no message waits for {channel}")


def _limits(settings: Settings) -> Iterator[CheckLine]:
    """Limits that can never be exceeded, and windows that never end."""
    ttft = settings.rules.get("ttft")
    for name, target in settings.targets.items():
        waited_ms = target.first_token_deadline.total_seconds() * 1000
        if isinstance(ttft, TtftRule) and ttft.limit_ms >= waited_ms:
            yield CheckLine("rule ttft", None, f"limit_ms = {ttft.limit_ms:g} is not below "
                       f"first_token_deadline of {name} ({waited_ms:g} ms): a slow answer ends as "
                       "a timeout first. Lower the limit, or raise the deadline")  # fmt: skip
    for number, window in enumerate(settings.file.maintenance, 1):
        if len(set(window.days)) == 7 and window.start == window.end:
            yield CheckLine(
                f"maintenance {number}",
                None,
                f"never ends: rule {window.rule} of target "
                f"{window.target} is never sent. Shorten it",
            )
        elif window.rule != ALL and window.rule not in settings.rules:
            yield CheckLine(
                f"maintenance {number}",
                None,
                f"rule {window.rule} is switched off: remove the window",
            )


def _rules(settings: Settings) -> Iterator[CheckLine]:
    off = [name for name in RULES if name not in settings.rules]
    if off:
        yield CheckLine("rules", None, f"switched off: {', '.join(off)}")
    if "key" in settings.rules and not providers(settings.environment):
        yield CheckLine("rule key", None, "no provider key is set (OPENROUTER_API_KEY, "
                   "ANTHROPIC_ADMIN_KEY, OPENAI_ADMIN_KEY): a rejected or expiring key is not "
                   "noticed")  # fmt: skip


def _models(settings: Settings, used: Mapping[str, object]) -> Iterator[CheckLine]:
    for name, target in settings.targets.items():
        both = [one for one in target.expected_models
                if any(identity.same(one, other) for other in target.fallback_models)]  # fmt: skip
        if both:
            yield CheckLine(
                f"models of {name}",
                None,
                f"{', '.join(both)}: both expected and fallback, "
                "so its answers count as expected: remove it from one list",
            )
        if target.expected_models and not target.fallback_models:
            yield CheckLine(
                f"models of {name}",
                None,
                "no fallback_models: a fallback is noticed, its "
                "price and its writing style are not known beforehand",
            )
    for model in settings.file.prices:
        if used and not any(identity.same(model, declared) for declared in used):
            yield CheckLine(f"price of {model}", None, "no target declares this model: correct its "
                       "name, if it is meant for one that is declared")  # fmt: skip


def _spend(settings: Settings, used: Mapping[str, object]) -> Iterator[CheckLine]:
    if "spend" not in settings.rules:
        return
    unpriced = [model for model, price in used.items() if isinstance(price, Unpriced)]
    if unpriced:
        yield CheckLine(
            "rule spend",
            None,
            f"no price for {', '.join(unpriced)}: sums of money are "
            'lower bounds; add [prices."MODEL"]',
        )
    silent = [name for name, target in settings.targets.items() if not target.daily_queries]
    if silent and not providers(settings.environment):
        yield CheckLine(
            "rule spend",
            None,
            f"daily_queries = 0 for {', '.join(silent)} and no provider "
            "key: only our own probes are counted; set one of them",
        )
