"""A silent change of model, of which only the expected model's answers were captured."""

from collections.abc import Callable, Sequence
from pathlib import Path

from monitor.simulator.slack_channel import PostedMessage
from monitor.simulator.slack_server import SlackServer
from tests.e2e.worker_process import (
    configuration,
    eventually,
    rows,
    run_command,
    service,
    slack,
    worker,
)

SOON_S = 60
SEEN = "SELECT count(*) FROM observations WHERE identity = 'expected'"


def begins(text: str) -> Callable[[Sequence[PostedMessage]], list[PostedMessage]]:
    return lambda notified: [message for message in notified if message.text.startswith(text)]


def test_a_silent_change_of_model_reaches_slack_and_ends_when_the_model_is_back(
    tmp_path: Path, database_url: str
) -> None:
    with service(pace=0.002) as stage, SlackServer() as inbox:
        stage.play(candour={})  # nobody says who it is
        configuration(tmp_path, stage.url)
        done = run_command(tmp_path, "baseline", "capture", DATABASE_URL=database_url)
        assert done.returncode == 0, done.stderr
        with worker(tmp_path, DATABASE_URL=database_url, **slack(inbox)):
            eventually(lambda: rows(database_url, SEEN)[0][0] >= 6, SOON_S, "good answers")
            stage.play(situation="key_rejected")
            [opened] = inbox.wait_for(begins("FIRING #1 model_changed · rag: "), SOON_S)
            fired = opened.text
            stage.play(situation="healthy")
            [*_, ended] = inbox.wait_for(begins("RESOLVED #1 model_changed · rag: "), SOON_S)
    assert "Answers no longer match Llama 4 Scout since " in fired
    assert "The answering model is unknown." in fired
    for part in ("How certain: almost certain (&gt; 99.9 %) that answers changed",
                 "baseline capture rag --model NAME", "baseline accept rag",
                 "monitor runbook model_changed", "monitor incidents show 1"):  # fmt: skip
        assert part in fired
    assert "of the last 15 answers match the expected model." in ended.text
