"""Lost sources and writing style: does "I found nothing about that" look like another model?

Two simulated models answer three canned queries with sources. Then some queries lose theirs, the
model changes, or both. Each case is played with the sources of the answers, and without, as if no
service listed any: then every answer is compared.

    .venv/bin/python -m benchmarks.lost_sources --seeds 0
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import median

from monitor.domain import Identity
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.match import follow_answer
from monitor.identity.fingerprint.tracker import TrackerState
from monitor.simulator.situations import SimulatedModel
from tests.simulated_answers import QUERIES, simulated_answer, simulated_profile

BEGUN, EVERY = datetime(2026, 11, 30, tzinfo=UTC), timedelta(minutes=5)
HEALTHY, AFTER = 24, 36  # rounds before and after the beginning
LOOKED_AT = (4, 12, AFTER)  # rounds after the beginning
OPENINGS = ("", "Sorry, ", "Unfortunately, ", "I am afraid that ", "Hm, ")
NOTHING = (
    "I could not find that in my documents, so I cannot tell you more about it today.",
    "my documents say nothing about that, so I cannot answer your question.",
    "there is nothing about it in the documents that I have, please ask our office.",
    "I have no information about that topic in my knowledge base.",
    "my documents do not mention this. Could you please rephrase your question for me?",
    "I do not have anything on that in my sources, please contact our team instead.",
    "nothing in my sources answers this question, so I would rather not guess here.",
    "I found no document about it and so I am not able to tell you about it.",
)
ENDINGS = ("", " Is there anything else?", " Please try again later.", " Thank you!")


@dataclass(frozen=True, slots=True)
class LostSourcesCase:
    """So many queries lose their sources, for so many rounds, and the model changes or does not."""

    name: str
    lost: int
    changed: bool
    rounds: int = AFTER
    named: bool = False  # the other model is a captured fallback


CASES = (
    LostSourcesCase("nothing happens", 0, changed=False),
    LostSourcesCase("1 of 3 queries loses its sources", 1, changed=False),
    LostSourcesCase("1 of 3, a fallback is captured", 1, changed=False, named=True),
    LostSourcesCase("1 of 3 for 6 rounds", 1, changed=False, rounds=6),
    LostSourcesCase("2 of 3 lose theirs", 2, changed=False),
    LostSourcesCase("all lose theirs", 3, changed=False),
    LostSourcesCase("the model changes", 0, changed=True),
    LostSourcesCase("the model changes, captured", 0, changed=True, named=True),
    LostSourcesCase("it changes, 1 of 3 loses its sources", 1, changed=True),
    LostSourcesCase("it changes, captured, 1 of 3 loses", 1, changed=True, named=True),
    LostSourcesCase("it changes, 2 of 3 lose theirs", 2, changed=True),
    LostSourcesCase("it changes, captured, 2 of 3 lose", 2, changed=True, named=True),
    LostSourcesCase("it changes, all lose theirs for 6 rounds", 3, changed=True, rounds=6),
)


def nothing_found(draw: Random) -> str:
    """One way to say that nothing was found."""
    text = draw.choice(OPENINGS) + draw.choice(NOTHING) + draw.choice(ENDINGS)
    return text[:1].upper() + text[1:]


def answers(case: LostSourcesCase, seed: int) -> Iterator[tuple[int, AnswerText]]:
    """The answers with the number of their round; the first of what happens is round 1."""
    draw = Random(f"{case.name}/{seed}")
    for number in range(1 - HEALTHY, AFTER + 1):
        begun = number > 0
        model = SimulatedModel.HAIKU if begun and case.changed else SimulatedModel.LLAMA
        for nth, query in enumerate(QUERIES):
            if begun and number <= case.rounds and nth < case.lost:
                yield number, AnswerText(query.id, nothing_found(draw), sources=0)
            else:
                answer = simulated_answer(model, query, f"{seed}/{number}")
                yield number, replace(answer, sources=3)


def found_in(case: LostSourcesCase, seed: int, *, sources: bool) -> int | None:
    """The round in which a change or fallback was established; None: in none."""
    known, track = simulated_profile(candidates=case.named), TrackerState(epoch=1)
    for number, answer in answers(case, seed):
        given = answer if sources else replace(answer, sources=None)
        at = BEGUN + number * EVERY
        track, match = follow_answer(track, known, given, at=at)
        if match.identity in (Identity.CHANGED, Identity.FALLBACK):
            return number
    return None


def line(case: LostSourcesCase, seeds: Sequence[int], *, sources: bool) -> str:
    """How often something was found by each round, and when."""
    found = [found_in(case, seed, sources=sources) for seed in seeds]
    rounds = [number for number in found if number is not None]
    by = [sum(number <= until for number in rounds) for until in LOOKED_AT]
    when = f"median {median(rounds):g}, last {max(rounds)}" if rounds else "never"
    shown = " / ".join(f"{count:>3}" for count in by)
    return f"{case.name:<38} {'with' if sources else 'without':<8} {shown}   {when}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=0, help="the first seed")
    options.add_argument("--runs", type=int, default=100, help="runs of each case")
    given = options.parse_args()
    seeds = range(given.seeds, given.seeds + given.runs)
    rounds = " / ".join(map(str, LOOKED_AT))
    print(f"{given.runs} runs: a change or a fallback found by round {rounds}")
    for case in CASES:
        for sources in (False, True):
            print(line(case, seeds, sources=sources), flush=True)


if __name__ == "__main__":
    main()
