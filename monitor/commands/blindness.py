"""What `monitor check` says of rules that have nothing to look at, and of pages they trust."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from monitor import identity
from monitor.addresses import shown
from monitor.commands.lines import Line
from monitor.domain import ALL, Target, Unpriced, lasting
from monitor.health import statement
from monitor.identity.counting import SOURCE as TOKEN_COUNT
from monitor.jobs.health import page_headers
from monitor.jobs.polling import providers
from monitor.rules import RULES, Ttft
from monitor.settings import Settings
from monitor.settings.faults import suggestion
from monitor.store.outbox import Backlog
from monitor.wire.fetch import fetch

TIMEOUT_S = 10
_ALWAYS = ("text", TOKEN_COUNT)  # sources that need no claim in the response
_ABSENT = (401, 403, 404, 405, 410)  # the page is not there for us, however the service is


async def page(settings: Settings, name: str) -> Line:
    """Whether a target's health page can be read, and what it says now."""
    target, found = settings.targets[name], settings.health[name]
    what, url = f"health page of {name}", shown(found.url)
    reply = await fetch(found.url, headers=page_headers(target, found), timeout_s=TIMEOUT_S,
                        target=target)  # fmt: skip
    if reply.status is None:
        return Line(what, False, f"{url}: {reply.trouble}. Correct targets.{name}.health.url")
    if reply.status in _ABSENT:
        return Line(what, False, f"{url}: HTTP {reply.status}. Correct targets.{name}.health.url, "
                    "or the headers of the target")  # fmt: skip
    said = statement(found, http_status=reply.status, document=reply.json)
    if said.healthy is None:
        return Line(what, False, f"{url} is no JSON, which `expect` needs: correct its address")
    if said.unmet:
        return Line(what, None, f"{url} does not meet: {'; '.join(said.unmet)}")
    if not found.expect:
        return Line(what, None, f"{url} answers, but without `expect` its content is not judged: "
                    f"add targets.{name}.health.expect")  # fmt: skip
    return Line(what, True, f"{url} meets what is expected")


def warnings(settings: Settings, used: Mapping[str, object]) -> Iterator[Line]:
    """A warning for everything that leaves a rule without something to judge."""
    yield from _rules(settings)
    yield from _limits(settings)
    yield from _models(settings, used)
    yield from _spend(settings, used)
    if settings.environment.heartbeat_url is None:
        yield Line("heartbeat", None, "HEARTBEAT_URL is not set: nobody is told when the worker "
                   "itself stops")  # fmt: skip


def untrusted(target: Target, sources: frozenset[str]) -> Iterator[Line]:
    """A warning for each source in `untrusted` that no stored answer has. None before there are."""
    known = (*sorted(sources), *_ALWAYS)
    for source in target.untrusted:
        if sources and source not in known:
            yield Line(f"untrusted of {target.name}", None, f'no answer of the last 7 days has the '
                       f'source "{source}"; {suggestion(source, known)}')  # fmt: skip


def delivery(channel: str, waiting: Backlog, *, now: datetime) -> Line:
    """Whether messages reach people: what waits, and whether the channel refuses everything."""
    if waiting.broken_since is not None:
        return Line("delivery", False, f"{channel} has refused everything since "
                    f"{waiting.broken_since:%Y-%m-%d %H:%M} UTC ({waiting.broken_why}), "
                    f"{waiting.waiting} messages wait: correct the settings of Slack, then run "
                    "`monitor test-alert`")  # fmt: skip
    if waiting.oldest_at is not None:
        age = lasting(max(now - waiting.oldest_at, timedelta(0)))
        return Line("delivery", None, f"{waiting.waiting} messages wait, the oldest for {age}: a "
                    "running worker sends them")  # fmt: skip
    return Line("delivery", True, f"no message waits for {channel}")


def _limits(settings: Settings) -> Iterator[Line]:
    """Limits that can never be exceeded, and windows that never end."""
    ttft = settings.rules.get("ttft")
    for name, target in settings.targets.items():
        waited_ms = target.first_token_deadline.total_seconds() * 1000
        if isinstance(ttft, Ttft) and ttft.limit_ms >= waited_ms:
            yield Line("rule ttft", None, f"limit_ms = {ttft.limit_ms:g} is not below "
                       f"first_token_deadline of {name} ({waited_ms:g} ms): a slow answer ends as "
                       "a timeout first. Lower the limit, or raise the deadline")  # fmt: skip
    for number, window in enumerate(settings.file.maintenance, 1):
        if len(set(window.days)) == 7 and window.start == window.end:
            yield Line(f"maintenance {number}", None, f"never ends: rule {window.rule} of target "
                       f"{window.target} is never sent. Shorten it")  # fmt: skip
        elif window.rule != ALL and window.rule not in settings.rules:
            yield Line(f"maintenance {number}", None, f"rule {window.rule} is switched off: remove "
                       "the window")  # fmt: skip


def _rules(settings: Settings) -> Iterator[Line]:
    off = [name for name in RULES if name not in settings.rules]
    if off:
        yield Line("rules", None, f"switched off: {', '.join(off)}")
    if "key" in settings.rules and not providers(settings.environment):
        yield Line("rule key", None, "no provider key is set (OPENROUTER_API_KEY, "
                   "ANTHROPIC_ADMIN_KEY, OPENAI_ADMIN_KEY): a rejected or expiring key is not "
                   "noticed")  # fmt: skip


def _models(settings: Settings, used: Mapping[str, object]) -> Iterator[Line]:
    for name, target in settings.targets.items():
        both = [one for one in target.expected_models
                if any(identity.same(one, other) for other in target.fallback_models)]  # fmt: skip
        if both:
            yield Line(f"models of {name}", None, f"{', '.join(both)}: both expected and fallback, "
                       "so its answers count as expected: remove it from one list")  # fmt: skip
        if target.expected_models and not target.fallback_models:
            yield Line(f"models of {name}", None, "no fallback_models: a fallback is noticed, its "
                       "price and its writing style are not known beforehand")  # fmt: skip
    for model in settings.file.prices:
        if used and not any(identity.same(model, declared) for declared in used):
            yield Line(f"price of {model}", None, "no target declares this model: correct its "
                       "name, if it is meant for one that is declared")  # fmt: skip


def _spend(settings: Settings, used: Mapping[str, object]) -> Iterator[Line]:
    if "spend" not in settings.rules:
        return
    unpriced = [model for model, price in used.items() if isinstance(price, Unpriced)]
    if unpriced:
        yield Line("rule spend", None, f"no price for {', '.join(unpriced)}: sums of money are "
                   'lower bounds; add [prices."MODEL"]')  # fmt: skip
    silent = [name for name, target in settings.targets.items() if not target.daily_queries]
    if silent and not providers(settings.environment):
        yield Line("rule spend", None, f"daily_queries = 0 for {', '.join(silent)} and no provider "
                   "key: only our own probes are counted; set one of them")  # fmt: skip
