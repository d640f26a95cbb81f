"""Signs of a cause: what each source says, and when it came about."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from monitor.domain import (
    AccountReading,
    AccountState,
    Identity,
    Outcome,
    ProviderAttempt,
    Sample,
    Verdict,
    counted,
)
from monitor.identity.model_names.compare import same
from monitor.redaction import plain
from monitor.rules.cause_kinds import (
    OWN,
    PHRASES,
    PROVIDERS,
    REJECTIONS,
    STATES,
    STATUS,
    STATUSES,
    UPSTREAM,
    CauseKind,
)
from monitor.rules.cause_sources import (
    BEFORE,
    DURING,
    AnswerRoute,
    CauseSign,
    CauseSources,
    ListedModel,
    ModelStatistics,
    clock,
)
from monitor.rules.explanations import reported_error
from monitor.rules.page_signs import page_signs

SEEN_LATE = timedelta(minutes=10)  # a state that is read every five minutes is seen later
REFUSED, SHARE = 3, 0.2  # this many 429s, and this share of all probes, are not chance
MOST = 2 / 3  # share of the failures that one cause has to explain
DOWN_PERCENT, UP_PERCENT = 90.0, 99.0  # uptime of a model at all of its hosts
OPENROUTER = "openrouter"  # name of its account
_CERTIFICATE = re.compile(r"has expired|hostname mismatch|doesn't match", re.IGNORECASE)
_OF_OPENROUTER = re.compile(r"openrouter|cookie auth", re.IGNORECASE)
_CHARS, _FACTS, _HOSTS = 40, 2, 3  # of a foreign name; facts of a change; hosts in a sentence


# The sources. First those that state why requests failed.


def _errors(verdict: Verdict, sources: CauseSources) -> Iterator[CauseSign]:
    """The service's own error messages, while it does not answer."""
    failed = _failed(verdict, sources)
    kinds = {sample.id: _kind_of_error(sample) for sample in failed}
    found = _dominant(kinds.values())
    for kind in found:
        alike = [sample for sample in failed if kinds[sample.id] is kind]
        what = f"the service reports: {reported_error(alike)}"
        of = OPENROUTER if _OF_OPENROUTER.search(what) else ""
        yield CauseSign(kind, alike[0].at, what, late=DURING, proof=True, provider=of)
    if not found and (error := reported_error(failed)):
        what = f"the service reports: {error}"
        yield CauseSign(CauseKind.UNATTRIBUTED, failed[0].at, what, late=DURING)


def _certificate(verdict: Verdict, sources: CauseSources) -> Iterator[CauseSign]:
    """A certificate that is expired or of another host; others may be our own trust store."""
    failed = _failed(verdict, sources)
    wrong = [s for s in failed if s.outcome is Outcome.TLS and _CERTIFICATE.search(s.error or "")]
    if wrong and len(wrong) >= MOST * len(failed):
        text = plain(wrong[-1].error or "", 3 * _CHARS)
        what = f"the service's certificate is not valid: {text}"
        yield CauseSign(CauseKind.CERTIFICATE, wrong[0].at, what, late=DURING, proof=True)


def _attempts(verdict: Verdict, sources: CauseSources) -> Iterator[CauseSign]:
    """Failed attempts at the expected model in OpenRouter's records of the affected answers."""
    routes = [route for route in _affected(verdict, sources) if route.attempts is not None]
    after = [(route, failed) for route in routes if (failed := _refused(route, sources.model))]
    if not after or len(after) < MOST * len(routes):
        return
    refused = [attempt for _, attempts in after for attempt in attempts]
    kinds = [STATUSES.get(attempt.status or 0, _of_server(attempt)) for attempt in refused]
    for kind in _dominant(kinds) or (CauseKind.UNATTRIBUTED,):
        proof = kind is not CauseKind.UNATTRIBUTED
        alike = [
            attempt
            for attempt, one in zip(refused, kinds, strict=True)
            if not proof or one is kind or {kind, one} <= PROVIDERS
        ]
        what = (
            f"OpenRouter's records of {len(after)} of {counted(len(routes), 'answer')} have failed "
            "attempts: " + _statuses(alike)
        )
        at = after[0][0].at
        yield CauseSign(kind, at, what, late=DURING, proof=proof, provider=OPENROUTER)


# What is read from time to time: keys, the provider's list and statistics, pages.


