"""Canaries: a secret of ours that anybody tells us back is nowhere to be found afterwards.

Every secret variable and header holds one. The service, the providers and Slack tell all of
them in every part of their replies; then every log, output, message and column is searched.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import make_url

from monitor.simulator.slack_server import SlackReplyStep, SlackServer
from tests.e2e.echo_service import echo
from tests.e2e.worker_process import eventually, rows, run_command, worker

CANARIES = {
    "database": "canary-db-7f3a91",
    "bot": "xoxb-canary-81c2d0",
    "webhook": "canaryhook4be7a2",
    "openrouter": "sk-or-canary-55d0e1",
    "anthropic": "sk-ant-admin-canary-0a9b",
    "openai": "sk-admin-canary-3c7f21",
    "heartbeat": "canary-ping-e8d412",
    "header": "canary-service-6d20ff",
    "cookie": "canary-cookie-19aa04",
    "literal": "canary-literal-77e0b3",
    "address": "canary-address-5f1c08",
    "health": "canary-health-30ab7d",
    "option": "canary-option-e4421c",
}
CONFIGURATION = """
[targets.rag]
url = "{url}/v1?key={address}"
dialect = "openai_chat"
model = "m"
every = "1s"
expected_models = ["meta-llama/llama-4-scout"]
fallback_models = ["anthropic/claude-haiku-4-5"]
[targets.rag.headers]
Authorization = "Bearer ${{SERVICE_KEY}}"
Cookie = "session={cookie}"
X-Team = "{literal}"
[targets.rag.health]
url = "/status?token={health}"
every = "2s"
expect = ["label"]
[targets.rag.options.body]
api_key = "{option}"
[[targets.rag.queries]]
id = "hi"
text = "Hi"
[[targets.rag.queries]]
id = "who"
text = "Who are you?"
identity = true
[accounts]
every = "2s"
"""
Channel = Callable[[SlackServer], dict[str, str]]
TABLES = """
    SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
    WHERE table_schema IN ('public', 'report')
