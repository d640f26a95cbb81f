"""Recorded answers: a baseline learnt from a file, and a file judged by it."""

import json
from pathlib import Path

from tests.e2e.worker_process import configuration, run_command, service

LLAMA, HAIKU = "meta-llama/llama-4-scout", "anthropic/claude-haiku-4-5"


def test_recorded_answers_are_learnt_from_and_judged_each_by_its_own_query(
    tmp_path: Path, database_url: str
) -> None:
    healthy, fallen = tmp_path / "healthy.jsonl", tmp_path / "fallen.jsonl"
    learn = ("baseline", "capture", "--from", str(healthy))
    with service(pace=0.002) as stage:
        configuration(tmp_path, stage.url)

        def recorded(count: int, file: Path) -> None:
            requested = run_command(tmp_path, "probe", "--count", str(count), "--record", str(file))
            assert requested.returncode == 0, requested.stderr

        recorded(60, healthy)
        learnt = run_command(tmp_path, *learn, DATABASE_URL=database_url)
        assert "hi: 30 answers of meta-llama/llama-4-scout stored in epoch 1" in learnt.stdout
        assert "who: 30 answers of meta-llama/llama-4-scout stored in epoch 1" in learnt.stdout
        stage.play(situation="key_rejected")
        recorded(40, fallen)
        candidate = run_command(tmp_path, *learn[:-1], str(fallen), "--model", "claude-haiku-4.5",
                                DATABASE_URL=database_url)  # fmt: skip
        assert candidate.returncode == 0, candidate.stderr
    judged = run_command(tmp_path, "identify", str(fallen), "--json", DATABASE_URL=database_url)
    who = [json.loads(line) for line in judged.stdout.splitlines()]
    assert (judged.returncode, judged.stderr, len(who)) == (0, "", 40)
    # Two short queries under one persona: their words may be too few to name the model.
    assert (who[-1]["identity"], who[-1]["model"]) in (("fallback", HAIKU), ("changed", None))
    judged = run_command(tmp_path, "identify", str(healthy), "--json", DATABASE_URL=database_url)
    who = [json.loads(line) for line in judged.stdout.splitlines()]
    assert {(one["identity"], one["model"]) for one in who} <= {
        ("expected", LLAMA), ("unknown", None)
    }  # fmt: skip
    assert who[-1]["identity"] == "expected"


def test_a_bare_text_names_the_option_it_lacks(tmp_path: Path, database_url: str) -> None:
    configuration(tmp_path, "http://127.0.0.1:9")
    text = tmp_path / "answer.txt"
    text.write_text("A word or two.", encoding="utf-8")
    judged = run_command(tmp_path, "identify", str(text), DATABASE_URL=database_url)
    assert judged.returncode == 0
    assert judged.stdout.startswith("unknown: model not identified")
    assert judged.stderr == (
        "The input does not say which canned query was answered, so writing style is not "
        "compared. Pass --query with one of hi, who\n"
    )


def test_a_transcript_of_a_query_that_is_gone_is_named(tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "old.jsonl"
    with service(pace=0.1) as stage:
        configuration(tmp_path, stage.url)
        assert run_command(tmp_path, "probe", "--count", "2", "--record", str(file)).returncode == 0
    file.write_text(file.read_text().replace('"query":"who"', '"query":"gone"'))
    judged = run_command(tmp_path, "identify", str(file), DATABASE_URL=database_url)
    assert judged.returncode == 2
    assert 'target "rag" has no query "gone"; known: hi, who' in judged.stderr
    learnt = run_command(tmp_path, "baseline", "capture", "--from", str(file),
                         DATABASE_URL=database_url)  # fmt: skip
    assert "who: 0 answers" in learnt.stdout