def _accounts(_: Verdict, sources: CauseSources) -> Iterator[CauseSign]:
    """A key that expired, was rejected, or has no credit left.

    A key that was accepted again before the incident is no cause of it.
    """
    bad: dict[str, CauseKind] = {}
    good: dict[str, AccountReading] = {}
    signs: dict[str, list[CauseSign]] = {}
    for reading in sources.accounts:
        name = reading.provider
        if reading.state is AccountState.OK:
            bad.pop(name, None)
            good[name] = reading
            if reading.at <= sources.begun:
                signs.pop(name, None)
            continue
        kind = REJECTIONS.get(reading.state)
        if kind is None or bad.get(name) is kind:
            continue
        bad[name] = kind
        before = good.get(name)
        what = f"{name} rejects the key" if kind is CauseKind.KEY else f"{name}: no credit left"
        if reading.detail:
            what += f" ({plain(reading.detail, 3 * _CHARS)})"
        sign = CauseSign(kind, reading.at, what, late=SEEN_LATE, provider=name)
        expires_at = before.expires_at if before is not None else None
        if kind is CauseKind.KEY and expires_at is not None and expires_at <= reading.at:
            what = f"the key of {name} expired"
            sign = replace(sign, at=expires_at, what=what, late=timedelta(0), proof=True)
        elif before is not None:
            sign = replace(sign, before_at=before.at)
        sign = replace(sign, what=f"{sign.what}, {clock(sign.at)}")
        signs.setdefault(name, []).append(sign)
    for found in signs.values():
        yield from found
    for name, reading in good.items():  # no reading since then
        expires_at = reading.expires_at
        if name not in bad and expires_at is not None and reading.at < expires_at:
            what = f"the key of {name} expired, {clock(expires_at)}"
            yield CauseSign(CauseKind.KEY, expires_at, what, proof=True, provider=name)


def _listings(_: Verdict, sources: CauseSources) -> Iterator[CauseSign]:
    """The expected model, no longer in the provider's list."""
    before: ListedModel | None = None
    for listing in sources.listings:
        if before is not None and before.listed and not listing.listed:
            what = "the provider no longer lists the model"
            if before.expires_on:
                what += f", which it had announced for {plain(before.expires_on, _CHARS)}"
            yield CauseSign(
                CauseKind.MODEL_REMOVED,
                listing.at,
                f"{what}, {clock(listing.at)}",
                before_at=before.checked_at,
                late=DURING,
            )
        before = listing


def _prices(verdict: Verdict, sources: CauseSources) -> Iterator[CauseSign]:
    """A list price that makes the expected model more expensive than others, or the answers."""
    rows = set(verdict.rows)
    proof = [sample for sample in sources.samples if sample.id in rows]
    others = any(s.outcome.good and s.identity is not Identity.EXPECTED for s in proof)
    charged = sources.charged and verdict.finding.what.startswith("cost ")  # not other tokens
    now, before = verdict.finding.usd_a_day, verdict.finding.usual_usd_a_day
    for change in sources.prices:
        # A charge follows the list; a fallback may follow what is more expensive.
        moved = now is not None and before is not None and (now > before) is change.more_expensive
        follows = change.more_expensive is change.expected if others else charged and moved
        if follows:
            what = f"the list price of {plain(change.model, _CHARS)} changed: {change.text}"
            yield CauseSign(
                CauseKind.PRICE,
                change.at,
                f"{what}, {clock(change.at)}",
                before_at=change.before_at,
                late=DURING,
            )


def _statistics(_: Verdict, sources: CauseSources) -> Iterator[CauseSign]:
    """What the provider states about the model: down, or slower than our limit, at all hosts.

    The first such statement since the last one before the incident, which may be of another one.
    """
    earlier = [read.at for read in sources.statistics if read.at <= sources.begun]
    for read in sources.statistics:
        if earlier and read.at < earlier[-1]:
            continue
        uptimes, limit = uptimes_of(read), sources.limit_ms
        fastest = fastest_ms(read)
        if uptimes and max(uptimes) < DOWN_PERCENT:
            what = f"{max(uptimes):.0f} % uptime at its best host"
        elif limit is not None and fastest is not None and fastest > limit:
            what = f"median TTFT of {fastest / 1000:.1f} s at its fastest host"
        else:
            continue
        what = f"the provider's own statistics of the model: {what}, {clock(read.at)}"
        yield CauseSign(CauseKind.PROVIDER_STATISTICS, read.at, what, late=DURING)
        return


def _configurations(_: Verdict, sources: CauseSources) -> Iterator[CauseSign]:
    """Changes of our own configuration; the latest is enough."""
    at = max((at for at in sources.configurations if at <= sources.begun), default=None)
    if at is not None:
        what = f"the monitor's configuration changed, {clock(at)}"
        yield CauseSign(CauseKind.CONFIGURATION, at, what)


def _rate_limits(_: Verdict, sources: CauseSources) -> Iterator[CauseSign]:
    """Probes that the service refused with 429: its own limit, or an error of its provider."""
    begun = sources.begun
    recent = [s for s in sources.samples if begun - BEFORE < s.at <= begun + DURING]
    refused = [sample for sample in recent if sample.outcome is Outcome.RATE_LIMITED]
    if len(refused) >= REFUSED and len(refused) >= SHARE * len(recent):
        what = f"{len(refused)} of {counted(len(recent), 'probe')} got HTTP 429"
        for kind in _dominant(_kind_of_refusal(sample) for sample in refused):
            if kind is CauseKind.PROBES_LIMITED:
                what = f"the service is rate limiting: {what}"
            else:
                error = plain(refused[-1].error or "", 3 * _CHARS)
                what = f"the service passes on an error of its provider: {what} ({error})"
            yield CauseSign(kind, refused[0].at, what, late=DURING)


