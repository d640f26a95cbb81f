"""The worker on something nobody here wrote: LiteLLM's proxy, its fallback, its own headers.

Two proxies: the front one serves group `llama` from the back one and falls back to a mock
Haiku. Killing the back one is what a rejected key looks like from outside: chat goes on.
"""

import fcntl
import hashlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from monitor.simulator.slack_server import SlackServer
from tests.e2e.worker_process import eventually, rows, slack, worker

ROOT = Path(__file__).parents[2]
LOCK = Path(__file__).with_name("litellm.lock")

BACK = """
model_list:
  - model_name: meta-llama/llama-4-scout
    litellm_params:
      model: openrouter/meta-llama/llama-4-scout
      api_key: none
      mock_response: "Hello! I can help you to open a company in Bali."
"""

FRONT = """
model_list:
  - model_name: llama
    litellm_params:
      model: openai/meta-llama/llama-4-scout
      api_base: http://127.0.0.1:{back}/v1
      api_key: none
      max_retries: 0
      timeout: 5
  - model_name: haiku
    litellm_params:
      model: anthropic/claude-3-5-haiku-20241022
      api_key: none
      mock_response: "Hi there. How may I help you with your company today?"
router_settings: {{num_retries: 0, disable_cooldowns: true}}
litellm_settings:
  num_retries: 0
  fallbacks: [{{"llama": ["haiku"]}}]
"""

CONFIG = """
[targets.litellm]
url = "http://127.0.0.1:{front}"
dialect = "openai_chat"
model = "llama"
every = "1s"
persona = false
expected_models = ["meta-llama/llama-4-scout"]
fallback_models = ["anthropic/claude-3-5-haiku-20241022"]

[[targets.litellm.queries]]
id = "hi"
text = "Hi"

[[targets.litellm.queries]]
id = "hello"
text = "Hello there"

[probes]
daily_budget_usd = "100"

[digest]
enabled = false
"""


@pytest.fixture(scope="module")
def litellm() -> Path:
    """LiteLLM in a virtual environment of its own, made once per lock."""
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = ROOT / ".venv-litellm"
    home.mkdir(exist_ok=True)
    with (home / "lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        mark = home / f"installed-{digest}"
        if not mark.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", home / "env"], check=True)
            install = ("-m", "pip", "install", "-qq", "--no-deps", "--require-hashes", "-r", LOCK)
            subprocess.run([home / "env/bin/python", *install], check=True)
            mark.touch()
    return home / "env/bin/litellm"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def proxy(litellm: Path, home: Path, name: str, config: str, port: int) -> Iterator[None]:
    path = home / f"{name}.yaml"
    path.write_text(config)
    clean = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    environment = clean | {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    with (home / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(
            [litellm, "--config", path, "--host", "127.0.0.1", "--port", str(port)],
            env=environment, stdout=log, stderr=log, cwd=home,
        )  # fmt: skip
        try:
            _await_life(port, child)
            yield
        finally:
            child.terminate()
            try:
                child.wait(60)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(60)


def _await_life(port: int, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert child.poll() is None, "litellm ended at start; its log lies in the test's folder"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError("litellm did not answer within 120 s")


@pytest.mark.slow
def test_a_fallback_behind_litellm_is_seen_reported_and_resolved(
    litellm: Path, tmp_path: Path, database_url: str
) -> None:
    back, front = free_port(), free_port()
    (tmp_path / "monitor.toml").write_text(CONFIG.format(front=front))

    def count(where: str) -> int:
        [(found,)] = rows(database_url, f"SELECT count(*) FROM observations WHERE {where}")
        return int(found)

    with (
        SlackServer() as inbox,
        proxy(litellm, tmp_path, "front", FRONT.format(back=back), front),
        ExitStack() as primary,
    ):
        primary.enter_context(proxy(litellm, tmp_path, "back", BACK, back))
        with worker(tmp_path, DATABASE_URL=database_url, **slack(inbox)) as monitor:
            eventually(lambda: count("identity = 'expected'") >= 20 or None, 120,
                       "ten rounds answered by the expected model")  # fmt: skip
            assert count("identity <> 'expected'") == 0
            assert inbox.messages == []

            primary.close()  # the primary is switched off
            inbox.wait_for(lambda notified: notified or None, 240)
            [message] = inbox.messages
            assert message.text.startswith("FIRING #1 fallback · litellm: ")
            assert "claude-3-5-haiku" in message.text
            assert count("identity = 'fallback' AND fallback") >= 3

            with proxy(litellm, tmp_path, "back again", BACK, back):
                resolved = "RESOLVED #1 fallback · litellm: "
                inbox.wait_for(lambda notified: notified[0].text.startswith(resolved) or None, 240)
            assert len(inbox.messages) == 1, "one incident is one message, edited in place"
            assert monitor.stop() == 0
    [(opened, resolved_at)] = rows(
        database_url, "SELECT opened_at, resolved_at FROM incidents WHERE rule = 'fallback'"
    )
    assert resolved_at > opened
    [(detected,)] = rows(
        database_url, "SELECT DISTINCT model_detected FROM observations WHERE identity = 'fallback'"
    )
    assert "claude-3-5-haiku" in detected
