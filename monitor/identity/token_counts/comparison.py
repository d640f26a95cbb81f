"""Whether the disclosed token counts fit the expected model's tokenizer.

Counts are hard to falsify by accident: a gateway may repeat the requested name, but it bills what
the answering model counted.

Source: docs/identity.md#token-accounting
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from monitor.domain import ClaimKind, Evidence, Query
from monitor.identity.claims import ClaimSide, DeclaredModels, WeighedClaim
from monitor.identity.model_names.compare import parse, same
from monitor.identity.token_counts.counts import (
    CAP,
    FEWEST,
    SOURCE,
    Calibration,
    CountMeasure,
    RatioCalibration,
    TokenCount,
    TokenizerCalibration,
    proportion,
    rule_of_thumb,
)

REMEMBERED = 11  # earlier answers that may be combined with this one
_FITTING, _BEYOND_DOUBT = -1.0, -3.0  # log-odds from which a fit is reported and remembered
_OTHER = "another tokenizer"


Fitted = tuple[str, str]  # a model and a query


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """The counts of this answer and of earlier ones, newest first, and how to measure them.

    `seen_to_fit`: models whose tokenizer once fitted this target's answers to a query. Before that,
    a misfit may also mean that the service changes its texts after counting.
    """

    now: TokenCount | None = None
    earlier: Sequence[TokenCount] = ()
    calibrations: Sequence[Calibration] = ()
    missing: Sequence[str] = ()  # why there are no others
    seen_to_fit: frozenset[Fitted] = frozenset()


@dataclass(frozen=True, slots=True)
class CountsKey:
    """The confirmed answers from which token counts were learned: up to the newest of an epoch."""

    epoch: int
    newest: int
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountHistory:
    """The data for measuring an answer's count, loaded before the probe.

    `earlier`: earlier counts, newest first. `learnt`: the calibration from the confirmed answers of
    each declared model, or why there is none.
    """

    earlier: Sequence[TokenCount] = ()
    learnt: Mapping[str, RatioCalibration | str] = field(default_factory=dict)
    seen_to_fit: frozenset[Fitted] = frozenset()

    def of(self, now: TokenCount) -> TokenCounts:
        """The counts of this answer and of earlier ones, with their measures."""
        fitted = {model for model, query in self.seen_to_fit if query == now.query}
        found, missing = yardsticks(self.learnt, now.exact, fitted)
        return TokenCounts(now, self.earlier, found, missing, self.seen_to_fit)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One measure applied to the latest answers. `log_odds` > 0: another tokenizer counted them."""

    calibration: Calibration
    counts: tuple[TokenCount, ...]
    measures: tuple[CountMeasure, ...]
    log_odds: float


def judge_counts(accounts: TokenCounts, declared: DeclaredModels) -> WeighedClaim | None:
    """What the counts say about this answer; None if it has no count."""
    if accounts.now is None:
        return None
    latest = (accounts.now, *accounts.earlier)
    ours = [y for y in accounts.calibrations if _among(y.model, declared.expected)]
    if reason := _reason_without_meaning(latest) or ("" if ours else _lacking(accounts)):
        return _silent(accounts, reason)
    readings = [r for y in ours if (r := _read(y, _comparable(accounts, y)))]
    if len(readings) < len(ours):
        return _silent(
            accounts, "the count covers other text, too, or the answer is unlike the known ones"
        )
    closest = min(readings, key=lambda reading: reading.log_odds)
    if closest.log_odds >= CAP and len(ours) == len(declared.expected):
        return _misfit(closest, accounts, declared)
    if closest.log_odds <= _FITTING and closest.calibration.fits(closest.measures):
        return _fit(closest, accounts, declared)
    text = closest.calibration.words(closest.measures)
    return _silent(accounts, f"{text}, which is not conclusive yet")


def calibrations_from(
    models: Sequence[str], confirmed: Mapping[str, Sequence[TokenCount]]
) -> dict[str, RatioCalibration | str]:
    """The calibration by each declared model's confirmed answers, or why there is none."""
    return {
        model: proportion(
            model, next((of for name, of in confirmed.items() if same(name, model)), ())
        )
        for model in models
    }


def yardsticks(
    known: Mapping[str, RatioCalibration | str], exact: Collection[str], seen: Collection[str]
) -> tuple[tuple[Calibration, ...], tuple[str, ...]]:
    """A measure for each declared model that has one, and why the others have none.

    `exact`: models with a known tokenizer, which is the better measure once it was `seen` to fit,
    or if there is no other.
    """

    def best(model: str, made: RatioCalibration | str) -> Calibration | str:
        own = model in exact and (model in seen or isinstance(made, str))
        return TokenizerCalibration(model) if own else made

    found = [best(model, made) for model, made in known.items()]
    return (
        tuple(made for made in found if not isinstance(made, str)),
        tuple(made for made in found if isinstance(made, str)),
    )


