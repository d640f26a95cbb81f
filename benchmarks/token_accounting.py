"""Score token accounting: `python -m benchmarks.token_accounting FILE --expected MODEL`.

Takes JSON Lines with `model`, `prompt_id`, `text`, the disclosed `tokens`, and, where the
expected model's own tokenizer is at hand, its count of the text as `exact`. Half of the
prompts teach the proportion, 25 answers of them, and the other half is judged; with
`--same-prompts` five answers to each prompt teach it, and the other answers are judged.
Streams are of answers in random order. Prints, for each model and yardstick, how often its
streams are told apart from the expected model after so many answers, and how often they are
called it.
"""

import argparse
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from monitor.identity.claims import ClaimSide, DeclaredModels
from monitor.identity.fingerprint.features import language
from monitor.identity.token_counts.comparison import REMEMBERED, TokenCounts, judge_counts
from monitor.identity.token_counts.counts import (
    ENOUGH,
    ENOUGH_OF_A_QUERY,
    LEAST,
    Calibration,
    TokenCount,
    TokenizerCalibration,
    proportion,
    shape,
)

AFTER = (3, 4, 6, 12)  # answers
STREAMS = 200
Row = dict[str, Any]


def main() -> None:
    """Read the answers, play the streams, print a line for each model and yardstick."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--expected", required=True)
    parser.add_argument("--same-prompts", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    lines = given.file.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    rows = [row for row in rows if row["tokens"] >= LEAST]
    draw = random.Random(given.seed)
    notified: dict[tuple[str, str], list[list[ClaimSide]]] = {}
    for _ in range(STREAMS):
        draw.shuffle(rows)
        own = [row for row in rows if row["model"] == given.expected]
        taught = _some_of_each(own) if given.same_prompts else _of_half(own)
        held = _others(rows, taught, same_prompts=given.same_prompts)
        for kind, calibration in _yardsticks(rows, taught, given.expected):
            for model, stream in _streams(held, given.expected):
                sides = _sides(stream, calibration, given.expected)
                notified.setdefault((kind, model), []).append(sides)
    for (kind, model), streams in sorted(notified.items()):
        print(f"{kind:10} {model:40} {_figures(streams)}")


def _some_of_each(own: Sequence[Row]) -> list[Row]:
    by_prompt: dict[str, list[Row]] = {}
    for row in own:
        by_prompt.setdefault(row["prompt_id"], []).append(row)
    return [row for of in by_prompt.values() for row in of[:ENOUGH_OF_A_QUERY]]


def _of_half(own: Sequence[Row]) -> list[Row]:
    prompts = list(dict.fromkeys(row["prompt_id"] for row in own))
    half = set(prompts[: len(prompts) // 2])
    return [row for row in own if row["prompt_id"] in half][:ENOUGH]


def _others(rows: Sequence[Row], taught: Sequence[Row], *, same_prompts: bool) -> list[Row]:
    if same_prompts:
        used = {id(row) for row in taught}
        return [row for row in rows if id(row) not in used]
    prompts = {row["prompt_id"] for row in taught}
    return [row for row in rows if row["prompt_id"] not in prompts]


def _yardsticks(
    rows: Sequence[Row], taught: Sequence[Row], expected: str
) -> Iterable[tuple[str, Calibration]]:
    learnt = proportion(expected, [_count(row, expected) for row in taught])
    if isinstance(learnt, str):
        print(f"no proportion: {learnt}")
    else:
        yield "proportion", learnt
    if all("exact" in row for row in rows):
        yield "tokenizer", TokenizerCalibration(expected)


def _streams(held: Sequence[Row], expected: str) -> Iterable[tuple[str, list[TokenCount]]]:
    for model in sorted({row["model"] for row in held}):
        of = [row for row in held if row["model"] == model]
        if len(of) >= max(AFTER):
            yield model, [_count(row, expected) for row in of[: max(AFTER)]]


def _count(row: Row, expected: str) -> TokenCount:
    exact = {expected: row["exact"]} if "exact" in row else {}
    return TokenCount(
        row["prompt_id"], row["tokens"], shape(row["text"]), language(row["text"]), exact
    )


def _sides(
    stream: Sequence[TokenCount], calibration: Calibration, expected: str
) -> list[ClaimSide]:
    """What each answer of a stream is taken for, with those before it."""
    declared = DeclaredModels((expected,), ())
    sides = []
    for at, now in enumerate(stream):
        earlier = tuple(reversed(stream[max(0, at - REMEMBERED) : at]))
        seen = frozenset((expected, count.query) for count in stream)
        accounts = TokenCounts(now, earlier, (calibration,), seen_to_fit=seen)
        weighed = judge_counts(accounts, declared)
        sides.append(weighed.side if weighed else ClaimSide.NEITHER)
    return sides


def _figures(streams: Sequence[Sequence[ClaimSide]]) -> str:
    """Streams once told apart after so many answers; answers judged one way or the other."""
    within = [
        f"{sum(ClaimSide.FELL in sides[:after] for sides in streams) / len(streams):6.1%} by {after}"  # noqa: E501
        for after in AFTER
    ]
    judged = [side for sides in streams for side in sides[min(AFTER) - 1 :]]
    fell, fits = (sum(s is side for s in judged) for side in (ClaimSide.FELL, ClaimSide.EXPECTED))
    return f"told apart {', '.join(within)}; of {len(judged)} answers {fell} another's, {fits} fit"


if __name__ == "__main__":
    main()
