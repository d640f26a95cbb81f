"""False alarms and delays on resampled streams: `python -m benchmarks.false_alarms DIR SECONDS`.

DIR holds `repeated.jsonl` (many answers of two models to the same prompts). Baselines of five
prompts are drawn again and again; streams of the answers left over are drawn with replacement
and followed from a fresh baseline on, where it is weakest. Bounded by CPU seconds; seeded.
"""

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import median

from monitor.identity.fingerprint import sequential_tests
from monitor.identity.fingerprint.features import AnswerFeatures, AnswerText, answer_features
from monitor.identity.fingerprint.profile import StyleProfile, learn_profile
from monitor.identity.fingerprint.style_model import Vector
from monitor.identity.fingerprint.tracker import FallbackEvidence, TrackerState, quantised

LENGTH = 2_016  # probes of a stream: a week of one in five minutes
KEPT = (5, 20, 50)  # baseline answers to each of five prompts
WARM, MOST = 5, 200  # good probes before a swap, and probes until it counts as missed


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer of a pool, measured once: its vector, and what the rival's contrast says."""

    query: str
    vector: Vector
    log_odds: float
    as_rival: Vector


@dataclass(frozen=True, slots=True)
class Setting:
    """One baseline with the answers left over of the expected model and of its rival."""

    profile: StyleProfile
    good: Sequence[Seen]
    other: Sequence[Seen]


def draws(
    directory: Path, draw: Random, kept: Sequence[int] = KEPT
) -> Iterator[tuple[str, Setting]]:
    """Ever new baselines of so many answers a prompt, of each model in turn."""
    texts: dict[str, dict[str, list[AnswerText]]] = defaultdict(lambda: defaultdict(list))
    for line in (directory / "repeated.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        texts[row["model"]][row["prompt_id"]].append(AnswerText(row["prompt_id"], row["text"]))
    models = sorted(texts)
    while True:
        for each in kept:
            for expected, candidate in (models, reversed(models)):
                prompts = draw.sample(sorted(texts[expected]), 5)
                split = {p: draw.sample(range(len(texts[expected][p])), k=100) for p in prompts}
                baseline, rest = (
                    {
                        model: [texts[model][p][at] for p in prompts for at in split[p][part]]
                        for model in (expected, candidate)
                    }
                    for part in (slice(each), slice(max(KEPT), None))
                )
                profile = learn_profile(
                    expected,
                    baseline[expected],
                    {candidate: baseline[candidate]},
                    verified_by="operator",
                )
                good, other = (
                    [_seen(profile, answer_features(answer)) for answer in rest[model]]
                    for model in (expected, candidate)
                )
                yield f"{expected} K={each}", Setting(profile, good, other)


def _seen(profile: StyleProfile, answer: AnswerFeatures) -> Seen:
    vector = quantised(profile.fingerprint.vector(answer))
    if not profile.candidates:
        return Seen(answer.query, vector, 0.0, ())
    candidate = profile.candidates[0]
    as_rival = quantised(candidate.fingerprint.vector(answer))
    return Seen(answer.query, vector, candidate.contrast.log_odds(answer), as_rival)


def step(
    track: TrackerState, course: FallbackEvidence, seen: Seen, setting: Setting, draw: Random
) -> TrackerState:
    """One answer followed as the monitor does, by measures taken before."""
    track = track.bet(seen.vector, setting.profile.fingerprint.vectors, draw.random())
    candidates = setting.profile.candidates
    own = candidates[0].fingerprint.vectors if candidates else ()
    course = course.after(seen.log_odds, seen.query, vector=seen.as_rival, own=own)
    return replace(track, courses=(course,))


def null(setting: Setting, draw: Random) -> Counter[str]:
    """Alarms of each kind in one stream of good answers."""
    alarms: Counter[str] = Counter()
    track, course = TrackerState(epoch=1), FallbackEvidence("rival")
    for _ in range(LENGTH):
        track = step(track, course, draw.choice(setting.good), setting, draw)
        course = track.courses[0]
        if track.standing:
            alarms[track.standing[0]] += 1
            track, course = replace(track, bets=sequential_tests.NO_BETS), FallbackEvidence("rival")
    return alarms


def delay(setting: Setting, draw: Random, *, share: float, known: bool) -> int:
    """Probes from a swap to its alarm; `MOST` where it is missed."""
    track, course = TrackerState(epoch=1), FallbackEvidence("rival")
    for nth in range(WARM + MOST):
        swapped = nth >= WARM and draw.random() < share
        seen = draw.choice(setting.other if swapped else setting.good)
        track = step(track, course, seen, setting, draw)
        course = track.courses[0]
        if nth >= WARM and (course.established if known else track.changed):
            return nth - WARM + 1
    return MOST


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    directory, seconds = Path(sys.argv[1]), float(sys.argv[2])
    draw, began = Random(2026), time.process_time()
    probes, alarms = 0, Counter[str]()
    delays: dict[str, list[int]] = defaultdict(list)
    for name, setting in draws(directory, draw):
        alarms += null(setting, draw)
        probes += LENGTH
        for share in (1.0, 0.3):
            for known in (True, False):
                kind = "known" if known else "unknown"
                for _ in range(3):
                    delays[f"{name} {kind} share {share:.0%}"].append(
                        delay(setting, draw, share=share, known=known)
                    )
        if time.process_time() - began > seconds:
            break
    print(f"{probes} good probes: {dict(alarms) or 'no'} alarms")
    for name, found in sorted(delays.items()):
        found.sort()
        missed = sum(each == MOST for each in found)
        print(f"{name}: median {median(found):g}, p90 {found[int(0.9 * (len(found) - 1))]}, "
              f"missed {missed} of {len(found)}")  # fmt: skip


if __name__ == "__main__":
    main()
