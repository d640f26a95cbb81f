"""The lines of `monitor check`: one item each, with its state."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from monitor import identity
from monitor.accounts import ACCOUNTS
from monitor.cli.output import same_answers
from monitor.config import Settings
from monitor.config.config_errors import suggestion
from monitor.dialects import dialect_of
from monitor.domain import (
    ALL,
    Query,
    Subject,
    Target,
    Unpriced,
    lasting,
)
from monitor.health_page import statement
from monitor.identity.token_counts.counts import SOURCE as TOKEN_COUNT
from monitor.notifications import ChannelFilter
from monitor.probing.fetch import fetch
from monitor.redaction import shown
from monitor.rules import RULES, DeliveryBacklog, Rule, SpendRule, TtftRule, rule_of
from monitor.storage.baseline_answers import PromptSizes
from monitor.worker.account_polling import page_headers, providers


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One item. `good` False is an error; None is a warning."""

    what: str
    good: bool | None
    says: str
    skipped: bool = False  # it could not be looked at, and nothing follows from that

    def __str__(self) -> str:
        mark = {True: "ok     ", None: "warning", False: "FAULT  "}[self.good]
        return f"{'skipped' if self.skipped else mark} {self.what}: {self.says}"


# `monitor check`: rules without data to judge, and health pages.


TIMEOUT_S = 10
_ALWAYS = ("text", TOKEN_COUNT)  # sources that need no claim in the response
# access is refused or the page is missing, whatever the state of the service
_ABSENT = (401, 403, 404, 405, 410)


def address_without_question(target: Target) -> str | None:
    """The address that probes ask, without its query. None: the question is part of the path."""
    build = dialect_of(target).build_request
    asked = [
        urlsplit(build(Query(id="check", text=text), target).url)._replace(query="")
        for text in ("a", "b")
    ]
    return asked[0].geturl() if asked[0] == asked[1] else None


def answered(status: int, address: str, name: str) -> tuple[bool | None, str]:
    """What an HTTP status without a question says of a target that no stored probe has reached.

    The request is a GET without a key. Any answer proves that a server is there; many chats refuse
    it, with any status. A warning remains for what a question would meet as well.
    """
    wrong = f"{address} is reachable, but HTTP {status}: "
    probe = f"run `monitor probe {name}` to see what it answers"
    match status:
        case 429:
            return None, f"{wrong}the service is limiting requests. Wait, then {probe}"
        case _ if 300 <= status < 400:
            return None, (
                f"{wrong}it redirects, and probes follow no redirect. Write the address that it "
                f"redirects to as targets.{name}.url"
            )
        case 502 | 503 | 504:
            return (
                None,
                f"{wrong}a proxy reports that the service is away. Look at its log; {probe}",
            )
        case 401 | 403 | 407:
            return True, (
                f"{address} is reachable (HTTP {status}: it wants a key, which this check does not "
                "send)"
            )
        case _ if status >= 400:
            return True, (
                f"{address} is reachable (HTTP {status} without a question, as many chats answer): "
                f"{probe}"
            )
    return True, f"{address} answers (HTTP {status})"


async def page(settings: Settings, name: str) -> CheckLine:
    """Whether a target's health page can be read, and its present content."""
    target, found = settings.targets[name], settings.health[name]
    what, url = f"health page of {name}", shown(found.url)
    reply = await fetch(
        found.url, headers=page_headers(target, found), timeout_s=TIMEOUT_S, target=target
    )
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
            what, False, f"{url} is not JSON, which `expect` needs: correct the address"
        )
    if reported.unmet:
        return CheckLine(what, None, f"{url} does not meet: {'; '.join(reported.unmet)}")
    if not found.expect:
        return CheckLine(
            what,
            None,
            f"{url} responds, but without `expect` its content is not checked: "
            f"add targets.{name}.health.expect",
        )
    return CheckLine(what, True, f"{url} meets the expectations")