def _gateways(verdict: Verdict, sources: CauseSources) -> Iterator[CauseSign]:
    """Failed attempts that a gateway counts in its headers, without their reason."""
    routes = [route for route in _affected(verdict, sources) if route.fallbacks is not None]
    after = [route for route in routes if route.fallbacks]
    if after and 2 * len(after) >= len(routes):
        answers = f"{len(after)} of {counted(len(routes), 'answer')}"
        what = (
            f"the gateway fell back after failed attempts on {answers} "
            f"({plain(after[-1].header, _CHARS)}); it does not state why"
        )
        yield CauseSign(CauseKind.GATEWAY, after[0].at, what, late=DURING)


SOURCES: tuple[Callable[[Verdict, CauseSources], Iterable[CauseSign]], ...] = (
    _errors,
    _certificate,
    _attempts,
    _accounts,
    _listings,
    _prices,
    _statistics,
    page_signs,
    _configurations,
    _rate_limits,
    _gateways,
)


# Parts of the sources.


def _failed(verdict: Verdict, sources: CauseSources) -> Sequence[Sample]:
    """The failed probes of an incident that is proven by failures; empty for any other."""
    rows, begun = set(verdict.rows), sources.begun
    proof = [sample for sample in sources.samples if sample.id in rows]
    if not proof or any(sample.outcome.good is not False for sample in proof):
        return ()
    return [
        sample
        for sample in sources.samples
        if sample.outcome.good is False and begun <= sample.at <= begun + DURING
    ]


def _affected(verdict: Verdict, sources: CauseSources) -> Iterator[AnswerRoute]:
    """How the answers of an incident came about: of other models if it is about these, else all."""
    rows, begun = set(verdict.rows), sources.begun
    answers = {s.id: s for s in sources.samples if s.outcome is Outcome.ANSWERED}
    others = any(answers[row].identity is not Identity.EXPECTED for row in rows & answers.keys())
    for route in sources.routes:
        sample = answers.get(route.id)
        if sample is None or not begun <= sample.at <= begun + DURING:
            continue
        if not others or sample.identity is not Identity.EXPECTED:
            yield route


def _refused(route: AnswerRoute, model: str | None) -> Sequence[ProviderAttempt]:
    """The failed attempts at the expected model."""
    return [
        attempt
        for attempt in route.attempts or ()
        if attempt.status is not None
        and attempt.status >= 400
        and not (model and attempt.model and same(model, attempt.model) is False)
    ]


def _of_server(attempt: ProviderAttempt) -> CauseKind | None:
    """The attempt failed at the provider, whatever 5xx it returned."""
    return CauseKind.PROVIDER_ERRORS if 500 <= (attempt.status or 0) < 600 else None


def _dominant(kinds: Iterable[CauseKind | None]) -> Sequence[CauseKind]:
    """The kind of most failures; several if they disagree; empty if most are not known."""
    counted = Counter(kinds)
    of = counted.total()
    known = [kind for kind, _ in counted.most_common() if kind is not None]
    provider = [kind for kind in known if kind in PROVIDERS]
    for alike in (known[:1], provider):
        if alike and sum(counted[kind] for kind in alike) >= MOST * of:
            return alike[:1]
    return known if len(known) > 1 else ()


def _kind_of_error(sample: Sample) -> CauseKind | None:
    """The cause that an error message states; None if none, or only that the service failed."""
    error, inside = sample.error or "", sample.outcome is Outcome.ERROR_EVENT
    upstream = UPSTREAM.search(error) is not None
    if sample.outcome.good is not False or not (inside or upstream):
        return None
    for kind, phrases in PHRASES:
        if phrases.search(error):
            return kind
    if OWN.search(error) and not upstream:
        return None  # its own index or database failed
    found = STATUS.search(error) if inside else None
    status = int(next(filter(None, found.groups()))) if found else 0
    if status == 500 and upstream:
        return CauseKind.PROVIDER_ERRORS
    return STATUSES.get(status)


def _kind_of_refusal(sample: Sample) -> CauseKind:
    """What a 429 is about: the limit of the service, unless its message names a provider."""
    error = sample.error or ""
    if UPSTREAM.search(error) is None:
        return CauseKind.PROBES_LIMITED
    stated = (kind for kind, phrases in PHRASES if kind in STATES and phrases.search(error))
    return next(stated, CauseKind.PROVIDER_LIMIT)


def fastest_ms(read: ModelStatistics) -> float | None:
    return min((host.ttft_ms for host in read.hosts if host.ttft_ms is not None), default=None)


def uptimes_of(read: ModelStatistics) -> Sequence[float]:
    return [host.uptime_percent for host in read.hosts if host.uptime_percent is not None]


def _statuses(attempts: Sequence[ProviderAttempt]) -> str:
    """`HTTP 503 (Groq, Together) and HTTP 429`, the most frequent first."""
    counted = Counter(attempt.status for attempt in attempts).most_common(_FACTS)
    reported = []
    for status, _ in counted:
        hosts = sorted({plain(a.host, _CHARS) for a in attempts if a.status == status and a.host})
        reported.append(f"HTTP {status}" + (f" ({', '.join(hosts[:_HOSTS])})" if hosts else ""))
    return " and ".join(reported)