def fitting(accounts: TokenCounts) -> frozenset[Fitted]:
    """Tokenizers that fit the latest answers beyond doubt, each with its query."""
    latest = (accounts.now, *accounts.earlier) if accounts.now else ()
    if not latest or _reason_without_meaning(latest):
        return frozenset()
    readings = (_read(TokenizerCalibration(model), latest) for model in latest[0].exact)
    return frozenset(
        (reading.calibration.model, count.query)
        for reading in readings
        if reading
        and reading.log_odds <= _BEYOND_DOUBT
        and reading.calibration.fits(reading.measures)
        for count in reading.counts
    )


def _comparable(accounts: TokenCounts, calibration: Calibration) -> Sequence[TokenCount]:
    """The latest counts; if a tokenizer is known to fit this query, only those of such queries."""
    now, seen = accounts.now, accounts.seen_to_fit
    earlier = accounts.earlier
    if (
        now
        and isinstance(calibration, TokenizerCalibration)
        and (calibration.model, now.query) in seen
    ):
        earlier = [count for count in earlier if (calibration.model, count.query) in seen]
    return (now, *earlier) if now else ()


def _reason_without_meaning(latest: Sequence[TokenCount]) -> str | None:
    """Why these counts say nothing, with any measure."""
    if len(latest) < FEWEST:
        return f"{len(latest)} of {FEWEST} answers have token counts"
    rule = rule_of_thumb(latest[:FEWEST])
    return f"the service counts {rule}, not tokens" if rule else None


def _lacking(accounts: TokenCounts) -> str:
    return next(iter(accounts.missing), "no tokenizer or confirmed answers to compare with")


def _read(calibration: Calibration, latest: Sequence[TokenCount]) -> _Reading | None:
    """What a measure says about this answer together with earlier ones.

    None if it does not apply to this answer or applies to too few earlier ones. A misfit is
    computed over the number of answers that tells most, but this answer must misfit itself.
    """
    reached = [(count, made) for count in latest if (made := calibration.measure(count))]
    if len(reached) < FEWEST or reached[0][0] is not latest[0]:
        return None
    counts, measures = map(tuple, zip(*reached, strict=True))
    lengths = range(FEWEST, len(measures) + 1)
    if calibration.log_odds(measures[:1]) > 0:
        n = max(lengths, key=lambda n: calibration.log_odds(measures[:n]))
        log_odds = max(0.0, calibration.log_odds(measures[:n]))
    else:
        n = FEWEST
        log_odds = min(0.0, calibration.log_odds(measures[:n]))
    return _Reading(calibration, counts[:n], measures[:n], log_odds)


def _misfit(closest: _Reading, accounts: TokenCounts, declared: DeclaredModels) -> WeighedClaim:
    """Another tokenizer counted: the fallback's, if one fits."""
    calibration = closest.calibration
    text = calibration.words(closest.measures)
    fitted = accounts.now and (calibration.model, accounts.now.query) in accounts.seen_to_fit
    if isinstance(calibration, TokenizerCalibration) and not fitted:
        reason = f"{text}, and the counts never matched before: the service may edit its texts"
        return _silent(accounts, reason)
    theirs = [y for y in accounts.calibrations if _among(y.model, declared.fallbacks)]
    fit = [y.model for y in theirs if _fits(y, closest.counts)]
    if len(fit) == 1:
        reason = f"{text}, which matches {fit[0]}"
        return WeighedClaim(_evidence(fit[0], CAP, reason=reason), ClaimSide.OTHER, fit[0])
    return WeighedClaim(_evidence(_OTHER, CAP, reason=text), ClaimSide.FELL)


def _fit(closest: _Reading, accounts: TokenCounts, declared: DeclaredModels) -> WeighedClaim:
    """The expected model's tokenizer fits; other models may have the same or a similar one."""
    model, span = closest.calibration.model, closest.counts
    known = {y.model: y for y in accounts.calibrations}
    for fallback in declared.fallbacks:
        theirs = known.get(fallback)
        alike = _fits(theirs, span) if theirs else parse(fallback).vendor == parse(model).vendor
        if alike:
            reason = f"the counts match {model} but may also match {fallback}"
            return _silent(accounts, reason)
    log_odds = max(-CAP, closest.log_odds)
    reason = f"{len(span)} answers in a row match the token counts of {model}"
    return WeighedClaim(
        _evidence(model, log_odds, reason=reason), ClaimSide.EXPECTED, model, echo=True
    )


def _fits(calibration: Calibration, span: Sequence[TokenCount]) -> bool:
    measures = [m for count in span if (m := calibration.measure(count)) is not None]
    return len(measures) == len(span) and calibration.fits(measures)


def _among(model: str, names: Sequence[str]) -> bool:
    return any(same(model, name) for name in names)


def _silent(accounts: TokenCounts, reason: str) -> WeighedClaim:
    tokens = f"{accounts.now.tokens} tokens" if accounts.now else ""
    return WeighedClaim(_evidence(tokens, 0.0, reason=reason), ClaimSide.NEITHER)


def _evidence(claim: str, log_odds: float, *, reason: str) -> Evidence:
    return Evidence(ClaimKind.ACCOUNTING, claim, log_odds, f"{SOURCE}: {reason}")
