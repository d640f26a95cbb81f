"""Style profiles of a target's models: the baseline, and its possible fallbacks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

from monitor.domain import Target
from monitor.identity.fingerprint.classifier import ModelClassifier
from monitor.identity.fingerprint.features import (
    VERSION,
    AnswerText,
    answer_features,
    refuses,
    usual_language,
)
from monitor.identity.fingerprint.style_model import Fingerprint
from monitor.identity.model_names.compare import parse, same

ENOUGH_ANSWERS = 25  # answers of the baseline; with fewer no false-alarm bound holds
ENOUGH_OF_A_RIVAL = 10
MOST_A_QUERY = 50  # answers that are used, the latest ones
_REFUSALS = 0.2  # share of refusals among the captured answers that makes refusing usual


@dataclass(frozen=True, slots=True)
class FallbackProfile:
    """A fallback whose captured answers are distinguishable from the expected model's."""

    model: str
    contrast: ModelClassifier
    fingerprint: Fingerprint
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleProfile:
    """The style profile of one epoch. `indistinguishable`: other fallbacks, and why.

    `verified_by` None: the model of the baseline is unconfirmed.
    """

    model: str
    epoch: int
    fingerprint: Fingerprint
    candidates: tuple[FallbackProfile, ...] = ()
    indistinguishable: Mapping[str, str]
    language: str | None
    refusing: bool
    repetitive: frozenset[str]  # queries that are often answered in exactly the same words
    verified_by: str | None = None
    version: int = VERSION


class TooFewAnswers(ValueError):
    """There is no baseline yet; the message says what is missing."""


def learn_profile(
    model: str,
    answers: Sequence[AnswerText],
    others: Mapping[str, Sequence[AnswerText]],
    *,
    epoch: int = 1,
    verified_by: str | None = None,
) -> StyleProfile:
    """The profile of the expected model and its fallbacks; answers in order, oldest first.

    Raises TooFewAnswers if the baseline is too small.
    """
    kept = _latest(answers)
    if len(kept) < ENOUGH_ANSWERS:
        raise TooFewAnswers(f"the baseline has {len(kept)} of {ENOUGH_ANSWERS} answers")
    baseline = [answer_features(answer) for answer in kept]
    candidates, mistakable = [], {}
    for other, theirs in others.items():
        received = [answer_features(answer) for answer in _latest(theirs)]
        if len(received) < ENOUGH_OF_A_RIVAL:
            mistakable[other] = (
                f"{len(received)} of {ENOUGH_OF_A_RIVAL} required answers are captured"
            )
            continue
        try:
            contrast = ModelClassifier(baseline, received)
        except ValueError as reason:
            mistakable[other] = str(reason)
            continue
        if contrast.telling:
            candidates.append(
                FallbackProfile(other, contrast, Fingerprint(received), len(received))
            )
        else:
            mistakable[other] = (
                f"the two models write too alike (separability {contrast.separability:.2f})"
            )
    texts = [answer.text for answer in kept]
    return StyleProfile(
        model=model,
        epoch=epoch,
        fingerprint=Fingerprint(baseline),
        candidates=tuple(candidates),
        indistinguishable=mistakable,
        language=usual_language(texts),
        refusing=sum(map(refuses, texts)) > _REFUSALS * len(texts),
        repetitive=_repetitive(kept),
        verified_by=verified_by,
    )


def wording(answer: AnswerText) -> int:
    """A hash that is equal for answers with the same words to the same query."""
    return crc32(f"{answer.query}\0{answer.text}".encode("utf-8", "replace"))


def _latest(answers: Sequence[AnswerText]) -> list[AnswerText]:
    """At most so many answers of each query, in order of query and time."""
    by_query: dict[str, list[AnswerText]] = {}
    for answer in answers:
        by_query.setdefault(answer.query, []).append(answer)
    return [answer for query in sorted(by_query) for answer in by_query[query][-MOST_A_QUERY:]]


