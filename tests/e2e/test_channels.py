"""Several channels of a worker as a process: each by itself."""

from pathlib import Path

from monitor.simulator.slack_server import SlackServer
from tests.contract.http_sink import HttpSink, http_sink
from tests.e2e.test_slack import SECTIONS, SOON_S
from tests.e2e.worker_process import configuration, eventually, rows, service, worker

OPS = """
[[channels]]
name = "ops"
kind = "webhook"
url = "${OPS_URL}"
secret = "${OPS_SECRET}"
severity = ["page", "warn"]
[[channels]]
name = "money"
kind = "webhook"
url = "${MONEY_URL}"
secret = "${OPS_SECRET}"
rules = ["spend"]
"""


def heads(sink: HttpSink) -> list[tuple[str, str, str]]:
    return [(item.json["status"], item.json["rule"], item.json["target"]) for item in [*sink.taken]]


def test_a_broken_channel_delays_no_other_and_the_others_report_it(
    tmp_path: Path, database_url: str
) -> None:
    with SlackServer() as inbox, http_sink() as ops, http_sink() as money, service("slow") as stage:
        inbox.script(["channel_not_found"] * 50)
        configuration(tmp_path, stage.url, more=SECTIONS + OPS)
        given = {"SLACK_WEBHOOK_URL": inbox.webhook_url, "OPS_URL": ops.url,
                 "MONEY_URL": money.url, "OPS_SECRET": "canary-signing-key"}  # fmt: skip
        with worker(tmp_path, DATABASE_URL=database_url, **given) as monitor:
            for expected in (("FIRING", "ttft", "rag"), ("FIRING", "delivery", "slack")):
                eventually(lambda e=expected: e in heads(ops), SOON_S, f"{expected}")
            assert monitor.stop() == 0, monitor.log()
        log = monitor.log()
    assert inbox.messages == []
    assert money.taken == [], "it takes another rule"
    waiting = "SELECT DISTINCT channel FROM outbox WHERE settled_at IS NULL"
    assert rows(database_url, waiting) == [("slack",)]
    assert "canary" not in log
