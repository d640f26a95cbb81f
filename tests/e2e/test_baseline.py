"""A newcomer's first hour: capture how the model writes, look at it, tell the fallback by it."""

from pathlib import Path

import pytest

from monitor.cli.baseline import enough, request_answers
from monitor.config import load
from monitor.domain import Query
from tests.e2e.worker_process import configuration, run_command, service
from tests.scripted_server import full_reply, scripted_server


def test_captured_shown_and_distinguished(tmp_path: Path, database_url: str) -> None:
    with service(pace=0.002) as stage:
        configuration(tmp_path, stage.url)
        none = run_command(tmp_path, "baseline", "show", DATABASE_URL=database_url)
        assert none.stdout.startswith(
            "rag: no baseline; capture one with `monitor baseline capture rag`\nnot detected yet:\n"
            "  no baseline is captured: a fallback is detected only if the response names its model"
        )
        few = run_command(
            tmp_path, "baseline", "capture", "--count", "2", DATABASE_URL=database_url
        )
        assert few.returncode == 0, few.stderr
        assert few.stdout.endswith(
            "of 25 required answers of meta-llama/llama-4-scout are stored: writing style "
            "is not compared until then; capture again\n"
        )
        done = run_command(tmp_path, "baseline", "capture", DATABASE_URL=database_url)
        assert done.returncode == 0, done.stderr
        assert "capture again" not in done.stdout
        assert (
            "detected:\n  answers that no longer match meta-llama/llama-4-scout are detected: rule "
            "model_changed\nnot detected yet:\n  no answers of anthropic/claude-haiku-4-5 are "
            "captured: a fallback to it is reported as model_changed, without a name"
        ) in done.stdout
        stage.play(situation="key_rejected")
        haiku = ("baseline", "capture", "--model", "claude-haiku-4.5", "--count", "15")
        assert run_command(tmp_path, *haiku, DATABASE_URL=database_url).returncode == 0
        shown = run_command(tmp_path, "baseline", "show", DATABASE_URL=database_url)
    assert "epoch 1 since" in shown.stdout
    assert "a fallback to anthropic/claude-haiku-4-5 is detected by name" in shown.stdout
    assert "not detected yet" not in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("capture", "--query", "nope"), 'target "rag" has no query "nope"; known: hi, who'),
        (("capture", "nowhere"), 'unknown target "nowhere"; known: rag'),
        (("accept",), 'target "rag" has no baseline: run `monitor baseline capture rag` first'),
        (("capture", "--count", "100"), "200 probes could cost $"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, database_url: str, arguments: tuple[str, ...], text: str
) -> None:
    configuration(tmp_path, "http://127.0.0.1:9", more='[probes]\ndaily_budget_usd = "0.01"')
    ended = run_command(tmp_path, "baseline", *arguments, DATABASE_URL=database_url)
    assert ended.returncode != 0
    assert text in ended.stderr


def test_as_many_are_asked_for_as_make_a_good_baseline() -> None:
    queries = [Query(id=f"q{nth}", text="Hi") for nth in range(40)]
    assert [enough(queries[:n]) for n in (1, 2, 4, 5, 40)] == [38, 19, 10, 8, 5]


async def test_a_service_that_throttles_is_asked_again_but_not_for_ever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with scripted_server(full_reply(429, b"slowly", ("Retry-After", "0"))) as server:
        configuration(tmp_path, server.url)
        settings = load({"MONITOR_CONFIG": str(tmp_path / "monitor.toml")})
        target = settings.targets["rag"]
        received = await request_answers(settings, target, target.queries[:1], 1)
    assert list(received.values()) == [[]]
    assert server.connections == 4
    assert capsys.readouterr().err.count("HTTP 429: slowly: next attempt in 0 s") == 3
