"""One invalid configuration per fault, with the exact words a person reads."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from monitor.config import ConfigErrors, Settings, load
from monitor.rules import ProbeBudgetRule, TtftRule
from tests.case_tables import each

ROOT = Path(__file__).parents[2]

GOOD = """
[targets.rag]
url = "https://rag.example.com"
dialect = "bali_zero"
[[targets.rag.queries]]
id = "hi"
text = "Hi"
"""


def settings(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "monitor.toml"
    path.write_text(text)
    return load({"MONITOR_CONFIG": str(path), **environ})


def faults(tmp_path: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigErrors) as raised:
        settings(tmp_path, text, **environ)
    return [str(fault) for fault in raised.value.faults]


@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        ("", {}, "targets: no target; add [targets.NAME] with url, dialect and "
         "[[targets.NAME.queries]]"),
        (GOOD.replace("dialect =", "evry ="), {},
         'targets.rag.evry: unknown key; did you mean "every"?'),
        (GOOD.replace('url = "https://rag.example.com"', "url = 7"), {},
         "targets.rag.url = 7: write a text in quotes"),
        (GOOD.replace("https://", "ftp://"), {},
         'targets.rag.url = "ftp://rag.example.com": write a whole address, such as '
         "https://rag.example.com"),
        (GOOD.replace("https://", "https://me:pw@"), {},
         'targets.rag.url = "https://***@rag.example.com": an address must not contain '
         "credentials: put them into headers"),
        (GOOD.replace('"https://rag.example.com"', '"http://169.254.169.254/"'), {},
         'targets.rag.url = "http://169.254.169.254/": a cloud metadata address cannot be '
         'a target'),
        (GOOD + "every = 5\n", {}, "targets.rag.queries.0.every: unknown key; known here: "
         "expect, id, identity, prompt_tokens, stop_after_chars, text"),
        (GOOD.replace("[[", 'every = "5"\n[['), {},
         'targets.rag.every = "5": write a duration such as "30s", "5m" or "1h30m"'),
        (GOOD.replace("[[", 'every = "200ms"\n[['), {},
         'targets.rag.every = "200ms": must be at least 1s'),
        (GOOD.replace("[targets.rag", "[targets.Rag"), {},
         'targets.Rag: use 1 to 64 of a-z, 0-9, _ . -'),
        (GOOD.replace("bali_zero", "bali_one"), {}, None),
        (GOOD + "[rules.tfft]\n", {}, 'rules.tfft: unknown rule; did you mean "ttft"?'),
        (GOOD + "[rules.ttft]\nlimit = 5\n", {},
         'rules.ttft.limit: unknown key; did you mean "limit_ms"?'),
        (GOOD + "[rules.ttft]\nlimit_ms = -5\n", {},
         "rules.ttft: limit_ms = -5.0: write a number above 0"),
        (GOOD + '[rules.spend]\ntimezone = "Mars"\n', {},
         "rules.spend: timezone = 'Mars': write a zone such as \"UTC\" or \"Europe/Rome\""),
        (GOOD + '[rules.ttft]\nmode = "often"\n', {},
         "rules.ttft.mode = \"often\": write 'evidence', 'consecutive' or 'immediate'"),
        (GOOD, {"MONITOR_RULES__TTFT__LIMIT_MS": "soon"},
         'MONITOR_RULES__TTFT__LIMIT_MS = "soon": write a number such as 4 or "0.5": digits and a '
         "point, without unit or separators"),
        (GOOD, {"MONITOR_COLOUR": "blue"},
         "MONITOR_COLOUR: unknown variable; write MONITOR_<SECTION>__<KEY> with a section of "
         "monitor.toml, or unset it"),
        (GOOD, {"MONITOR_PROBES__BUDGET": "1"},
         "MONITOR_PROBES__BUDGET: unknown key; known here: daily_budget_usd, max_concurrent, "
         "max_per_day, thin_out"),
        (GOOD, {"DATABASE_URL": "mysql://u:secret@h/d"},
         'DATABASE_URL = "mysql://***": write postgresql://user:password@host:5432/database'),
        (GOOD, {"SLACK_WEBHOOK_URL": "http://hooks.example.com/x"},
         'SLACK_WEBHOOK_URL = "http://***": write the whole https address'),
        (GOOD, {"SLACK_BOT_TOKEN": "xoxb-1"},
         "SLACK_CHANNEL: SLACK_BOT_TOKEN is set, SLACK_CHANNEL is not: name the channel's id"),
        (GOOD, {"LOG_LEVEL": "LOUD"},
         "LOG_LEVEL = \"LOUD\": write 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        (GOOD.replace("[[", 'headers = { Authorization = "Bearer ${NO_SUCH}" }\n[['), {},
         "targets.rag.headers.Authorization: ${NO_SUCH} is not set in the environment"),
    ],
)  # fmt: skip
def test_a_fault_names_key_value_and_remedy(
    tmp_path: Path, text: str, environ: dict[str, str], message: str | None
) -> None:
    found = faults(tmp_path, text, **environ)
    if message is None:
        assert found[0].startswith('targets.rag.dialect = "bali_one"')
        assert "bali_zero" in found[0]
    else:
        assert message in found


def test_every_fault_of_the_options_is_a_line_of_its_own(tmp_path: Path) -> None:
    text = GOOD.replace('"bali_zero"', '"custom"').replace(
        "[[", '[targets.rag.options]\ntext = "a"\n[['
    )
    start = "targets.rag.options."
    assert faults(tmp_path, text) == [
        f"{start}query: {{query}} is missing; put it into query, body or path",
        f'{start}done: missing; an expression must find it in the events; or "close", where only '
        "the end of the body is an end",
    ]


def test_faults_of_one_section_hide_none_of_another(tmp_path: Path) -> None:
    path = tmp_path / "monitor.toml"
    path.write_text("""
