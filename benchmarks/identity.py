"""Who answered, on sequential tasks: `python -m benchmarks.identity DIR > predictions.jsonl`.

DIR holds `tasks.jsonl` and the files of answers it names. For each task: the first probe at
which the detector says "not the expected model", and whom it names. `score.py` of the data
judges the predictions. The name of a stream's model is used to find its text and then dropped.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitor.domain import Identity
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.match import follow_answer
from monitor.identity.fingerprint.profile import StyleProfile, TooFewAnswers, learn_profile
from monitor.identity.fingerprint.tracker import TrackerState

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
EVERY = timedelta(minutes=5)
NAMED_WITHIN = 10  # probes a nameless alarm may wait for the name

Texts = dict[tuple[str, str, str, int], str]


def predictions(directory: Path) -> Iterator[dict[str, Any]]:
    """One prediction a task, in the tasks' order."""
    tasks = list(_rows(directory / "tasks.jsonl"))
    files = {entry[0] for task in tasks for entry in task["stream"]}
    texts = _texts(directory, files | {task["file"] for task in tasks if "file" in task})
    for task in tasks:
        stream = [
            AnswerText(query, texts[file, model, query, sample])
            for file, model, query, sample in task["stream"]
            if (file, model, query, sample) in texts
        ]
        yield {"task": task["task"], **_prediction(_profile(task, texts), stream)}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _texts(directory: Path, files: Iterable[str]) -> Texts:
    texts: Texts = {}
    for file in files:
        for row in _rows(directory / file):
            texts[file, row["model"], row["prompt_id"], row["sample"]] = row["text"]
    return texts


def _profile(task: dict[str, Any], texts: Texts) -> StyleProfile | None:
    file, fallback = str(task.get("file")), task.get("fallback")

    def answers(model: str) -> list[AnswerText]:
        known = ((q, texts.get((file, model, q, s))) for q, s in task["baseline"])
        return [AnswerText(q, text) for q, text in known if text is not None]

    others = {fallback: answers(fallback)} if fallback else {}
    try:
        return learn_profile(
            task["expected"], answers(task["expected"]), others, verified_by="operator"
        )
    except TooFewAnswers:
        return None


def _prediction(profile: StyleProfile | None, stream: list[AnswerText]) -> dict[str, Any]:
    """The first alarm; a change may still be named by the probes right after it."""
    alarm: dict[str, Any] = {"alarm_at": None, "named": None}
    if profile is None:
        return alarm
    track = TrackerState(epoch=profile.epoch)
    for at, answer in enumerate(stream):
        track, style_match = follow_answer(track, profile, answer, at=BEGUN + at * EVERY)
        notified = style_match.identity in (Identity.FALLBACK, Identity.CHANGED)
        if notified and alarm["alarm_at"] is None:
            alarm["alarm_at"] = at
        if style_match.identity is Identity.FALLBACK:
            return alarm | {"named": style_match.model}
        if alarm["alarm_at"] is not None and at - alarm["alarm_at"] >= NAMED_WITHIN:
            break
    return alarm


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for prediction in predictions(Path(sys.argv[1])):
        print(json.dumps(prediction))


if __name__ == "__main__":
    main()
