"""No command shows a secret, whatever is wrong with the setting that holds it, at DEBUG either."""

import base64
from pathlib import Path
from urllib.parse import quote

import pytest

from monitor.cli import run as running
from monitor.worker.scheduler import Worker
from tests.contract.cli import APART, commands, every_third, run
from tests.contract.test_every_command import CONFIGURATION

SECRET = "S3cretW0rd"
PASSWORD = f"p@ss:{SECRET}/?#%"
NOWHERE = "127.0.0.1:1"
WRONG: dict[str, dict[str, str]] = {
    "password parameter": {"DATABASE_URL": f"postgresql://u@{NOWHERE}/d?password={SECRET}"},
    "sslpassword": {"DATABASE_URL": f"postgresql://u@{NOWHERE}/d?sslpassword={SECRET}"},
    "passfile": {"DATABASE_URL": f"postgresql://u@{NOWHERE}/d?passfile=/x/{SECRET}"},
    "parameter that libpq quotes": {
        "DATABASE_URL": f"postgresql://u@{NOWHERE}/d?require_auth={SECRET}"},
    "escaped": {"DATABASE_URL": f"postgresql://u:{quote(PASSWORD, safe='')}@{NOWHERE}/d"},
    "unescaped @": {"DATABASE_URL": f"postgresql://u:p@{SECRET}@{NOWHERE}/d"},
    "unescaped @ and :": {"DATABASE_URL": f"postgresql://u:p@ss:{SECRET}@{NOWHERE}/d"},
    "unescaped /": {"DATABASE_URL": f"postgresql://u:p/{SECRET}@{NOWHERE}/d"},
    "unescaped ?": {"DATABASE_URL": f"postgresql://u:p?{SECRET}@{NOWHERE}/d"},
    "unescaped #": {"DATABASE_URL": f"postgresql://u:p#{SECRET}@{NOWHERE}/d"},
    "unescaped %": {"DATABASE_URL": f"postgresql://u:%zz{SECRET}@{NOWHERE}/d"},
    "no scheme": {"DATABASE_URL": f"u:{SECRET}@{NOWHERE}/d"},
    "other scheme": {"DATABASE_URL": f"mysql://u:{SECRET}@{NOWHERE}/d"},
    "unknown parameter": {"DATABASE_URL": f"postgresql://u@{NOWHERE}/d?passwd={SECRET}"},
    "bad port": {"DATABASE_URL": f"postgresql://u:{SECRET}@127.0.0.1:{SECRET}/d"},
    "webhook": {"SLACK_WEBHOOK_URL": f"http://hooks.example.com/services/{SECRET}"},
    "webhook without scheme": {"SLACK_WEBHOOK_URL": f"hooks.example.com/{SECRET}"},
    "bot without channel": {"SLACK_BOT_TOKEN": f"xoxb-{SECRET}"},
    "key with a line end within": {"OPENROUTER_API_KEY": f"sk-\n{SECRET}"},
    "admin key that is none": {"ANTHROPIC_ADMIN_KEY": f"é{SECRET}"},
    "heartbeat": {"HEARTBEAT_URL": f"ping/{SECRET}"},
    "base address": {"OPENAI_BASE_URL": f"https://u:{SECRET}@api.example.com"},
    "unknown variable": {f"MONITOR_{'TOKEN'}": SECRET},
    "unknown key": {"MONITOR_TARGETS__RAG__API_KEY": SECRET},
    "unknown rule key": {"MONITOR_RULES__TTFT__TOKEN": SECRET},
    "unknown price key": {"MONITOR_PRICES__M__TOKEN": SECRET},
    "target with credentials": {"MONITOR_TARGETS__RAG__URL": f"http://u:{SECRET}@127.0.0.1:1"},
    "target without scheme": {"MONITOR_TARGETS__RAG__URL": f"127.0.0.1:1/?token={SECRET}"},
    "target with a token": {"MONITOR_TARGETS__RAG__URL": f"http://127.0.0.1:1/?key={SECRET}"},
    "proxy": {"MONITOR_TARGETS__RAG__PROXY": f"http://u:{SECRET}@127.0.0.1:1"},
    "proxy by https": {"MONITOR_TARGETS__RAG__PROXY": f"https://u:{SECRET}@127.0.0.1:1"},
    "proxy by socks": {"MONITOR_TARGETS__RAG__PROXY": f"socks5://u:{SECRET}@127.0.0.1:1"},
    "headers as text": {"MONITOR_TARGETS__RAG__HEADERS": f"Authorization: {SECRET}"},
    "header as list": {"MONITOR_TARGETS__RAG__HEADERS__X": f'["{SECRET}"]'},
    "header that HTTP cannot carry": {"MONITOR_TARGETS__RAG__HEADERS__X": f"é {SECRET}"},
    "header": {"MONITOR_TARGETS__RAG__HEADERS__X_TEAM": SECRET},
    "basic": {"MONITOR_TARGETS__RAG__HEADERS__AUTHORIZATION":
              "Basic " + base64.b64encode(f"u:{SECRET}".encode()).decode()},
    "option that is quoted": {"MONITOR_TARGETS__RAG__OPTIONS__PATH": f"x y?k={SECRET}"},
    "options as text": {"MONITOR_TARGETS__RAG__OPTIONS": SECRET},
    "unknown option": {"MONITOR_TARGETS__RAG__OPTIONS__TOKEN": SECRET},
    "health page": {"MONITOR_TARGETS__RAG__HEALTH__URL": f"http://127.0.0.1:1/h?token={SECRET}"},
    "health page as path": {"MONITOR_TARGETS__RAG__HEALTH__URL": f"/h?token={SECRET}"},
    "runbook": {"MONITOR_SLACK__RUNBOOK_URL": f"https://u:{SECRET}@runbook.example.com"},
    "proxy of the environment": {"HTTPS_PROXY": f"http://u:{SECRET}@127.0.0.1:1",
                                 "HTTP_PROXY": f"http://u:{SECRET}@127.0.0.1:1",
                                 "OPENROUTER_API_KEY": "sk-word",
                                 "OPENROUTER_BASE_URL": "https://api.example.invalid"},
}  # fmt: skip
COMMANDS = [name for name in commands() if name not in APART]
# What else is asked for the sake of a setting, by far the slowest, is asked for some of them.
NEEDED = ("check", "probe", "run", "migrate", "test-alert", "report", "incidents list")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` ends where it would begin to probe."""

    async def live(self: Worker) -> None:
        pass

    monkeypatch.setattr(running, "SCHEMA_WAIT_S", 0)
    monkeypatch.setattr(Worker, "live", live)


def forms(secret: str) -> set[str]:
    """The secret as it is, percent-encoded, and in base64 with what may stand around it."""
    plain = {secret, quote(secret, safe="")}
    return plain | {base64.b64encode(f"u:{one}".encode()).decode() for one in plain}


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", WRONG)
def test_no_command_shows_the_secret(tmp_path: Path, case: str, every: bool) -> None:
    (tmp_path / "monitor.toml").write_text(CONFIGURATION)
    given = {"DATABASE_URL": f"postgresql://u@{NOWHERE}/d", "LOG_LEVEL": "DEBUG", **WRONG[case]}
    requested = COMMANDS if case.startswith("pass") else NEEDED
    for command in (
        requested if every else every_third(requested, list(WRONG).index(case), "check", "run")
    ):
        ended = run(command, home=tmp_path, **given)
        assert ended.error is None, f"{command}: {ended.error!r}"
        shown = ended.said.lower()
        for form in forms(SECRET) | forms(PASSWORD):
            assert form.lower() not in shown, f"{command}: {ended.said}"
        assert "Traceback" not in ended.said, f"{command}: {ended.said}"
