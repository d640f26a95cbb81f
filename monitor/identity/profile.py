"""What is known of a target's models by their looks: the baseline, and who might replace it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

from monitor.identity.features import VERSION, Answer, features
from monitor.identity.fingerprint import Fingerprint
from monitor.identity.separability import Contrast
from monitor.identity.tongue import refuses, usual_language

ENOUGH_ANSWERS = 25  # of the baseline; fewer make no promise
ENOUGH_OF_A_RIVAL = 10
MOST_A_QUERY = 50  # answers learnt, the latest ones
_REFUSALS = 0.2  # share of learnt answers that makes refusing usual


@dataclass(frozen=True, slots=True)
class Rival:
    """A fallback whose answers are known and can be told from the expected model's."""

    model: str
    contrast: Contrast
    fingerprint: Fingerprint
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The looks of one epoch. `mistakable` says for each other fallback why it is not judged.

    `verified_by` None: nobody confirmed who gave the baseline's answers.
    """

    model: str
    epoch: int
    fingerprint: Fingerprint
    rivals: tuple[Rival, ...] = ()
    mistakable: Mapping[str, str]
    language: str | None
    refusing: bool
    repetitive: frozenset[str]  # queries that are often answered in the very same words
    verified_by: str | None = None
    version: int = VERSION


class TooFew(ValueError):
    """There is no baseline yet; the sentence says what is missing."""


def learnt(
    model: str,
    answers: Sequence[Answer],
    others: Mapping[str, Sequence[Answer]],
    *,
    epoch: int = 1,
    verified_by: str | None = None,
) -> Profile:
    """Learn the looks of the expected model and of its fallbacks from their answers, oldest first.

    Raises TooFew for a baseline that is too small to judge by.
    """
    kept = _latest(answers)
    if len(kept) < ENOUGH_ANSWERS:
        raise TooFew(f"the baseline has {len(kept)} of {ENOUGH_ANSWERS} answers")
    baseline = [features(answer) for answer in kept]
    rivals, mistakable = [], {}
    for other, theirs in others.items():
        heard = [features(answer) for answer in _latest(theirs)]
        if len(heard) < ENOUGH_OF_A_RIVAL:
            mistakable[other] = f"{len(heard)} of {ENOUGH_OF_A_RIVAL} answers of it are known"
            continue
        try:
            contrast = Contrast(baseline, heard)
        except ValueError as why:
            mistakable[other] = str(why)
            continue
        if contrast.telling:
            rivals.append(Rival(other, contrast, Fingerprint(heard), len(heard)))
        else:
            mistakable[other] = (
                f"the two cannot be told apart by text (separability {contrast.separability:.2f})"
            )
    texts = [answer.text for answer in kept]
    return Profile(
        model=model,
        epoch=epoch,
        fingerprint=Fingerprint(baseline),
        rivals=tuple(rivals),
        mistakable=mistakable,
        language=usual_language(texts),
        refusing=sum(map(refuses, texts)) > _REFUSALS * len(texts),
        repetitive=_repetitive(kept),
        verified_by=verified_by,
    )


def wording(answer: Answer) -> int:
    """A number that answers of the very same words to the same query share."""
    return crc32(f"{answer.query}\0{answer.text}".encode("utf-8", "replace"))


def _latest(answers: Sequence[Answer]) -> list[Answer]:
    """At most so many of each query, in order of query and time."""
    by_query: dict[str, list[Answer]] = {}
    for answer in answers:
        by_query.setdefault(answer.query, []).append(answer)
    return [answer for query in sorted(by_query) for answer in by_query[query][-MOST_A_QUERY:]]


def _repetitive(answers: Sequence[Answer]) -> frozenset[str]:
    seen: dict[str, set[int]] = {}
    twice = set()
    for answer in answers:
        known = seen.setdefault(answer.query, set())
        if (words := wording(answer)) in known:
            twice.add(answer.query)
        known.add(words)
    return frozenset(twice)
