"""Each mistake in file and environment is answered by one sentence that names key and remedy.

Nothing that stands in the configuration is accepted and then ignored.
"""

from pathlib import Path

import pytest

from monitor.config import ConfigErrors, Settings, load

BASE = """
[targets.my-rag]
url = "https://rag.example.com/v1"
dialect = "openai_chat"
{target}
[[targets.my-rag.queries]]
id = "hi"
text = "Hi"
{rest}
"""
MONEY = 'write dollars as "0.50": digits and a point, without a sign or a unit'
NUMBER = 'write a number such as 4 or "0.5": digits and a point, without unit or separators'
WHOLE = "write a whole number such as 20000, without unit or separators"
PROXY = "write a proxy as http://proxy:3128 or http://user:password@proxy:3128"
REFERENCE = (
    "${NAME} is replaced in headers and channels only: write the value itself, or set it by its "
    "variable, MONITOR_<SECTION>__<KEY>"
)


def settings(tmp_path: Path, target: str = "", rest: str = "", **environ: str) -> Settings:
    path = tmp_path / "monitor.toml"
    path.write_text(BASE.format(target=target, rest=rest))
    return load({"MONITOR_CONFIG": str(path), **environ})


def refused(tmp_path: Path, target: str = "", rest: str = "", **environ: str) -> list[str]:
    with pytest.raises(ConfigErrors) as raised:
        settings(tmp_path, target, rest, **environ)
    return [str(fault).removeprefix("targets.my-rag.") for fault in raised.value.faults]


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ('expected_models = [""]', 'expected_models.0 = "": must not be empty'),
        ("expected_models = [1]", "expected_models.0 = 1: write a text in quotes"),
        ('model = " "', 'model = "": must not be empty'),
        ('model = "${MODEL}"', f'model = "${{MODEL}}": {REFERENCE}'),
        ('ca_file = ""', 'ca_file = "": must not be empty'),
        ('ca_file = "${HOME}/ca.pem"', f'ca_file = "${{HOME}}/ca.pem": {REFERENCE}'),
        ('chars_per_token = "4,0"', f'chars_per_token = "4,0": {NUMBER}'),
        ("chars_per_token = 21", "chars_per_token = 21: must be less than or equal to 20"),
        ("daily_queries = 1.5", f"daily_queries = 1.5: {WHOLE}"),
        ('daily_queries = "many"', f'daily_queries = "many": {WHOLE}'),
        ('every = "99999999999d"', 'every = "99999999999d": a duration is at most 36500d'),
        ('every = "200ms"', 'every = "200ms": must be at least 1s'),
        ("headers = { X = 1 }", "headers.X: write a text in quotes"),
        ('headers = { X = "${EMPTY}" }', "headers.X: ${EMPTY} is empty in the environment"),
        ('headers = { X = "${}" }',
         "headers.X: write ${NAME}, with the name of an environment variable"),
        ('headers = { X = "${a-b}" }',
         "headers.X: write ${NAME}, with the name of an environment variable"),
        ('headers = { X = "Bearer $EMPTY" }', "headers.X: write ${EMPTY}: without braces the "
         "text is sent literally"),
        ('headers = { X = "1", x = "2" }', "headers.x: is given twice: remove one"),
        ('headers = { Content-Length = "1" }',
         "headers.Content-Length: is set by the monitor for each request: remove it"),
        ("health = { expect = [\"status\"] }",
         "health: url is missing: add it, or remove the section"),
        ('health = { every = "1m" }',
         "health: url is missing: add it, or remove the section"),
        ('health = { url = "" }', 'health.url = "": must not be empty'),
        ('health = { url = "/h", every = "1ms" }', 'health.every = "1ms": must be at least 1s'),
        ('health = { url = "ftp://x/h" }',
         "targets.my-rag: health.url: write a whole address, such as https://rag.example.com"),
        ('health = { url = "http://u:pw@x/h" }', "targets.my-rag: health.url: an "
         "address must not contain credentials: put them into headers"),
        ("options = { foo = 1 }", "options.foo: unknown; known: body, path"),
        ('proxy = "proxy:3128"', 'proxy = "proxy:3128": only proxies at http:// addresses are '
         f"supported: {PROXY}"),
        ('proxy = "https://proxy"', 'proxy = "https://proxy": only proxies at http:// addresses '
         f"are supported: {PROXY}"),
        ('proxy = "socks5://proxy"', 'proxy = "socks5://proxy": only proxies at http:// addresses '
         f"are supported: {PROXY}"),
        ('proxy = "http://proxy/x"',
         f'proxy = "http://proxy/x": a proxy address must end after the port: {PROXY}'),
        ('proxy = "http://proxy?x=1"',
         f'proxy = "http://proxy?x=1": a proxy address must end after the port: {PROXY}'),
        ("proxy = 3128", "proxy = 3128: write a text in quotes"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_target(tmp_path: Path, target: str, sentence: str) -> None:
    assert refused(tmp_path, target, EMPTY="") == [sentence]


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        ("[targets.b]\nurl = \"http://x\"\ndialect = \"bali_zero\"", "targets.b.queries: missing; "
         "add a section [[targets.b.queries]] with id and text for each query"),
        ("[targets.b]\nurl = \"http://x\"\ndialect = \"bali_zero\"\nqueries = []",
         "targets.b.queries: missing; add a section [[targets.b.queries]] with id and text for "
         "each query"),
        ('[[targets.my-rag.queries]]\nid = "b"',
         "queries.1.text: missing; add `text = …` under [[targets.my-rag.queries]] number 2"),
        ('[[targets.my-rag.queries]]\nid = "b"\ntext = " "',
         'queries.1.text = "": must not be empty'),
        ('[[maintenance]]\nfrom = "01:00"\nto = "02:00"',
         "maintenance.0.days: missing; add `days = …` under [[maintenance]] number 1"),
        ('[[maintenance]]\ndays = []\nfrom = "01:00"\nto = "02:00"',
         "maintenance.0.days: write at least one entry"),
        ('[targets.B]\nurl = "http://x"\ndialect = "bali_zero"\nqueries = [{id="a", text="b"}]',
         "targets.B: use 1 to 64 of a-z, 0-9, _ . -"),
        ('[probes]\ndaily_budget_usd = "0,50"', f'probes.daily_budget_usd = "0,50": {MONEY}'),
        ('[probes]\ndaily_budget_usd = "$0.50"', f'probes.daily_budget_usd = "$0.50": {MONEY}'),
        ('[probes]\ndaily_budget_usd = "0.50 USD"',
         f'probes.daily_budget_usd = "0.50 USD": {MONEY}'),
        ('[probes]\ndaily_budget_usd = "nan"',
         'probes.daily_budget_usd = "nan": write a finite number'),
        ('[probes]\ndaily_budget_usd = "1e999"',
         'probes.daily_budget_usd = "1e999": must be less than or equal to 1000000000'),
        ("[probes]\ndaily_budget_usd = 0", "probes.daily_budget_usd = 0: must be greater than 0"),
        ('[probes]\nmax_per_day = "1,000"', f'probes.max_per_day = "1,000": {WHOLE}'),
        ("[metrics]\nport = 80.5", f"metrics.port = 80.5: {WHOLE}"),
        ('[metrics]\nport = 80\nhost = "a b"', 'metrics.host = "a b": write an address or a host '
         'name without port, such as "127.0.0.1"'),
        ('[accounts]\nevery = "1ms"', 'accounts.every = "1ms": must be at least 1s'),
        ('[storage]\nkeep_raw = "1d"\nkeep_excerpts = "7d"', "storage: keep_excerpts is longer "
         "than keep_raw, after which the whole row is deleted: raise keep_raw"),
        ('[prices.x]\ninput = "0,20"\noutput = "1"', "prices.x.input = 0,20: write dollars in "
         'quotes as "0.20": digits and a point, without a sign or a unit'),
        ('[prices.x]\ninput = "$0.20"\noutput = "1"', "prices.x.input = $0.20: write dollars in "
         'quotes as "0.20": digits and a point, without a sign or a unit'),
    ],
)  # fmt: skip
def test_a_mistake_in_another_section(tmp_path: Path, rest: str, sentence: str) -> None:
    assert refused(tmp_path, rest=rest) == [sentence]


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"MONITOR_METRICS__PORT": ""},
         f'MONITOR_METRICS__PORT = "": the value is empty: {WHOLE}'),
        ({"MONITOR_PROBES__DAILY_BUDGET_USD": "0,50"},
         f'MONITOR_PROBES__DAILY_BUDGET_USD = "0,50": {MONEY}'),
        ({"MONITOR_TARGETS__MY_RGA__EVERY": "1m"},
         'MONITOR_TARGETS__MY_RGA__EVERY: unknown target; did you mean "my-rag"?'),
        ({"MONITOR_RULES__TTFT__LIMIT_MS": "1500ms"},
         f'MONITOR_RULES__TTFT__LIMIT_MS = "1500ms": {NUMBER}'),
        ({"SLACK_BOT_TOKEN": "'xoxb 1'", "SLACK_CHANNEL": "C1"},
         "SLACK_BOT_TOKEN = ***: contains characters that no key has, such as a space: "
         "copy it again"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_environment(
    tmp_path: Path, environ: dict[str, str], sentence: str
) -> None:
    assert refused(tmp_path, **environ) == [sentence]


def test_a_variable_reaches_a_target_whose_name_no_variable_can_hold(tmp_path: Path) -> None:
    loaded = settings(tmp_path, MONITOR_TARGETS__MY_RAG__DAILY_QUERIES="7")
    assert loaded.targets["my-rag"].daily_queries == 7


def test_a_variable_can_add_a_whole_target(tmp_path: Path) -> None:
    loaded = settings(
        tmp_path,
        MONITOR_TARGETS__OTHER__URL="http://other.example.com",
        MONITOR_TARGETS__OTHER__DIALECT="bali_zero",
        MONITOR_TARGETS__OTHER__QUERIES='[{ id = "hi", text = "Hi" }]',
    )
    assert sorted(loaded.targets) == ["my-rag", "other"]


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_that_an_env_file_kept_are_no_part_of_a_value(tmp_path: Path, quote: str) -> None:
    given = {"DATABASE_URL": "postgresql://u:pw1word@h/d", "SLACK_BOT_TOKEN": "xoxb-1",
             "SLACK_CHANNEL": "C1", "LOG_LEVEL": "debug", "HEARTBEAT_URL": "https://x.example/y",
             "OPENROUTER_API_KEY": "sk-or-1"}  # fmt: skip
    plain = settings(tmp_path, **given)
    quoted = settings(tmp_path, **{k: f" {quote}{v}{quote}\n" for k, v in given.items()})
    assert quoted.environment == plain.environment
    assert set(quoted.secrets) == set(plain.secrets)
