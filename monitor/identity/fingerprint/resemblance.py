"""Do answers that are about to become a baseline come from a fallback that is known?"""

from collections.abc import Mapping, Sequence

from monitor.identity.fingerprint.features import AnswerText, answer_features
from monitor.identity.fingerprint.match import CLEAR, evidence_after
from monitor.identity.fingerprint.profile import FallbackProfile, StyleProfile
from monitor.identity.fingerprint.tracker import FallbackEvidence


def resembling(profile: StyleProfile, answers: Sequence[AnswerText]) -> Mapping[str, int]:
    """The known fallbacks that gave these answers or a part of them, with how many match each.

    A fallback counts when the answers establish it by the evidence that rule `fallback` needs,
    or when more than half of them clearly match it. Empty where no fallback is known.
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
        matching += candidate.contrast.log_odds(seen).total > CLEAR
    return established, matching