"""


@pytest.fixture
def planted(tmp_path: Path, database_url: str) -> Iterator[dict[str, str]]:
    """The environment of a monitor with a canary in every secret; Slack is left out."""
    with echo(list(CANARIES.values())) as url:
        text = CONFIGURATION.format(url=url, **CANARIES)
        (tmp_path / "monitor.toml").write_text(text)
        database = make_url(database_url).set(password=CANARIES["database"])
        yield {
            "DATABASE_URL": database.render_as_string(hide_password=False),
            "SERVICE_KEY": CANARIES["header"],
            "OPENROUTER_API_KEY": CANARIES["openrouter"],
            "OPENROUTER_BASE_URL": url,
            "ANTHROPIC_ADMIN_KEY": CANARIES["anthropic"],
            "ANTHROPIC_BASE_URL": url,
            "OPENAI_ADMIN_KEY": CANARIES["openai"],
            "OPENAI_BASE_URL": url,
            "HEARTBEAT_URL": f"{url}/ping/{CANARIES['heartbeat']}",
            "LOG_LEVEL": "DEBUG",
        }


@pytest.fixture
def inbox() -> Iterator[SlackServer]:
    """A Slack that tells its own secrets before it takes anything."""
    with SlackServer(token=CANARIES["bot"], secret=CANARIES["webhook"]) as opened:
        opened.script([SlackReplyStep(status=500, body=" ".join(CANARIES.values()))] * 2)
        yield opened


def bot(inbox: SlackServer) -> dict[str, str]:
    """Both are held; the token is used."""
    return {
        **webhook(inbox),
        "SLACK_BOT_TOKEN": inbox.token,
        "SLACK_CHANNEL": "#alerts",
        "SLACK_API_BASE_URL": inbox.api_url,
    }


def webhook(inbox: SlackServer) -> dict[str, str]:
    return {"SLACK_WEBHOOK_URL": inbox.webhook_url}


def stored(url: str) -> dict[str, str]:
    """Every row of every table and view, as text, by table."""
    tables = [name for (name,) in rows(url, TABLES)]
    return {
        name: "\n".join(text for (text,) in rows(url, f"SELECT t::text FROM {name} AS t"))
        for name in tables
    }


def leaks(texts: Mapping[str, str], *, held: Collection[str] = CANARIES) -> list[str]:
    """Where a canary that was held is found, and which: `log: bot`."""
    return [
        f"{place}: {name}"
        for place, text in texts.items()
        for name in held
        if CANARIES[name].lower() in text.lower()
    ]


@pytest.mark.parametrize("channel", [bot, webhook])
def test_a_worker_lets_no_secret_out(
    tmp_path: Path, database_url: str, planted: dict[str, str], inbox: SlackServer, channel: Channel
) -> None:
    with worker(tmp_path, **planted, **channel(inbox)) as monitor:
        probes = "SELECT 1 FROM observations OFFSET 13"
        eventually(lambda: rows(database_url, probes), 240, "each kind of answer twice")
        inbox.wait_for(lambda notified: [m for m in notified if m.text.startswith("FIRING")], 240)
        read = "SELECT 1 FROM account_readings OFFSET 5"
        eventually(lambda: rows(database_url, read), 120, "accounts read twice")
        assert monitor.stop() == 0, monitor.log()
        log = monitor.log()
    outcomes = {row[0] for row in rows(database_url, "SELECT DISTINCT outcome FROM observations")}
    assert {"answered", "error_event", "http_status", "content_type"} <= outcomes
    assert rows(database_url, "SELECT count(*) FROM outbox WHERE settled_at IS NOT NULL") != [(0,)]
    everything = stored(database_url)
    assert "***" in everything["public.observations"], "what was told is redacted, not lost"
    messages = "\n".join(repr(message) for message in inbox.messages)
    held = CANARIES.keys() - ({"bot"} if channel is webhook else set())
    assert not leaks({**everything, "log": log, "slack": messages}, held=held)


def test_commands_let_no_secret_out(
    tmp_path: Path, database_url: str, planted: dict[str, str], inbox: SlackServer
) -> None:
    transcript = tmp_path / "transcript.jsonl"
    reported: dict[str, str] = {}
    for arguments in (
        ("check",),
        ("probe", "--count", "14", "--store"),
        ("probe", "--count", "14", "--json", "--record", str(transcript)),
        ("test-alert",),
        ("test-alert",),  # once more, now that Slack takes it
        ("incidents", "list"),
    ):
        ended = run_command(tmp_path, *arguments, **planted, **bot(inbox))
        received = ended.stdout + ended.stderr
        reported[arguments[0]] = reported.get(arguments[0], "") + received
        assert "Traceback" not in received, received
    assert "***" in transcript.read_text()
    reported["transcript"] = transcript.read_text()
    reported["slack"] = "\n".join(repr(message) for message in inbox.messages)
    assert "NOTICE test · all" in reported["slack"]
    assert not leaks({**stored(database_url), **reported})


def test_what_is_wrong_is_reported_without_its_secret(
    tmp_path: Path, planted: dict[str, str], inbox: SlackServer
) -> None:
    """A database nobody serves, an address that is none, keys that no header can carry."""
    nowhere = make_url(planted["DATABASE_URL"]).set(host="127.0.0.1", port=9, query={})
    wrong = {
        "dead": {"DATABASE_URL": nowhere.render_as_string(hide_password=False)},
        "unusable": {"DATABASE_URL": f"mysql://u:{CANARIES['database']}@h/d",
                     "SLACK_WEBHOOK_URL": f"ftp://{CANARIES['webhook']}",
                     "OPENROUTER_API_KEY": f"{CANARIES['openrouter']}é\n",
                     "SERVICE_KEY": f"{CANARIES['header']}é\n",
                     "HEARTBEAT_URL": CANARIES["heartbeat"]},
    }  # fmt: skip
    reported = {}
    for what, given in wrong.items():
        for arguments in (("check",), ("probe", "--count", "2"), ("test-alert",)):
            ended = run_command(tmp_path, *arguments, **{**planted, **bot(inbox), **given})
            reported[f"{what}: {arguments[0]}"] = ended.stdout + ended.stderr
    unusable = reported["unusable: check"]
    for name in ("DATABASE_URL", "SLACK_WEBHOOK_URL", "OPENROUTER_API_KEY", "HEARTBEAT_URL"):
        assert name in unusable, "every error is reported at once"
    assert not leaks(reported)
