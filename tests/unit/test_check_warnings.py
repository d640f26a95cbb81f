"""`monitor check` warns of everything that leaves a rule without something to judge.

A table: a whole configuration that warns of nothing, and what each single change makes it say.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from monitor import identity
from monitor.accounts import ACCOUNTS
from monitor.cli import check, check_details, detection_summary, surroundings
from monitor.cli.spend_projection import projection
from monitor.config import Settings, load
from monitor.pricing.book import price_book
from monitor.rules import RULES, DeliveryBacklog

GOOD = """
[targets.rag]
url = "https://rag.example.com"
dialect = "bali_zero"
daily_queries = 300
{target}
expected_models = ["meta-llama/llama-4-scout"]
fallback_models = ["anthropic/claude-haiku-4-5"]
[[targets.rag.queries]]
id = "hi"
text = "Hi"
prompt_tokens = 30
{rest}
"""
ENVIRONMENT = {
    "OPENROUTER_API_KEY": "sk-or-v1-0000",
    "HEARTBEAT_URL": "https://ping.example.com/x",
}
MODELS = ('expected_models = ["meta-llama/llama-4-scout"]\n'
          'fallback_models = ["anthropic/claude-haiku-4-5"]')  # fmt: skip
KEYS = ", ".join(account.key_variable for account in ACCOUNTS.values())
EVERY_DAY = 'days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]'


def settings(tmp_path: Path, *, target: str = "", rest: str = "", models: str = MODELS,
             without: str = "", **more: str) -> Settings:  # fmt: skip
    path = tmp_path / "monitor.toml"
    path.write_text(GOOD.replace(MODELS, models).format(target=target, rest=rest))
    given = {k: v for k, v in ENVIRONMENT.items() if k != without}
    return load({"MONITOR_CONFIG": str(path), **given, **more})


def said(found: Settings) -> list[str]:
    book = price_book(found.file.prices, same=identity.same)
    used = check._used(found, book)
    lines = (*check_details.warnings(found, used), *check.budget_warnings(found, book))
    assert all(line.good is None for line in lines)
    return [f"{line.what}: {line.says}" for line in lines]


def test_a_whole_configuration_warns_of_nothing(tmp_path: Path) -> None:
    assert said(settings(tmp_path)) == []


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        *(({"rest": f"[rules.{name}]\nenabled = false"}, f"rules: switched off: {name}")
          for name in RULES),
        ({"without": "OPENROUTER_API_KEY"}, f"rule key: no provider key is set ({KEYS}): "
         "a rejected or expiring key is not detected"),
        ({"without": "HEARTBEAT_URL"}, "heartbeat: HEARTBEAT_URL is not set: a stopped worker "
         "goes unnoticed"),
        ({"models": MODELS.replace("anthropic/claude-haiku-4-5", "Llama-4-Scout")},
         "models of rag: meta-llama/llama-4-scout: both expected and fallback, so its answers "
         "count as expected: remove it from one list"),
        ({"models": MODELS.partition("\n")[0]}, "models of rag: no fallback_models: a fallback is "
         "detected, but its price and writing style are unknown in advance"),
        ({"models": MODELS.replace("claude-haiku-4-5", "no-such-model-9")},
         "rule spend: no price for anthropic/no-such-model-9: spend is a lower bound; add "
         '[prices."MODEL"]'),
        ({"rest": '[prices."mistral-large"]\ninput = "1"\noutput = "2"'},
         "price of mistral-large: no target declares this model: correct its name if it belongs "
         "to a declared model"),
        ({"target": 'first_token_deadline = "1s"'}, "rule ttft: limit_ms = 1200 is not below "
         "first_token_deadline of rag (1000 ms): a slow answer ends as a timeout first. Lower the "
         "limit, or raise the deadline"),
        ({"rest": f'[[maintenance]]\n{EVERY_DAY}\nfrom = "00:00"\nto = "00:00"'},
         "maintenance 1: never ends: rule all of target all is always silenced. Shorten it"),
        ({"target": 'every = "1s"', "rest": "[probes]\ndaily_budget_usd = 100"},
         "probe budget: probes.max_per_day = 20000 lasts 6 hours a day (86400 probes are due): "
         "raise it, or probe less often"),
        ({"rest": '[probes]\ndaily_budget_usd = "0.0001"'}, "probe budget: $0.0001 a day lasts "),
    ],
)  # fmt: skip
def test_each_blind_spot_is_named(tmp_path: Path, change: dict[str, str], warning: str) -> None:
    found = settings(tmp_path, **change)
    assert [line for line in said(found) if line.startswith(warning)], said(found)


def test_spend_without_traffic_or_key_counts_probes_alone(tmp_path: Path) -> None:
    found = settings(tmp_path, target="#", without="OPENROUTER_API_KEY",
                     MONITOR_TARGETS__RAG__DAILY_QUERIES="0")  # fmt: skip
    assert (
        "rule spend: daily_queries = 0 for rag and no provider key: only probes are "
        "counted; set one of them"
    ) in said(found)


def test_a_window_for_a_rule_that_is_off_is_named(tmp_path: Path) -> None:
    window = f'[[maintenance]]\n{EVERY_DAY}\nfrom = "01:00"\nto = "02:00"\nrule = "ttft"\n'
    found = settings(tmp_path, rest=f"{window}[rules.ttft]\nenabled = false")
    assert "maintenance 1: rule ttft is switched off: remove the window" in said(found)


@pytest.fixture
def no_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run in one."""
    monkeypatch.setattr(surroundings, "CONTAINER_MARKS", ())


