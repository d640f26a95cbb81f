"""One more answer looked at: who it looks like, how sure that is, and which features say so."""

from dataclasses import dataclass, replace
from datetime import datetime
from math import exp
from zlib import crc32

from monitor.domain import ClaimKind, Evidence, Identity, confidence_text
from monitor.identity import conformal, cusum
from monitor.identity.features import MARKS, STYLE, Answer, Features, features
from monitor.identity.fingerprint import SCALARS, Vector
from monitor.identity.profile import Profile, Rival, wording
from monitor.identity.tongue import unfit
from monitor.identity.tracking import DOUBT_NATS, REMEMBERED, Course, Track, quantised

UNVERIFIED = 0.8  # the most a baseline nobody confirmed can make sure
CLEAR = 1.1  # nats by which one answer takes a side: three to one
ODD = 0.02  # rank below which an answer alone is odd; one further off than all known is, too
_LENGTHS = {"length": "answers", "word length": "words", "sentence length": "sentences",
            "characters a chunk": "chunks"}  # fmt: skip
_AMOUNTS = ("bold", "italics", "first person", "spread of chunk lengths")
_TELLING = 0.8  # standard deviations by which a feature must be off to be named
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Looks:
    """The judgement of one answer by its looks. `doubtful`: a few more probes would tell."""

    identity: Identity
    model: str | None
    confidence: float
    evidence: tuple[Evidence, ...] = ()
    reason: str = ""
    established: bool = False  # a fallback or a change is settled, not merely this answer odd
    doubtful: bool = False
    against: tuple[str, ...] = ()  # fallbacks this answer clearly is not by


def looked(
    track: Track, profile: Profile, answer: Answer, *, at: datetime, extra: bool = False
) -> tuple[Track, Looks]:
    """Follow a target by one more answer; `extra`: it was asked in a burst.

    Answers that say nothing leave the track as it was, but for the count of extra probes.
    """
    track = replace(track, extra=track.extra + extra)
    if why := _abstention(track, profile, answer):
        settled = track.standing is not None
        return track, Looks(Identity.UNKNOWN, None, 0.0, reason=f"Writing style: {why}.",
                            established=settled, doubtful=track.doubtful)  # fmt: skip
    seen = features(answer)
    vector = quantised(profile.fingerprint.vector(seen))
    tie = crc32(f"{track.judged}/{wording(answer)}".encode()) / 2**32
    heard = tuple(map(quantised, profile.fingerprint.vectors))
    track = track.bet(vector, heard, tie)
    track = replace(track, courses=tuple(
        _course(track, rival, seen) for rival in profile.rivals
    ))  # fmt: skip
    suspected = track.doubtful or not track.calm()
    since = (track.since or at) if suspected else None
    track = replace(track, since=since, extra=track.extra if since else 0)
    looks = _judged(track, profile, seen, vector)
    if looks.identity is Identity.EXPECTED:
        track = replace(track, wordings=(*track.wordings, wording(answer))[-REMEMBERED:])
    return track, looks


def _abstention(track: Track, profile: Profile, answer: Answer) -> str | None:
    if answer.query not in profile.fingerprint.queries and not profile.fingerprint.general:
        return f"the baseline has no answers to query {answer.query}"
    if why := unfit(answer.text, usual=profile.language, refusing=profile.refusing):
        return why
    if answer.query not in profile.repetitive and wording(answer) in track.wordings:
        return "the answer repeats an earlier one word for word, as a cache would"
    return None


def _course(track: Track, rival: Rival, seen: Features) -> Course:
    before = next((c for c in track.courses if c.model == rival.model), Course(rival.model))
    return course_after(before, rival, seen)


def course_after(before: Course, rival: Rival, seen: Features) -> Course:
    """The evidence for one fallback after one more answer."""
    nats = rival.contrast.nats(seen).total
    vector = quantised(rival.fingerprint.vector(seen)) if nats > 0 else ()
    return before.after(nats, seen.query, vector=vector, own=rival.fingerprint.vectors)


def _judged(track: Track, profile: Profile, seen: Features, vector: Vector) -> Looks:
    lead = track.leading
    if lead and lead.established:
        return _by_course(track, profile, seen, lead)
    if track.changed:
        return _changed(track, profile)
    return _ordinary(track, profile, seen, vector)


def _by_course(track: Track, profile: Profile, seen: Features, lead: Course) -> Looks:
    """A fallback has taken over all answers or some: whose is this one?"""
    rival = next(rival for rival in profile.rivals if rival.model == lead.model)
    evidence = _evidence(rival, profile, seen)
    nats = sum(item.nats for item in evidence)
    whole = lead.sums[0] >= cusum.LIMIT
    if nats > CLEAR or (whole and nats > -CLEAR):
        sure = _sure(max(nats, CLEAR), profile)
        told = (
            f"Writing style matches {lead.model} in {lead.spoke} answers to "
            f"{len(lead.queries)} or more queries (confidence {confidence_text(lead.nats)})"
        )
        return Looks(Identity.FALLBACK, lead.model, sure, evidence, told + ".", established=True)
    if nats < -CLEAR:
        told = f"Writing style matches {profile.model}, while {lead.model} gives other answers"
        return Looks(Identity.EXPECTED, profile.model, _sure(-nats, profile), evidence,
                     told + ".", established=True, against=(lead.model,))  # fmt: skip
    told = f"Writing style clearly matches neither {profile.model} nor {lead.model}"
    return Looks(Identity.UNKNOWN, None, 0.0, evidence, told + ".", established=True)


