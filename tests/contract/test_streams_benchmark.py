"""Recorded responses, replayed by `python -m benchmarks.streams`."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.streams import main

BODY = (
    b'data: {"model":"m-2","choices":[{"delta":{"role":"assistant"}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"cost":0.001}}\n\n'
    b"data: [DONE]\n\n"
)
READ = {
    "outcome": "answered", "text": "Hi", "first_text_event": 1, "prompt_tokens": 3,
    "reasoning_tokens": None, "cost_usd": "0.001", "finish": "stop", "model": "m-2", "faults": [],
}  # fmt: skip


def replayed(folder: Path, monkeypatch: pytest.MonkeyPatch, *rows: dict[str, Any]) -> int:
    (folder / "one.sse").write_bytes(BODY)
    text = "\n".join(json.dumps({"file": "one.sse", "dialect": "openai_chat"} | r) for r in rows)
    (folder / "expected.jsonl").write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["streams", str(folder)])
    return main()


def test_a_recording_that_reads_as_expected_is_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replayed(tmp_path, monkeypatch, {"expected": READ}) == 0
    assert capsys.readouterr().out == "1 responses, 9 figures: 0 differ, in 0 responses\n"


def test_every_difference_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"text": "Ho", "prompt_tokens": 4, "cost_usd": 0.001, "first_text_event": 0}
    failed = {"outcome": "rate_limited"}
    rows = ({"expected": wrong}, {"status": 429, "expected": failed})
    assert replayed(tmp_path, monkeypatch, *rows) == 1
    assert capsys.readouterr().out.splitlines() == [
        "one.sse (openai_chat) text: expected 'Ho' (2 characters), found 'Hi' (2 characters)",
        "one.sse (openai_chat) prompt_tokens: expected 4, found 3",
        "one.sse (openai_chat) first_text_event: expected 0, found 1",
        "2 responses, 5 figures: 3 differ, in 1 responses",
    ]


def test_a_figure_that_does_not_exist_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replayed(tmp_path, monkeypatch, {"expected": {"ttft": 1}}) == 2
    assert "expected.jsonl line 1: ttft: no figure" in capsys.readouterr().err
