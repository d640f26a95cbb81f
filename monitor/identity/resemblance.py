"""Do answers that are about to become a baseline come from a fallback that is known?"""

from collections.abc import Mapping, Sequence

from monitor.identity.features import Answer, features
from monitor.identity.looks import CLEAR, course_after
from monitor.identity.profile import Profile, Rival
from monitor.identity.tracking import Course


def resembling(profile: Profile, answers: Sequence[Answer]) -> Mapping[str, int]:
    """The known fallbacks that gave these answers or a part of them, with how many match each.

    A fallback counts when the answers establish it by the evidence that rule `fallback` needs,
    or when more than half of them clearly match it. Empty where no fallback is known.
    """
    found = {}
    for rival in profile.rivals:
        established, matching = _matched(rival, answers)
        if established or 2 * matching > len(answers):
            found[rival.model] = matching
    return found


def _matched(rival: Rival, answers: Sequence[Answer]) -> tuple[bool, int]:
    """Whether the fallback was established at any answer, and how many answers match it."""
    course, established, matching = Course(rival.model), False, 0
    for answer in answers:
        seen = features(answer)
        course = course_after(course, rival, seen)
        established = established or course.established
        matching += rival.contrast.nats(seen).total > CLEAR
    return established, matching