def _changed(track: Track, profile: Profile) -> Looks:
    off = ", ".join(_named(track.directions[-1])) or "wording"
    detail = f"since the baseline of epoch {profile.epoch} it differs in {off}"
    evidence = (Evidence(ClaimKind.TEXT, "changed", round(track.surprise(), 2), detail),)
    why = f"The answers no longer look like {profile.model}'s ({off}); whose they are is not known"
    if profile.mistakable:
        reasons = "; ".join(f"{model}: {why}" for model, why in profile.mistakable.items())
        why = f"{why} ({reasons})"
    sure = min(0.99 if profile.verified_by else UNVERIFIED, 1 - 1 / max(2.0, track.change))
    return Looks(Identity.CHANGED, None, round(sure, 4), evidence, why + ".", established=True)


def _ordinary(track: Track, profile: Profile, seen: Features, vector: Vector) -> Looks:
    """Nothing is settled: the answer counts as expected where it looks so, else as nobody's."""
    evidence = [item for rival in profile.rivals for item in _evidence(rival, profile, seen)]
    by_rival = [rival.contrast.nats(seen).total for rival in profile.rivals]
    scores = sorted(conformal.overall(each) for each in profile.fingerprint.vectors)
    score = conformal.overall(vector)
    further = sum(each >= score for each in scores)
    odd = not further or (further + 1) / (len(scores) + 1) < ODD
    if profile.mistakable and not profile.rivals:
        model, why = next(iter(profile.mistakable.items()))
        return Looks(Identity.UNKNOWN, None, 0.0, (), f"Writing style: {profile.model} or {model}; "
                     f"{why}.", doubtful=track.doubtful)  # fmt: skip
    against = tuple(
        rival.model for rival, nats in zip(profile.rivals, by_rival, strict=True) if nats < -CLEAR
    )
    clear = len(against) == len(profile.rivals)
    if clear and not odd and not (track.doubtful and not by_rival):
        sure = min((_sure(-nats, profile) for nats in by_rival), default=UNVERIFIED)
        if not evidence:
            detail = (
                f"{seen.query}: {further} of {len(scores)} answers of the baseline lie further off"
            )
            evidence = [Evidence(ClaimKind.TEXT, profile.model, -0.5, detail)]
        return Looks(Identity.EXPECTED, profile.model, sure, tuple(evidence),
                     f"Writing style matches {profile.model}, as in the baseline.",
                     doubtful=track.doubtful, against=against)  # fmt: skip
    why = "this answer alone matches no known model"
    if (lead := track.leading) and lead.nats > DOUBT_NATS:
        why = f"{lead.model} is suspected, {lead.lacks}"
    return Looks(Identity.UNKNOWN, None, 0.0, tuple(evidence), f"Writing style: {why}.",
                 doubtful=track.doubtful)  # fmt: skip


def _evidence(rival: Rival, profile: Profile, seen: Features) -> tuple[Evidence, ...]:
    """What one answer says between the expected model and a fallback, for a person."""
    nats = rival.contrast.nats(seen)
    claim = rival.model if nats.total > 0 else profile.model
    sure = (
        f"separability {rival.contrast.separability:.2f} on {profile.fingerprint.count} and "
        f"{rival.answers} answers"
    )
    pulls = rival.contrast.pulls(seen)
    kinds = (
        (ClaimKind.TEXT, nats.text, pulls[: len(STYLE)]),
        (ClaimKind.CHUNKS, nats.chunks, pulls[len(STYLE) :]),
    )
    found = []
    for kind, part, own in kinds:
        names = MARKS[: len(STYLE)] if kind is ClaimKind.TEXT else MARKS[len(STYLE) :]
        sided = sorted(((pull * part, name) for pull, name in zip(own, names, strict=True)))
        said = [name for strength, name in reversed(sided) if strength > 0][:_NAMED]
        if kind is ClaimKind.TEXT:
            said = ["wording", *said]
        if abs(part) >= 0.05:
            found.append(Evidence(kind, claim, round(part, 2),
                                  f"{seen.query}: {', '.join(said)}; {sure}"))  # fmt: skip
    return tuple(found)


def _named(direction: Vector) -> list[str]:
    """The features that are off the most, in words."""
    marks = sorted(zip(direction[SCALARS:], MARKS, strict=True), key=lambda one: -abs(one[0]))
    return [_moved(name, up=off > 0) for off, name in marks[:_NAMED] if abs(off) >= _TELLING]


def _moved(name: str, *, up: bool) -> str:
    """A feature that went up or down: `more commas`, `fewer commas`, `shorter words`."""
    if name in _LENGTHS:
        return f"{'longer' if up else 'shorter'} {_LENGTHS[name]}"
    if name.startswith("ends with"):
        return f"{'more' if up else 'less'} often {name}"
    if name in _AMOUNTS:
        return f"{'more' if up else 'less'} {name}"
    return f"{'more' if up else 'fewer'} {name}"


def _sure(nats: float, profile: Profile) -> float:
    return round(min(1 / (1 + exp(-nats)), 1.0 if profile.verified_by else UNVERIFIED), 4)