@pytest.mark.usefixtures("no_container")
@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"SLACK_WEBHOOK": "x"}, "SLACK_WEBHOOK is not read; did you mean SLACK_WEBHOOK_URL?"),
        ({"SLACK_TOKEN": "x"}, "SLACK_TOKEN is not read; did you mean SLACK_BOT_TOKEN?"),
        ({"HEARTBEATURL": "x"}, "HEARTBEATURL is not read; did you mean HEARTBEAT_URL?"),
        ({"OPENROUTER_KEY": "x"}, "OPENROUTER_KEY is not read; did you mean OPENROUTER_API_KEY?"),
        ({"DATABASE_URI": "x"}, "DATABASE_URI is not read; did you mean DATABASE_URL?"),
        ({"database_url": "x"}, "database_url is not read; did you mean DATABASE_URL?"),
        ({"monitor_probes__max_per_day": "1"},
         "monitor_probes__max_per_day is not read: write it in capitals"),
        ({"SERVICE_KEY": "x", "PATH": "x", "HOME": "x", "FLY_REGION": "x", "LANG": "C"}, None),
        ({"SLACK_TOKEN": "x", "SLACK_BOT_TOKEN": "y"}, None),
    ],
)  # fmt: skip
def test_a_variable_that_no_one_reads_is_named(
    tmp_path: Path, variables: dict[str, str], says: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    found = [line.says for line in surroundings.lines(settings(tmp_path), variables)]
    assert found == ([] if says is None else [says])


@pytest.mark.usefixtures("no_container")
@pytest.mark.parametrize(
    ("variables", "platform"),
    [
        ({"FLY_APP_NAME": "x"}, "a Fly machine"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "a Kubernetes pod"),
        ({"K_SERVICE": "x"}, "a Cloud Run service"),
        ({}, None),
    ],
)
def test_a_database_on_a_disk_that_does_not_last_is_named(
    tmp_path: Path,
    variables: dict[str, str],
    platform: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(surroundings, "_is_mounted", lambda folder: False)
    embedded = [line.says for line in surroundings.lines(settings(tmp_path), variables)]
    assert bool(embedded) is (platform is not None)
    if platform:
        assert embedded[0].startswith(f"the embedded database is on the disk of {platform}, which")
        assert "Set DATABASE_URL, or mount a volume and set MONITOR_HOME" in embedded[0]
    external = settings(tmp_path, DATABASE_URL="postgresql://u:p@db/x", MONITOR_HOME=str(tmp_path))
    assert not list(surroundings.lines(external, variables))
    monkeypatch.setattr(surroundings, "_is_mounted", lambda folder: True)
    assert not list(surroundings.lines(settings(tmp_path), variables))


def test_a_container_is_recognised_by_its_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "_is_mounted", lambda folder: False)
    monkeypatch.setattr(surroundings, "CONTAINER_MARKS", (str(tmp_path),))
    [line] = surroundings.lines(settings(tmp_path), {})
    assert "on the disk of this container" in line.says


def test_identical_answers_are_named_as_those_of_a_cache(tmp_path: Path) -> None:
    [line] = check_details.cached(settings(tmp_path).targets["rag"], {"hi": 24})
    assert line.says.startswith("all 24 answers of the last 7 days to hi are identical. If a cache")


@pytest.mark.usefixtures("no_container")
def test_a_variable_that_a_header_refers_to_is_read(tmp_path: Path) -> None:
    found = settings(tmp_path, target='headers = { A = "${OPENAI_KEY}" }', OPENAI_KEY="k")
    assert not list(surroundings.lines(found, {"OPENAI_KEY": "k"}))


NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("backlog", "good", "says"),
    [
        (DeliveryBacklog(channel="bot"), True, "no message is waiting, nothing was sent yet"),
        (
            DeliveryBacklog(channel="bot", waiting=3, oldest_at=NOW - timedelta(minutes=5)),
            None,
            "3 messages are waiting, the oldest for 5 min, nothing was sent yet: a running worker "
            "sends them",
        ),
        (
            DeliveryBacklog(
                channel="bot",
                waiting=3,
                oldest_at=NOW - timedelta(hours=1),
                broken_since=NOW - timedelta(hours=1),
                broken_why="Slack error no_team",
                last_sent_at=NOW - timedelta(hours=2),
            ),
            False,
            "the channel has refused everything since 2026-11-22 11:00 UTC (Slack error no_team), "
            "3 messages wait, last success 2026-11-22 10:00 UTC: correct its settings, then run "
            "`monitor test-alert --channel bot`",
        ),
    ],
)
def test_messages_that_do_not_arrive_are_named(
    backlog: DeliveryBacklog, good: bool | None, says: str
) -> None:
    line = check_details.delivery(backlog, now=NOW)
    assert (line.good, line.says) == (good, says)