def _repetitive(answers: Sequence[AnswerText]) -> frozenset[str]:
    seen: dict[str, set[int]] = {}
    twice = set()
    for answer in answers:
        known = seen.setdefault(answer.query, set())
        if (text := wording(answer)) in known:
            twice.add(answer.query)
        known.add(text)
    return frozenset(twice)


def own_name(model: str, target: str) -> str:
    """Why a name that is no known model discloses nothing, and what to do."""
    return (
        f"{model} is not the name of a model that the monitor knows. If it is a name of the "
        "service's own, answers carry it whichever model gave them, and a silent fallback is not "
        f"detected by it. As targets.{target}.expected_models write the model's real name, or "
        f"nothing, and run `monitor baseline capture {target} --model NAME` while you know that "
        "this model answers"
    )


# What can be detected with a target's baseline, and what cannot be detected yet, in sentences.


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionCoverage:
    """What is known about the writing style of a target's models.

    `profile` None: writing style is not judged, for the reason `reason`. `discloses`: stored
    answers name their model; None: no answer is stored.
    """

    target: Target
    profile: StyleProfile | None
    reason: str
    discloses: bool | None

    def detected(self) -> Iterator[str]:
        """What is detected by writing style; nothing without a baseline."""
        if self.profile is None:
            return
        yield (
            f"answers that no longer match {self.profile.model} are detected: rule model_changed"
        )
        for candidate in self.profile.candidates:
            yield (
                f"a fallback to {candidate.model} is detected by name: rule fallback (separability "
                f"{candidate.contrast.separability:.2f} on {candidate.answers} answers)"
            )

    def gaps(self) -> Iterator[str]:
        """What cannot be detected yet, and what to do about it."""
        target, profile = self.target, self.profile
        if not target.expected_models and profile is None:
            yield (
                f"expected_models is empty and {self.reason}: no fallback is detected, rules "
                "fallback and model_changed are off. Add the model that should answer as "
                f"targets.{target.name}.expected_models, then run `monitor baseline capture "
                f"{target.name}` while it answers"
            )
            return
        if not target.expected_models:
            yield (
                "expected_models is empty: a model that the response names is not "
                "compared, and rule fallback is off for it. Add expected_models"
            )
        if profile is None:
            own = [model for model in target.expected_models if not parse(model).known]
            yield own_name(own[0], target.name) if own else self._without_baseline()
            return
        yield from self._without_name(profile)
        for model, reason in profile.indistinguishable.items():
            yield (
                f"a fallback to {model} is not detected by name: {reason}. It is reported as "
                "model_changed if the answers change enough, otherwise it is missed"
                f"{self._disclosed}"
            )

    def _without_baseline(self) -> str:
        missing = {
            True: "a fallback is detected only by the model that the response names",
            False: f"no stored answer of {self.target.name} names its model: a silent fallback "
            "is not detected",
            None: "a fallback is detected only if the response names its model",
        }[self.discloses]
        named = "" if self.target.expected_models else " --model NAME"
        return (
            f"{self.reason}: {missing}. Run `monitor baseline capture {self.target.name}{named}` "
            "while you know which model answers"
        )

    def _without_name(self, profile: StyleProfile) -> Iterator[str]:
        """Fallbacks whose answers are not captured."""
        known = (*(candidate.model for candidate in profile.candidates), *profile.indistinguishable)
        missing = [
            model
            for model in self.target.fallback_models
            if not any(same(model, other) for other in known)
        ]
        for model in missing:
            yield (
                f"no answers of {model} are captured: a fallback to it is reported as "
                f"model_changed, without a name{self._disclosed}. Run `monitor baseline "
                f"capture {self.target.name} --model {model}` when it answers"
            )
        if not missing and not known:
            yield (
                "no fallback model is declared or captured: a fallback is reported as "
                f"model_changed, without a name{self._disclosed}"
            )

    @property
    def _disclosed(self) -> str:
        return ", unless the response names the model" if self.discloses else ""
