"""What a target's baseline makes detectable, and what cannot be detected yet, in sentences."""

from collections.abc import Iterator
from dataclasses import dataclass

from monitor.domain import Target
from monitor.identity.fingerprint.profile import StyleProfile
from monitor.identity.model_names.compare import same


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionCoverage:
    """What is known of how a target's models write.

    `profile` None: nothing is judged by writing style, for the reason `reason`. `discloses`: stored
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
        yield (f"answers that no longer match {self.profile.model} are detected: rule "
               "model_changed")  # fmt: skip
        for candidate in self.profile.candidates:
            yield (
                f"a fallback to {candidate.model} is detected by name: rule fallback (separability "
                f"{candidate.contrast.separability:.2f} on {candidate.answers} answers)"
            )

    def gaps(self) -> Iterator[str]:
        """What cannot be detected yet, and what to do about it."""
        target, profile = self.target, self.profile
        if not target.expected_models and profile is None:
            yield ("expected_models is empty and no baseline is captured: rules fallback and "
                   "model_changed are off. Add expected_models")  # fmt: skip
        elif not target.expected_models:
            yield ("expected_models is empty: a model that the response names is compared with "
                   "nothing, and rule fallback is off for it. Add expected_models")  # fmt: skip
        if profile is None:
            yield self._without_baseline()
            return
        yield from self._without_name(profile)
        for model, reason in profile.indistinguishable.items():
            yield (f"a fallback to {model} is not detected by name: {reason}. It is reported as "
                   "model_changed if the answers change enough, and otherwise not at all"
                   f"{self._disclosed}")  # fmt: skip

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
            model for model in self.target.fallback_models
            if not any(same(model, other) for other in known)
        ]  # fmt: skip
        for model in missing:
            yield (f"no answers of {model} are captured: a fallback to it is reported as "
                   f"model_changed, without a name{self._disclosed}. Run `monitor baseline "
                   f"capture {self.target.name} --model {model}` when it answers")  # fmt: skip
        if not missing and not known:
            yield ("no fallback model is declared or captured: a fallback is reported as "
                   f"model_changed, without a name{self._disclosed}")  # fmt: skip

    @property
    def _disclosed(self) -> str:
        return ", unless the response names the model" if self.discloses else ""
