"""Judges one answer by writing style: the model, the confidence and the deciding features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import exp
from zlib import crc32

from monitor.domain import ClaimKind, Evidence, Identity, confidence_text, counted
from monitor.domain import log_odds as odds
from monitor.identity.fingerprint import sequential_tests
from monitor.identity.fingerprint.features import (
    MARKS,
    AnswerFeatures,
    AnswerText,
    answer_features,
    other_language,
    unsuitable,
)
from monitor.identity.fingerprint.profile import FallbackProfile, StyleProfile, wording
from monitor.identity.fingerprint.style_model import SCALARS, Vector
from monitor.identity.fingerprint.tracker import (
    DOUBT_LOG_ODDS,
    REMEMBERED,
    FallbackEvidence,
    TrackerState,
    quantised,
)
from monitor.identity.fingerprint.usual_sources import after_answer, lost_sources

UNVERIFIED = 0.8  # the highest confidence with an unconfirmed baseline
CLEAR = 1.1  # log-odds from which one answer counts for a model: three to one
# rank below which a single answer is unusual, as is one further away than every known answer
ODD = 0.02
_LENGTHS = {
    "length": "answers",
    "word length": "words",
    "sentence length": "sentences",
}
_AMOUNTS = ("bold", "italics", "first person")
_TELLING = 0.8  # standard deviations from which a feature is named
_NAMED = 3
NOT_COMPARED = "not compared"  # claim of an answer that the baseline says nothing about
LOST = "the answer lists no sources, unlike most answers to this query"
_LEAST_LOG_ODDS = 0.05  # of an answer that is shown as evidence


@dataclass(frozen=True, slots=True)
class StyleMatch:
    """The judgement of one answer by writing style. `doubtful`: a few more probes would decide."""

    identity: Identity
    model: str | None
    confidence: float
    evidence: tuple[Evidence, ...] = ()
    reason: str = ""
    established: bool = False  # a fallback or a change is established, not only this answer unusual
    doubtful: bool = False
    against: tuple[str, ...] = ()  # fallbacks that clearly did not write this answer
    lost_sources: bool = False  # so it is no example of the model's writing style either


def follow_answer(
    track: TrackerState,
    profile: StyleProfile,
    answer: AnswerText,
    *,
    at: datetime,
    extra: bool = False,
) -> tuple[TrackerState, StyleMatch]:
    """Update a target's state with one more answer; `extra`: it was requested in a burst.

    Answers that are not suitable, or that lost their sources, are not compared: they only count as
    extra probes, and for what is known about sources.
    """
    known = track.sources if answer.lists_sources else ()
    lost = lost_sources(known, answer.query, answer.sources, at=at)
    sources = after_answer(known, answer.query, answer.sources, at=at)
    left = profile.fingerprint.queries - {one.query for one in sources if one.gone}
    alone = len(profile.fingerprint.queries) > len(left) == 1
    since_alone = track.alone if alone else 0  # also where the last one loses its sources, too
    track = replace(track, extra=track.extra + extra, sources=sources, alone=since_alone)
    if reason := LOST if lost else _abstention(track, profile, answer):
        settled = track.standing is not None
        return track, StyleMatch(
            Identity.UNKNOWN,
            None,
            0.0,
            (Evidence(ClaimKind.TEXT, NOT_COMPARED, 0.0, reason),),
            reason=f"Writing style: {reason}.",
            established=settled,
            doubtful=track.doubtful,
            lost_sources=lost,
        )
    seen = answer_features(answer)
    vector = quantised(profile.fingerprint.vector(seen))
    tie = crc32(f"{track.judged}/{wording(answer)}".encode()) / 2**32
    of = profile.fingerprint.vectors_of(answer.query) if alone else profile.fingerprint.vectors
    track = track.bet(vector, tuple(map(quantised, of)), tie, alone=alone)
    foreign = other_language(answer.text, usual=profile.language)
    if foreign is None:
        courses = tuple(_course(track, candidate, seen) for candidate in profile.candidates)
        track = replace(track, courses=courses)
    suspected = track.doubtful or not track.calm()
    since = (track.since or at) if suspected else None
    track = replace(track, since=since, extra=track.extra if since else 0)
    style_match = (
        _judged(track, profile, seen, vector)
        if foreign is None
        else _in_other_language(track, profile, foreign)
    )
    if style_match.identity is Identity.EXPECTED:
        track = replace(track, wordings=(*track.wordings, wording(answer))[-REMEMBERED:])
    return track, style_match


def _abstention(track: TrackerState, profile: StyleProfile, answer: AnswerText) -> str | None:
    if answer.query not in profile.fingerprint.queries and not profile.fingerprint.general:
        return f"the baseline has no answers to query {answer.query}"
    if reason := unsuitable(answer.text, refusing=profile.refusing):
        return reason
    if answer.query not in profile.repetitive and wording(answer) in track.wordings:
        return "the answer repeats an earlier one word for word, as a cache would"
    return None


def _course(
    track: TrackerState, candidate: FallbackProfile, seen: AnswerFeatures
) -> FallbackEvidence:
    before = next(
        (c for c in track.courses if c.model == candidate.model), FallbackEvidence(candidate.model)
    )
    return evidence_after(before, candidate, seen)


def evidence_after(
    before: FallbackEvidence, candidate: FallbackProfile, seen: AnswerFeatures
) -> FallbackEvidence:
    """The evidence for one fallback after one more answer."""
    log_odds = candidate.contrast.log_odds(seen)
    vector = quantised(candidate.fingerprint.vector(seen)) if log_odds > 0 else ()
    return before.after(log_odds, seen.query, vector=vector, own=candidate.fingerprint.vectors)


def _judged(
    track: TrackerState, profile: StyleProfile, seen: AnswerFeatures, vector: Vector
) -> StyleMatch:
    lead = track.leading
    if lead and lead.established:
        return _by_course(track, profile, seen, lead)
    if track.changed:
        return _changed(track, profile)
    return _ordinary(track, profile, seen, vector)


def _in_other_language(track: TrackerState, profile: StyleProfile, reason: str) -> StyleMatch:
    """Only a change can be established by such an answer, not who gave it."""
    standing = track.standing
    if standing is not None and standing[0] is Identity.CHANGED:
        return _changed(track, profile)
    return StyleMatch(
        Identity.UNKNOWN,
        None,
        0.0,
        reason=f"Writing style: {reason}.",
        established=standing is not None,
        doubtful=track.doubtful,
    )


def _by_course(
    track: TrackerState, profile: StyleProfile, seen: AnswerFeatures, lead: FallbackEvidence
) -> StyleMatch:
    """A fallback has taken over all answers or some: which model wrote this one?"""
    candidate = next(candidate for candidate in profile.candidates if candidate.model == lead.model)
    evidence = _evidence(candidate, profile, seen)
    log_odds = sum(item.nats for item in evidence)
    whole = lead.sums[0] >= sequential_tests.LIMIT
    if log_odds > CLEAR or (whole and log_odds > -CLEAR):
        # If the fallback gives all answers, this one is as certain as that.
        sure = _sure(max(log_odds, lead.sums[0] if whole else CLEAR), profile)
        notified = (
            f"Writing style matches {lead.model} in {counted(lead.spoke, 'answer')} so far, to "
            f"{len(lead.queries)} or more queries (confidence {confidence_text(odds(sure))})"
        )
        return StyleMatch(
            Identity.FALLBACK, lead.model, sure, evidence, notified + ".", established=True
        )
    if log_odds < -CLEAR:
        notified = f"Writing style matches {profile.model}, while other answers match {lead.model}"
        return StyleMatch(
            Identity.EXPECTED,
            profile.model,
            _sure(-log_odds, profile),
            evidence,
            notified + ".",
            established=True,
            against=(lead.model,),
        )
    notified = f"Writing style clearly matches neither {profile.model} nor {lead.model}"
    return StyleMatch(Identity.UNKNOWN, None, 0.0, evidence, notified + ".", established=True)


def _changed(track: TrackerState, profile: StyleProfile) -> StyleMatch:
    off = ", ".join(_named(track.directions[-1])) or "wording"
    detail = f"since the baseline of epoch {profile.epoch} it differs in {off}"
    evidence = (Evidence(ClaimKind.TEXT, "changed", round(track.surprise(), 2), detail),)
    reason = (
        f"Answers no longer match the writing style of {profile.model} ({off}); "
        "the answering model is unknown"
    )
    if profile.indistinguishable:
        reasons = "; ".join(
            f"{model}: {reason}" for model, reason in profile.indistinguishable.items()
        )
        reason = f"{reason} ({reasons})"
    sure = min(0.99 if profile.verified_by else UNVERIFIED, 1 - 1 / max(2.0, track.change))
    return StyleMatch(
        Identity.CHANGED, None, round(sure, 4), evidence, reason + ".", established=True
    )


def _ordinary(
    track: TrackerState, profile: StyleProfile, seen: AnswerFeatures, vector: Vector
) -> StyleMatch:
    """Nothing is established: the answer counts as expected if it matches, else as unknown."""
    evidence = [
        item for candidate in profile.candidates for item in _evidence(candidate, profile, seen)
    ]
    by_rival = [candidate.contrast.log_odds(seen) for candidate in profile.candidates]
    scores = sorted(sequential_tests.overall(each) for each in profile.fingerprint.vectors)
    score = sequential_tests.overall(vector)
    further = sum(each >= score for each in scores)
    odd = not further or (further + 1) / (len(scores) + 1) < ODD
    if profile.indistinguishable and not profile.candidates:
        model, reason = next(iter(profile.indistinguishable.items()))
        return StyleMatch(
            Identity.UNKNOWN,
            None,
            0.0,
            (),
            f"Writing style: {profile.model} or {model}; {reason}.",
            doubtful=track.doubtful,
        )
    against = tuple(
        candidate.model
        for candidate, log_odds in zip(profile.candidates, by_rival, strict=True)
        if log_odds < -CLEAR
    )
    clear = len(against) == len(profile.candidates)
    if clear and not odd and not (track.doubtful and not by_rival):
        sure = min((_sure(-log_odds, profile) for log_odds in by_rival), default=UNVERIFIED)
        if not evidence:
            detail = f"{seen.query}: {further} of {len(scores)} baseline answers are less typical"
            evidence = [Evidence(ClaimKind.TEXT, profile.model, -0.5, detail)]
        return StyleMatch(
            Identity.EXPECTED,
            profile.model,
            sure,
            tuple(evidence),
            f"Writing style matches {profile.model}, as in the baseline.",
            doubtful=track.doubtful,
            against=against,
        )
    reason = "this answer alone matches no known model"
    if (lead := track.leading) and lead.nats > DOUBT_LOG_ODDS:
        reason = f"{lead.model} is suspected, {lead.lacks}"
    return StyleMatch(
        Identity.UNKNOWN,
        None,
        0.0,
        tuple(evidence),
        f"Writing style: {reason}.",
        doubtful=track.doubtful,
    )


def _evidence(
    candidate: FallbackProfile, profile: StyleProfile, seen: AnswerFeatures
) -> tuple[Evidence, ...]:
    """The evidence of one answer between the expected model and a fallback, in words."""
    log_odds = candidate.contrast.log_odds(seen)
    if abs(log_odds) < _LEAST_LOG_ODDS:
        return ()
    claim = candidate.model if log_odds > 0 else profile.model
    pulls = zip(candidate.contrast.pulls(seen), MARKS, strict=True)
    sided = sorted(((pull * log_odds, name) for pull, name in pulls), reverse=True)
    features = ["wording", *(name for strength, name in sided if strength > 0)][: _NAMED + 1]
    detail = (
        f"{seen.query}: {', '.join(features)}; separability "
        f"{candidate.contrast.separability:.2f} on {profile.fingerprint.count} and "
        f"{candidate.answers} answers"
    )
    return (Evidence(ClaimKind.TEXT, claim, round(log_odds, 2), detail),)


def _named(direction: Vector) -> list[str]:
    """The features with the largest deviations, in words."""
    marks = sorted(zip(direction[SCALARS:], MARKS, strict=True), key=lambda one: -abs(one[0]))
    return [_moved(name, up=off > 0) for off, name in marks[:_NAMED] if abs(off) >= _TELLING]


def _moved(name: str, *, up: bool) -> str:
    """A feature that increased or decreased: `more commas`, `fewer commas`, `shorter words`."""
    if name in _LENGTHS:
        return f"{'longer' if up else 'shorter'} {_LENGTHS[name]}"
    if name.startswith("ends with"):
        return f"{'more' if up else 'less'} often {name}"
    if name in _AMOUNTS:
        return f"{'more' if up else 'less'} {name}"
    return f"{'more' if up else 'fewer'} {name}"


def _sure(log_odds: float, profile: StyleProfile) -> float:
    return round(min(1 / (1 + exp(-log_odds)), 1.0 if profile.verified_by else UNVERIFIED), 4)


# Whether answers that are about to become a baseline were written by a known fallback.


def resembling(profile: StyleProfile, answers: Sequence[AnswerText]) -> Mapping[str, int]:
    """The known fallbacks that wrote some of these answers, with the number of matches each.

    A fallback counts when the answers establish it by the evidence that rule `fallback` needs, or
    when more than half of them clearly match it. Empty if no fallback is known.
    """
    found = {}
    for candidate in profile.candidates:
        established, matching = _matched(candidate, answers)
        if established or 2 * matching > len(answers):
            found[candidate.model] = matching
    return found


def _matched(candidate: FallbackProfile, answers: Sequence[AnswerText]) -> tuple[bool, int]:
    """Whether the fallback was established at any answer, and how many answers match it."""
    course, established, matching = FallbackEvidence(candidate.model), False, 0
    for answer in answers:
        seen = answer_features(answer)
        course = evidence_after(course, candidate, seen)
        established = established or course.established
        matching += candidate.contrast.log_odds(seen) > CLEAR
    return established, matching
