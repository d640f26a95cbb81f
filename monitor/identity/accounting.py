"""Token accounting: do the disclosed token counts fit the expected model's tokenizer?

Few things are as hard to get wrong by accident: a gateway may repeat the name that was
asked for, and bills what the model that answered counted.

Source: docs/identity.md#token-accounting
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from monitor.domain import ClaimKind, Evidence
from monitor.identity.claims import Declared, Side, Weighed
from monitor.identity.counting import SOURCE, Count, rule_of_thumb
from monitor.identity.names import parse, same
from monitor.identity.yardsticks import (
    CAP,
    FEWEST,
    Measure,
    Proportion,
    Tokenizer,
    Yardstick,
    proportion,
)

REMEMBERED = 11  # answers before this one that may speak with it
_FITTING, _BEYOND_DOUBT = -1.0, -3.0  # nats from which a fit is worth saying, and remembering
_OTHER = "another tokenizer"


Fitted = tuple[str, str]  # a model and a query


@dataclass(frozen=True, slots=True)
class Accounts:
    """The counts of this answer and of those before it, newest first, and what to measure with.

    `seen_to_fit`: models whose tokenizer was once seen to fit this target's answers to a query.
    Until then a misfit may as well mean that the service changes its texts after counting.
    """

    now: Count | None = None
    earlier: Sequence[Count] = ()
    yardsticks: Sequence[Yardstick] = ()
    missing: Sequence[str] = ()  # why there are no others
    seen_to_fit: frozenset[Fitted] = frozenset()


@dataclass(frozen=True, slots=True)
class _Reading:
    """One yardstick laid to the latest answers. `nats` > 0: another tokenizer counted them."""

    yardstick: Yardstick
    counts: tuple[Count, ...]
    measures: tuple[Measure, ...]
    nats: float


def accounted(accounts: Accounts, declared: Declared) -> Weighed | None:
    """What the counts say of this answer; None where it came without one."""
    if accounts.now is None:
        return None
    latest = (accounts.now, *accounts.earlier)
    ours = [y for y in accounts.yardsticks if _among(y.model, declared.expected)]
    if why := _mute(latest) or ("" if ours else _lacking(accounts)):
        return _silent(accounts, why)
    readings = [r for y in ours if (r := _read(y, _comparable(accounts, y)))]
    if len(readings) < len(ours):
        return _silent(
            accounts, "it is no count of this text alone, or of an answer unlike those known"
        )
    closest = min(readings, key=lambda reading: reading.nats)
    if closest.nats >= CAP and len(ours) == len(declared.expected):
        return _misfit(closest, accounts, declared)
    if closest.nats <= _FITTING and closest.yardstick.fits(closest.measures):
        return _fit(closest, accounts, declared)
    words = closest.yardstick.words(closest.measures)
    return _silent(accounts, f"{words}, which tells nothing yet")


def learnt(
    models: Sequence[str], confirmed: Mapping[str, Sequence[Count]]
) -> dict[str, Proportion | str]:
    """What the counts beside each declared model's confirmed answers teach, or why nothing."""
    return {
        model: proportion(
            model, next((of for name, of in confirmed.items() if same(name, model)), ())
        )
        for model in models
    }


def yardsticks(
    known: Mapping[str, Proportion | str], exact: Collection[str], seen: Collection[str]
) -> tuple[tuple[Yardstick, ...], tuple[str, ...]]:
    """A yardstick for each declared model that has one, and why the others have none.

    `exact`: models whose own tokenizer counted, which is the better yardstick once it was
    `seen` to fit, or where there is no other.
    """

    def best(model: str, made: Proportion | str) -> Yardstick | str:
        own = model in exact and (model in seen or isinstance(made, str))
        return Tokenizer(model) if own else made

    found = [best(model, made) for model, made in known.items()]
    return (
        tuple(made for made in found if not isinstance(made, str)),
        tuple(made for made in found if isinstance(made, str)),
    )


def fitting(accounts: Accounts) -> frozenset[Fitted]:
    """Tokenizers that fit the latest answers beyond doubt, each with its query."""
    latest = (accounts.now, *accounts.earlier) if accounts.now else ()
    if not latest or _mute(latest):
        return frozenset()
    readings = (_read(Tokenizer(model), latest) for model in latest[0].exact)
    return frozenset(
        (reading.yardstick.model, count.query)
        for reading in readings
        if reading and reading.nats <= _BEYOND_DOUBT and reading.yardstick.fits(reading.measures)
        for count in reading.counts
    )