@pytest.mark.parametrize(
    ("listed", "stored", "says"),
    [
        ('"model"', ["model", "provider"], None),
        ('"text", "token count"', ["model"], None),
        ('"modle"', [], None),
        ('"modle"', ["model"],
         'no answer of the last 7 days has the source "modle"; did you mean "model"?'),
        ('"x"', ["model"], 'no answer of the last 7 days has the source "x"; known here: model, '
         "text, token count"),
    ],
)  # fmt: skip
def test_an_untrusted_source_that_no_answer_has_is_named(
    tmp_path: Path, listed: str, stored: list[str], says: str | None
) -> None:
    target = settings(tmp_path, target=f"untrusted = [{listed}]").targets["rag"]
    found = [line.says for line in check_details.untrusted(target, frozenset(stored))]
    assert found == ([] if says is None else [says])


@pytest.mark.parametrize(
    ("status", "good", "words"),
    [
        (200, True, "answers (HTTP 200)"),
        (401, True, "it wants a key"),
        *((one, True, f"is reachable (HTTP {one} without a question, as many chats answer): run "
           "`monitor probe rag`") for one in (400, 404, 405, 410, 415, 422, 500, 501)),
        (307, None, "follow no redirect"),
        (429, None, "limiting requests"),
        (502, None, "is reachable, but HTTP 502: a proxy reports that the service is away"),
    ],
)  # fmt: skip
def test_a_status_that_a_question_would_meet_as_well_is_a_warning_with_a_fix(
    status: int, good: bool | None, words: str
) -> None:
    found, says = check_details.answered(status, "https://rag.example.com", "rag")
    assert found is good
    assert words in says


@pytest.mark.parametrize(
    ("dialect", "path"),
    [
        ('dialect = "bali_zero"', "/v1/bali-zero/chat-stream"),
        ('dialect = "openai_chat"\nmodel = "m"', "/v1/chat/completions"),
        ('dialect = "custom"\noptions = {path = "/ask/{query}", text = "t", done = "close"}', None),
        (
            'dialect = "custom"\noptions = {path = "/ask", query = {q = "{query}"}, text = "t", '
            'done = "close"}',
            "/v1/ask",
        ),
    ],
)
def test_the_address_of_the_probes_is_looked_at_without_a_question(
    dialect: str, path: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "monitor.toml"
    file.write_text(
        f'[targets.rag]\nurl = "https://rag.example.com/v1"\n{dialect}\n'
        'queries = [{id = "hi", text = "Hi"}]'
    )
    target = load({"MONITOR_CONFIG": str(file)}).targets["rag"]
    found = check_details.address_without_question(target)
    assert found == (path and f"https://rag.example.com{path}")


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ("", "cannot be projected, because no model is declared: add targets.rag.expected_models"),
        (
            'expected_models = ["desk"]',
            "expected desk: cannot be projected: no price for desk. Add "
            '[prices."desk"] with input and output in USD per million tokens',
        ),
    ],
)
def test_spend_that_cannot_be_projected_says_what_is_missing(
    models: str, says: str, tmp_path: Path
) -> None:
    text = GOOD.format(target="", rest="").replace(MODELS, models)
    path = tmp_path / "monitor.toml"
    path.write_text(text)
    target = load({"MONITOR_CONFIG": str(path)}).targets["rag"]
    book = price_book({}, same=identity.same)
    assert any(says in line for line in projection(target, book, Decimal(1)))


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("meta-llama/llama-4-scout", True),
        ("gpt-4o-mini", True),
        ("prod-gpt-4o", True),
        ("vicuna-13b", True),  # no known family, but the size of one model
        ("sonar", True),
        ("my-model", False),
        ("default", False),
        ("helpdesk-v1", False),
        ("gpt", False),
        ("acme/helpdesk-7", False),
        ("gpt-rag", False),
    ],
)
def test_a_name_of_the_service_itself_discloses_nothing(
    model: str, known: bool, tmp_path: Path
) -> None:
    path = tmp_path / "monitor.toml"
    path.write_text(
        GOOD.format(target="", rest="").replace(MODELS, f'expected_models = ["{model}"]')
    )
    target = load({"MONITOR_CONFIG": str(path)}).targets["rag"]
    (gap,) = detection_summary.nothing_stored(target).gaps()
    own = gap.startswith(f"{model} is not the name of a model that the monitor knows.")
    assert own is not known
    assert "monitor baseline capture rag" in gap


def test_without_model_and_baseline_there_is_one_advice(tmp_path: Path) -> None:
    path = tmp_path / "monitor.toml"
    path.write_text(GOOD.format(target="", rest="").replace(MODELS, ""))
    target = load({"MONITOR_CONFIG": str(path)}).targets["rag"]
    (gap,) = detection_summary.nothing_stored(target).gaps()
    assert gap.startswith("expected_models is empty and no baseline is captured: no fallback is")
    assert gap.endswith("then run `monitor baseline capture rag` while it answers")