def warnings(settings: Settings, used: Mapping[str, object]) -> Iterator[CheckLine]:
    """A warning for everything that leaves a rule without data to judge."""
    yield from _rules(settings)
    yield from _limits(settings)
    yield from _models(settings, used)
    yield from _spend(settings, used)
    if settings.environment.heartbeat_url is None:
        yield CheckLine(
            "heartbeat",
            None,
            "HEARTBEAT_URL is not set: a stopped worker goes unnoticed",
        )


def untrusted(target: Target, sources: frozenset[str]) -> Iterator[CheckLine]:
    """A warning for each source in `untrusted` that no stored answer has; none without answers."""
    known = (*sorted(sources), *_ALWAYS)
    for source in target.untrusted:
        if sources and source not in known:
            yield CheckLine(
                f"untrusted of {target.name}",
                None,
                f"no answer of the last 7 days has the "
                f'source "{source}"; {suggestion(source, known)}',
            )


def unmeasured(target: Target, degraded: int, answers: int) -> Iterator[CheckLine]:
    """A warning if most answers of the last 24 h have no TTFT that `ttft` may judge."""
    if answers and 2 * degraded > answers:
        yield CheckLine(
            f"ttft of {target.name}",
            None,
            f"{degraded} of {answers} answers of the last 24 h arrived in one piece or were "
            "delayed on this machine: their TTFT is not exact, and the rule ttft ignores them. "
            "If a proxy in front of the service buffers the stream, switch buffering off there",
        )


def cached(target: Target, alike: Mapping[str, int]) -> Iterator[CheckLine]:
    """A warning for each query whose stored answers are all identical."""
    for query, count in alike.items():
        which = f"all {count} answers of the last 7 days to {query}"
        yield CheckLine(f"answers of {target.name}", None, same_answers(which))


def unsaved(home: Path) -> CheckLine:
    """A warning that the captured baselines are stored in one place only."""
    return CheckLine(
        "backup",
        None,
        f"the captured baselines exist only in the embedded database, {home}: back it up as the "
        "line retention says, or use a database that is backed up, with DATABASE_URL",
    )


def delivery(backlog: DeliveryBacklog, *, now: datetime) -> CheckLine:
    """Whether messages are delivered: waiting messages, and channels that reject everything."""
    what = f"delivery to {backlog.channel}"
    sent = backlog.last_sent_at
    last = f"last success {sent:%Y-%m-%d %H:%M} UTC" if sent else "nothing was sent yet"
    if backlog.broken_since is not None:
        return CheckLine(
            what,
            False,
            f"the channel has refused everything since "
            f"{backlog.broken_since:%Y-%m-%d %H:%M} UTC ({backlog.broken_why}), "
            f"{backlog.waiting} messages wait, {last}: correct its settings, then run "
            f"`monitor test-alert --channel {backlog.channel}`",
        )
    if backlog.oldest_at is not None:
        age = lasting(max(now - backlog.oldest_at, timedelta(0)))
        return CheckLine(
            what,
            None,
            f"{backlog.waiting} messages are waiting, the oldest for {age}, {last}: "
            "a running worker sends them",
        )
    return CheckLine(what, True, f"no message is waiting, {last}")


def unheard(settings: Settings) -> Iterator[CheckLine]:
    """Rules whose messages no channel accepts."""
    accepts = [channel.accepts for channel in settings.channels.values()]
    rules = sorted(
        name
        for name in settings.rules
        if not any(_takes(one, settings.rules[name]) for one in accepts)
    )
    if rules:
        yield CheckLine(
            "channels",
            None,
            f"no channel takes {', '.join(rules)}: no one is notified. Add the rules to a channel, "
            "or a channel without `rules`",
        )


def _takes(accepts: ChannelFilter, rule: Rule) -> bool:
    """Whether a channel accepts breaches of a rule for at least one target."""
    severity = not accepts.severity or rule.severity in accepts.severity
    return severity and (not accepts.rules or rule.name in accepts.rules)