def _comparable(accounts: Accounts, yardstick: Yardstick) -> Sequence[Count]:
    """The latest counts; where a tokenizer is known to fit this query, of such queries only."""
    now, seen = accounts.now, accounts.seen_to_fit
    earlier = accounts.earlier
    if now and isinstance(yardstick, Tokenizer) and (yardstick.model, now.query) in seen:
        earlier = [count for count in earlier if (yardstick.model, count.query) in seen]
    return (now, *earlier) if now else ()


def _mute(latest: Sequence[Count]) -> str | None:
    """Why these counts say nothing, whatever they are measured with."""
    if len(latest) < FEWEST:
        return f"{len(latest)} of {FEWEST} answers came with their counts"
    rule = rule_of_thumb(latest[:FEWEST])
    return f"the service counts {rule}, not tokens" if rule else None


def _lacking(accounts: Accounts) -> str:
    return next(iter(accounts.missing), "there is nothing to measure the count with")


def _read(yardstick: Yardstick, latest: Sequence[Count]) -> _Reading | None:
    """What a yardstick says of this answer together with those before it.

    None where it does not reach this answer, or too few before it; others are passed over. A
    misfit is read over as many answers as tell most, but this one must be off itself.
    """
    reached = [(count, made) for count in latest if (made := yardstick.measure(count))]
    if len(reached) < FEWEST or reached[0][0] is not latest[0]:
        return None
    counts, measures = map(tuple, zip(*reached, strict=True))
    lengths = range(FEWEST, len(measures) + 1)
    if yardstick.nats(measures[:1]) > 0:
        n = max(lengths, key=lambda n: yardstick.nats(measures[:n]))
        nats = max(0.0, yardstick.nats(measures[:n]))
    else:
        n = FEWEST
        nats = min(0.0, yardstick.nats(measures[:n]))
    return _Reading(yardstick, counts[:n], measures[:n], nats)


def _misfit(closest: _Reading, accounts: Accounts, declared: Declared) -> Weighed:
    """Another tokenizer counted: the fallback's whose yardstick fits, if one does."""
    yardstick = closest.yardstick
    words = yardstick.words(closest.measures)
    fitted = accounts.now and (yardstick.model, accounts.now.query) in accounts.seen_to_fit
    if isinstance(yardstick, Tokenizer) and not fitted:
        why = f"{words}, and they never fitted: the service may edit its texts"
        return _silent(accounts, why)
    theirs = [y for y in accounts.yardsticks if _among(y.model, declared.fallbacks)]
    fit = [y.model for y in theirs if _fits(y, closest.counts)]
    if len(fit) == 1:
        why = f"{words}, and as many as {fit[0]}"
        return Weighed(_evidence(fit[0], CAP, why=why), Side.OTHER, fit[0])
    return Weighed(_evidence(_OTHER, CAP, why=words), Side.FELL)


def _fit(closest: _Reading, accounts: Accounts, declared: Declared) -> Weighed:
    """The expected model's tokenizer fits; other models may have the same, or one as frugal."""
    model, span = closest.yardstick.model, closest.counts
    known = {y.model: y for y in accounts.yardsticks}
    for fallback in declared.fallbacks:
        theirs = known.get(fallback)
        alike = _fits(theirs, span) if theirs else parse(fallback).vendor == parse(model).vendor
        if alike:
            why = f"the counts fit {model}, and may fit {fallback} as well"
            return _silent(accounts, why)
    nats = max(-CAP, closest.nats)
    why = f"{len(span)} answers in a row took as many tokens as they take {model}"
    return Weighed(_evidence(model, nats, why=why), Side.EXPECTED, model, echo=True)


def _fits(yardstick: Yardstick, span: Sequence[Count]) -> bool:
    measures = [m for count in span if (m := yardstick.measure(count)) is not None]
    return len(measures) == len(span) and yardstick.fits(measures)


def _among(model: str, names: Sequence[str]) -> bool:
    return any(same(model, name) for name in names)


def _silent(accounts: Accounts, why: str) -> Weighed:
    tokens = f"{accounts.now.tokens} tokens" if accounts.now else ""
    return Weighed(_evidence(tokens, 0.0, why=why), Side.NEITHER)


def _evidence(claim: str, nats: float, *, why: str) -> Evidence:
    return Evidence(ClaimKind.ACCOUNTING, claim, nats, f"{SOURCE}: {why}")
