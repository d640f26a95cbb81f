"""Predictions for any directory in the format of the development data."""

import json
from pathlib import Path

from benchmarks.identity import predictions


def test_what_is_missing_costs_its_own_task_and_no_other(tmp_path: Path) -> None:
    refs = [["q", n] for n in range(30)]
    rows = [
        {"model": "ours", "prompt_id": "q", "sample": n, "text": f"The answer number {n} is short."}
        for n in range(40)
    ]
    stream = [["mine.jsonl", "ours", "q", n] for n in (30, 31, 99)]  # 99 is nowhere
    tasks: list[dict[str, object]] = [
        {"task": "bare", "expected": "ours", "baseline": [], "stream": []},
        {"task": "whole", "file": "mine.jsonl", "expected": "ours", "baseline": refs,
         "stream": stream},
    ]  # fmt: skip
    lines = {"mine.jsonl": rows, "tasks.jsonl": tasks}
    for name, found in lines.items():
        text = "\ufeff" + "\n".join(map(json.dumps, found)) + "\n\n"
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert list(predictions(tmp_path)) == [
        {"task": "bare", "alarm_at": None, "named": None},
        {"task": "whole", "alarm_at": None, "named": None},
    ]