def _limits(settings: Settings) -> Iterator[CheckLine]:
    """Limits that can never be exceeded, and windows that never end."""
    ttft = rule_of(settings.rules, TtftRule)
    for name, target in settings.targets.items():
        waited_ms = target.first_token_deadline.total_seconds() * 1000
        if ttft and ttft.limit_ms >= waited_ms:
            yield CheckLine(
                "rule ttft",
                None,
                f"limit_ms = {ttft.limit_ms:g} is not below "
                f"first_token_deadline of {name} ({waited_ms:g} ms): a slow answer ends as "
                "a timeout first. Lower the limit, or raise the deadline",
            )
    for number, window in enumerate(settings.file.maintenance, 1):
        if len(set(window.days)) == 7 and window.start == window.end:
            yield CheckLine(
                f"maintenance {number}",
                None,
                f"never ends: rule {window.rule} of target "
                f"{window.target} is always silenced. Shorten it",
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
    keys = ", ".join(account.key_variable for account in ACCOUNTS.values())
    of_keys = [name for name, rule in settings.rules.items() if rule.subject is Subject.PROVIDER]
    for name in of_keys if not providers(settings.environment) else ():
        yield CheckLine(
            f"rule {name}",
            None,
            f"no provider key is set ({keys}): a rejected or expiring key is not detected",
        )


def _models(settings: Settings, used: Mapping[str, object]) -> Iterator[CheckLine]:
    for name, target in settings.targets.items():
        both = [
            one
            for one in target.expected_models
            if any(identity.same(one, other) for other in target.fallback_models)
        ]
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
                "no fallback_models: a fallback is detected, but its "
                "price and writing style are unknown in advance",
            )
    for model in settings.file.prices:
        if used and not any(identity.same(model, declared) for declared in used):
            yield CheckLine(
                f"price of {model}",
                None,
                "no target declares this model: correct its name if it belongs to a declared model",
            )


def _spend(settings: Settings, used: Mapping[str, object]) -> Iterator[CheckLine]:
    if not rule_of(settings.rules, SpendRule):
        return
    unpriced = [model for model, price in used.items() if isinstance(price, Unpriced)]
    if unpriced:
        yield CheckLine(
            "rule spend",
            None,
            f'no price for {", ".join(unpriced)}: spend is a lower bound; add [prices."MODEL"]',
        )
    silent = [name for name, target in settings.targets.items() if not target.daily_queries]
    if silent and not providers(settings.environment):
        yield CheckLine(
            "rule spend",
            None,
            f"daily_queries = 0 for {', '.join(silent)} and no provider "
            "key: only probes are counted; set one of them",
        )


# `monitor check`: the prompt sizes used for costs, and their source.


_NONE = PromptSizes(None, 0, None, 0)
_FAR = 0.2  # relative difference from which a configured size is reported


def lines(target: Target, found: Mapping[str, PromptSizes]) -> Iterator[CheckLine]:
    """A line for each query: its prompt tokens and their source.

    A warning if they are unknown, or if the configured size differs by more than 20 %.
    """
    for query in target.queries:
        yield _line(f"prompt size of {target.name}/{query.id}", query, found.get(query.id, _NONE))


def _line(what: str, query: Query, sizes: PromptSizes) -> CheckLine:
    configured = query.prompt_tokens
    if sizes.reported is not None:
        answers = f"mean of {sizes.reports} answers in 7 days"
        return CheckLine(
            what, True, f"{sizes.reported} tokens, reported by the service ({answers})"
        )
    if sizes.recorded is not None:
        answers = f"mean of {sizes.records} answers in 7 days"
        learnt = f"{sizes.recorded} tokens, from the provider's records ({answers})"
        if configured is None:
            return CheckLine(what, None, f"{learnt}: set prompt_tokens = {sizes.recorded}")
        if abs(configured - sizes.recorded) > _FAR * sizes.recorded:
            return CheckLine(
                what,
                None,
                f"{configured} tokens are configured, but {learnt}: set "
                f"prompt_tokens = {sizes.recorded}",
            )
        return CheckLine(what, True, f"{configured} tokens, configured; {learnt}")
    if configured is not None:
        return CheckLine(what, True, f"{configured} tokens, configured (prompt_tokens)")
    return CheckLine(
        what,
        None,
        "not known: only the query's own text is counted, so costs are at "
        "least what is shown unless the service reports tokens. Set prompt_tokens to the "
        "size of the whole prompt",
    )