[targets.a]
url = "http://a"
dialect = "custom"
evry = "5m"
expected_models = ["", "m"]
[targets.a.headers]
X-Key = "${NOT_SET}"
[targets.a.options]
txt = "t"
[targets.b]
dialect = "openai_chat"
url = "ftp://b"
[targets.b.headers]
Content-Length = "3"
[targets.c]
url = "http://c"
[targets.c.headers]
X-Key = "${NOT_SET}"
[[maintenance]]
target = "d"
days = ["mon"]
from = "01:00"
to = "02:00"
""")
    with pytest.raises(ConfigErrors) as caught:
        load({"MONITOR_CONFIG": str(path)})
    keys = {fault.key for fault in caught.value.faults}
    assert keys >= {
        "targets.a.evry",
        "targets.a.expected_models.0",
        "targets.a.queries",
        "targets.a.headers.X-Key",
        "targets.a.options.txt",
        "targets.a.options.text",
        "targets.a.options.done",
        "targets.a.options.query",
        "targets.b.url",
        "targets.b.queries",
        "targets.b.headers.Content-Length",
        "targets.c.dialect",
        "targets.c.queries",
    }
    assert len(caught.value.faults) == len({str(fault) for fault in caught.value.faults})


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("https://", "ftp://") + "[rules.tfft]\n[probes]\ndaily = 1\n"
    found = faults(tmp_path, text, LOG_LEVEL="LOUD", MONITOR_X="1", DATABASE_URL="x")
    assert len(found) == 6


def test_a_file_that_is_missing_or_no_toml_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="no such file: correct MONITOR_CONFIG"):
        load({"MONITOR_CONFIG": str(tmp_path / "nowhere.toml")})
    assert "is not TOML" in faults(tmp_path, "targets = [")[0]


def test_without_a_configuration_the_first_step_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigErrors) as raised:
        load({})
    assert str(raised.value) == (
        "No configuration: MONITOR_CONFIG names no file and ./monitor.toml does not exist. "
        "Create one with `monitor init`, or start from a file in examples/."
    )


def test_a_variable_may_hold_the_whole_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "monitor.toml").write_text("targets = [")  # the variable wins over the usual file
    given = {"MONITOR_CONFIG_TOML": f"\n{GOOD}", "MONITOR_TARGETS__RAG__EVERY": "1m"}
    loaded = load(given)
    assert loaded.targets["rag"].every == timedelta(minutes=1)
    assert (loaded.source, load({**given, "MONITOR_CONFIG": ""}).source) == (
        ("MONITOR_CONFIG_TOML",) * 2
    )


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"MONITOR_CONFIG_TOML": "targets = ["}, "MONITOR_CONFIG_TOML: is not TOML: Invalid value"),
        ({"MONITOR_CONFIG_TOML": GOOD, "MONITOR_CONFIG": "monitor.toml"},
         "MONITOR_CONFIG_TOML: MONITOR_CONFIG is set, too: unset one of them"),
        ({"MONITOR_CONFIG_TOML": " \n"}, "No configuration: MONITOR_CONFIG names no file"),
    ],
)  # fmt: skip
def test_a_configuration_in_a_variable_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigErrors) as raised:
        load(environ)
    assert str(raised.value).startswith(message)


def test_a_variable_lies_over_the_file_and_money_stays_exact(tmp_path: Path) -> None:
    text = GOOD + "[rules.ttft]\nlimit_ms = 900\n[probes]\ndaily_budget_usd = 0.1\n"
    loaded = settings(
        tmp_path, text, MONITOR_RULES__TTFT__LIMIT_MS="1500", MONITOR_TARGETS__RAG__EVERY="1s"
    )
    assert isinstance(rule := loaded.rules["ttft"], TtftRule)
    assert rule.limit_ms == 1500
    assert loaded.targets["rag"].every == timedelta(seconds=1)
    assert loaded.file.probes.daily_budget_usd == Decimal("0.1")


def test_probing_stops_where_it_says_it_stops(tmp_path: Path) -> None:
    loaded = settings(tmp_path, GOOD + '[probes]\ndaily_budget_usd = "0.25"\nmax_per_day = 9\n')
    assert isinstance(rule := loaded.rules["probe_budget"], ProbeBudgetRule)
    assert (rule.limit_usd, rule.limit_probes) == (Decimal("0.25"), 9)


def test_a_rule_can_be_switched_off(tmp_path: Path) -> None:
    assert "spend" not in settings(tmp_path, GOOD + "[rules.spend]\nenabled = false\n").rules


def test_secrets_are_known_for_redaction_and_shown_nowhere(tmp_path: Path) -> None:
    text = GOOD.replace("[[", 'headers = { Authorization = "Bearer ${RAG}", X-Env = "live" }\n[[')
    loaded = settings(tmp_path, text, RAG="canary-rag", SLACK_WEBHOOK_URL="https://s/canary-hook")
    assert set(loaded.secrets) == {"Bearer canary-rag", "https://s/canary-hook", "canary-hook"}
    assert "canary" not in repr(loaded)
    assert "canary" not in repr(loaded.targets["rag"])


@pytest.mark.parametrize(
    ("header", "value", "secret"),
    [
        ("X-Team", "w0rd-of-ours", True),  # no word of any language
        ("X-Team", "monitor", False),  # said by services all the time
        ("X-Password", "monitor", True),
        ("Content-Type", "application/vnd.api.v2+json", False),
    ],
)
def test_a_literal_header_is_a_secret_unless_it_is_an_ordinary_word(
    tmp_path: Path, header: str, value: str, secret: bool
) -> None:
    text = GOOD.replace("[[", f'headers = {{ {header} = "{value}" }}\n[[')
    assert (value in settings(tmp_path, text).secrets) is secret


def test_each_parameter_of_a_header_is_a_secret(tmp_path: Path) -> None:
    text = GOOD.replace(
        "[[", """headers = { X-Auth = 'Digest user="me", response="s3cr3t"' }\n[["""
    )
    assert "s3cr3t" in settings(tmp_path, text).secrets


@pytest.mark.parametrize(
    "wrong",
    [
        '[rules.ttft]\nenabled = ["S3cretW0rd"]',
        'S3cretW0rd = 1',
        '[rules.S3cretW0rd]',
        '[targets.rag.options]\npath = ["x?k=S3cretW0rd"]',
        '[targets.rag.options]\nbody = "user S3cretW0rd"',
        '[targets.rag.options]\nbody = { user = "S3cretW0rd" }\npath = ["x"]\nS3cretW0rd = 1',
    ],
)  # fmt: skip
def test_a_fault_shows_nothing_that_may_be_a_secret_in_a_wrong_place(
    tmp_path: Path, wrong: str
) -> None:
    good = GOOD.replace('"bali_zero"', '"openai_chat"\nmodel = "m"')
    text = f"{wrong}\n{good}" if "=" in wrong.splitlines()[0] else f"{good}\n{wrong}\n"
    found = faults(tmp_path, text)
    assert found
    assert "S3cretW0rd" not in "\n".join(found)


def test_what_options_send_is_redacted_and_a_model_is_not(tmp_path: Path) -> None:
    body = 'body = { user = "S3cretW0rd", model = "Mixtral8x7B-Instruct" }'
    text = GOOD.replace("bali_zero", "langgraph")
    held = settings(tmp_path, f"{text}\n[targets.rag.options]\n{body}\n").secrets
    assert "S3cretW0rd" in held
    assert not any("Mixtral" in secret for secret in held)


SOURCED = """
[targets.rag]
url = "https://rag.example.com"
dialect = "{dialect}"
model = "m"
queries = [{{ id = "hi", text = "Hi", expect = {{ sources_at_least = 2 }} }}]
{options}
"""
STREAM = '[targets.rag.options]\nbody = {q = "{query}"}\ntext = "text"\ndone = "done"\n'


@each(("dialect", "options", "wrong"), [
    ("bali_zero", "", None),
    ("openai_chat", "", None),
    ("ollama", "", "answers in dialect ollama list no sources: remove it"),
    ("anthropic_messages", "", "answers in dialect anthropic_messages list no sources: remove it"),
    ("custom", STREAM, "answers in dialect custom list no sources: name their expression in option "
     "`sources`, or remove it"),
    ("custom", STREAM + 'sources = "docs"', None),
])  # fmt: skip
def test_sources_are_expected_only_where_answers_can_list_them(
    tmp_path: Path, dialect: str, options: str, wrong: str | None
) -> None:
    text = SOURCED.format(dialect=dialect, options=options)
    key = "targets.rag.queries.0.expect.sources_at_least = 2"
    if wrong is None:
        settings(tmp_path, text)
    else:
        assert faults(tmp_path, text) == [f"{key}: {wrong}"]


def test_the_hash_changes_with_what_is_watched_and_not_with_secrets(tmp_path: Path) -> None:
    one = settings(tmp_path, GOOD)
    same = settings(tmp_path, GOOD, SLACK_WEBHOOK_URL="https://s/hook")
    other = settings(tmp_path, GOOD.replace('"Hi"', '"Hello"'))
    assert one.config_hash == same.config_hash != other.config_hash


def test_the_hash_of_a_target_changes_with_what_can_change_its_answers_alone(
    tmp_path: Path,
) -> None:
    one = settings(tmp_path, GOOD).hash_of("rag")
    second = GOOD.replace("targets.rag", "targets.two").replace("[rules", "[unused_rules")
    neighbour = second[second.index("[targets.two") :].split("\n[rules")[0]
    for text, same in (
        (f"{GOOD}\n{neighbour}", True),
        (f"{GOOD}\n[probes]\nmax_per_day = 999\n", True),
        (GOOD.replace('dialect = "bali_zero"', 'dialect = "bali_zero"\nevery = "9m"'), True),
        (f"{GOOD}\n[rules.answer_check]\nrounds = 4\n", False),
        (GOOD.replace('"Hi"', '"Hello"'), False),
    ):
        assert (settings(tmp_path, text).hash_of("rag") == one) is same, text


def test_the_parts_that_make_an_address_secret_are_secrets_too(tmp_path: Path) -> None:
    loaded = settings(
        tmp_path, GOOD,
        DATABASE_URL="postgresql://monitor:pass%40word@db/monitor",
        SLACK_WEBHOOK_URL="https://hooks.slack.com/services/T000/B000/hook7Secret",
        HEARTBEAT_URL="https://hc-ping.com/1b4e28ba/log",
    )  # fmt: skip
    assert {"pass%40word", "pass@word", "hook7Secret", "1b4e28ba"} <= set(loaded.secrets)
    assert not {"monitor", "services", "log"} & set(loaded.secrets)


def test_prices_of_ones_own_need_no_source(tmp_path: Path) -> None:
    own = '[prices."acme/model"]\ninput = "0.20"\noutput = "0.20"\n'
    assert settings(tmp_path, GOOD + own).file.prices["acme/model"]["input"] == "0.20"


@pytest.mark.parametrize(
    ("query", "direct"),
    [
        ('text = "Which AI model are you?"', True),  # as its words say
        ('text = "Hi"', False),
        ('text = "Which AI model are you?"\nidentity = false', False),  # a person knows better
        ('text = "Introduce yourself"\nidentity = true', True),
    ],
)
def test_a_query_asks_directly_as_its_words_or_a_person_say(
    tmp_path: Path, query: str, direct: bool
) -> None:
    target = settings(tmp_path, GOOD.replace('text = "Hi"', query)).targets["rag"]
    assert target.queries[0].identity is direct


def test_reasoning_tags_are_names_or_pairs(tmp_path: Path) -> None:
    def tagged(value: str) -> str:
        return GOOD.replace("[[targets", f"reasoning_tags = {value}\n[[targets")

    target = settings(tmp_path, tagged('["think", ["", "</think>"]]')).targets["rag"]
    assert target.reasoning_tags == ("think", ("", "</think>"))
    [fault] = faults(tmp_path, tagged('[["<a>"]]'))
    assert "must be an opening and a closing tag" in fault
