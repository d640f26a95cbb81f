"""`[[channels]]`: names, kinds, filters, options, secrets; and what the environment adds."""

from pathlib import Path

import pytest

from monitor.config import ConfigErrors, Settings, load
from monitor.domain import Notice, Severity
from monitor.notifications import ChannelFilter
from tests.case_tables import each
from tests.example_data import notice

BASE = """
[targets.rag]
url = "https://rag.example.com"
dialect = "bali_zero"
[[targets.rag.queries]]
id = "hi"
text = "Hi"
"""
HOOK = "https://hooks.slack.com/services/T1/B2/canaryhook4be7a2"
BOT = {"SLACK_BOT_TOKEN": "xoxb-canary-81c2d0", "SLACK_CHANNEL": "C1"}


def settings(tmp_path: Path, *sections: str, **environ: str) -> Settings:
    path = tmp_path / "monitor.toml"
    path.write_text(BASE + "".join(f"[[channels]]\n{section}\n" for section in sections))
    return load({"MONITOR_CONFIG": str(path), **environ})


def faults(tmp_path: Path, *sections: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigErrors) as raised:
        settings(tmp_path, *sections, **environ)
    return [str(fault) for fault in raised.value.faults]


def names(found: Settings) -> list[tuple[str, str]]:
    return [(channel.name, channel.kind) for channel in found.channels.values()]


PAGER = f'name = "pager"\nkind = "slack"\nwebhook_url = "{HOOK}"'
BARE = 'name = "pages"\nkind = "slack"\nseverity = "page"'


def test_what_only_reads_the_database_needs_no_secret(tmp_path: Path) -> None:
    """Channels keep their names and filters, for mutes and lists; nothing else is accepted."""
    path = tmp_path / "monitor.toml"
    hook = 'name = "pager"\nkind = "slack"\nrules = ["ttft"]\nwebhook_url = "${HOOK}"'
    text = BASE + '[targets.rag.headers]\nAuthorization = "Bearer ${KEY}"\n'
    text += f"[[channels]]\n{hook}\n[[channels]]\n{BARE}\n"
    path.write_text(text)
    variables = {"MONITOR_CONFIG": str(path), "KEY": " "}
    found = load(variables, without_secrets=True)
    assert list(found.channels) == ["pager", "pages"]
    assert found.channels["pager"].accepts == ChannelFilter(rules=frozenset({"ttft"}))
    assert found.usable_channels == ()
    assert found.lacks_secrets("rag")
    shown = [str(fault) for fault in found.unresolved]
    assert shown[:2] == [
        "targets.rag.headers.Authorization: ${KEY} is empty in the environment",
        "channels.0.webhook_url: ${HOOK} is not set in the environment",
    ]
    with pytest.raises(ConfigErrors) as raised:
        load(variables)
    assert [str(fault) for fault in raised.value.faults] == shown
    whole = load({**variables, "KEY": "x", "HOOK": HOOK, **BOT}, without_secrets=True)
    assert (whole.unresolved, len(whole.usable_channels)) == ((), 2)
    assert whole.config_hash == found.config_hash
    path.write_text(text.replace("${KEY}", "${KEY"))
    with pytest.raises(ConfigErrors, match="with the name of an environment variable"):
        load(variables, without_secrets=True)


@pytest.mark.parametrize(
    ("sections", "environ", "expected"),
    [
        ([], {}, [("console", "console")]),
        ([], BOT, [("slack", "slack")]),
        ([], {"SLACK_WEBHOOK_URL": HOOK}, [("slack", "slack")]),
        ([PAGER], {}, [("pager", "slack")]),
        ([PAGER], BOT, [("pager", "slack"), ("slack", "slack")]),
        ([BARE], BOT, [("pages", "slack")]),  # it uses the variables, with filters of its own
        ([PAGER, BARE], BOT, [("pager", "slack"), ("pages", "slack")]),
        (['name = "screen"\nkind = "console"'], BOT, [("screen", "console"), ("slack", "slack")]),
    ],
)
def test_the_environment_adds_a_channel_unless_a_section_uses_it(
    tmp_path: Path, sections: list[str], environ: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    assert names(settings(tmp_path, *sections, **environ)) == expected


def test_filters_are_read(tmp_path: Path) -> None:
    more = 'rules = ["ttft", "Digest"]\ntargets = "rag"\nseverity = ["page", "WARN"]'
    channel = settings(tmp_path, f"{PAGER}\n{more}").channels["pager"]
    assert channel.accepts == ChannelFilter(
        rules=frozenset({"ttft", "digest"}),
        targets=frozenset({"rag"}),
        severity=frozenset({Severity.PAGE, Severity.WARN}),
    )
    assert str(channel.accepts) == "rules digest, ttft; targets rag; severity page, warn"


def test_a_secret_by_reference_is_used_and_never_shown(tmp_path: Path) -> None:
    section = 'name = "pager"\nkind = "slack"\nwebhook_url = "${HOOK}"'
    found = settings(tmp_path, section, HOOK=f" {HOOK}\n")
    assert list(found.channels["pager"].options.secrets) == [HOOK]
    assert {HOOK, "canaryhook4be7a2"} <= set(found.secrets)
    assert "canary" not in repr(found.channels)


def test_what_is_announced_where_does_not_change_the_hash(tmp_path: Path) -> None:
    assert settings(tmp_path).config_hash == settings(tmp_path, PAGER).config_hash


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ('kind = "console"',
         "channels.0.name: missing; add `name = …` under [[channels]] number 1"),
        ('name = "a"', "channels.0.kind: missing; add `kind = …` under [[channels]] number 1"),
        ('name = "a"\nkind = "slak"',
         'channels.0.kind = "slak": unknown kind; did you mean "slack"?'),
        ('name = "A b"\nkind = "console"',
         'channels.0.name = "A b": use 1 to 64 of a-z, 0-9, _ . -'),
        ('name = "all"\nkind = "console"',
         'channels.0.name = "all": is reserved: choose another'),
        ('name = "a"\nkind = "console"\nrules = ["tfft"]',
         'channels.0.rules = "tfft": unknown rule; did you mean "ttft"?'),
        ('name = "a"\nkind = "console"\ntargets = ["rga"]',
         'channels.0.targets = "rga": unknown target; did you mean "rag"?'),
        ('name = "a"\nkind = "console"\nseverity = ["bad"]',
         "channels.0.severity.0 = \"bad\": write 'info', 'warn' or 'page'"),
        ('name = "a"\nkind = "slack"\ntokn = "xoxb-canary"',
         'channels.0.tokn: unknown key of kind slack; did you mean "token"?'),
        ('name = "a"\nkind = "slack"', "channels.0: give either token and channel, or webhook_url, "
         "or set SLACK_BOT_TOKEN and SLACK_CHANNEL, or SLACK_WEBHOOK_URL and give none of them"),
        ('name = "a"\nkind = "slack"\ntoken = "xoxb-canary"',
         "channels.0: token and channel go together: a bot token, and a channel's id"),
        ('name = "a"\nkind = "slack"\nwebhook_url = "http://canary.example.com/x"',
         "channels.0.webhook_url: write the whole https address"),
        ('name = "a"\nkind = "slack"\nwebhook_url = "${CANARY}"',
         "channels.0.webhook_url: ${CANARY} is not set in the environment"),
        ('name = "a"\nkind = "slack"\nwebhook_url = 7',
         "channels.0.webhook_url: write a text in quotes"),
        ('name = "a"\nkind = "slack"\nwebhook_url = " "', "channels.0.webhook_url: "),
        ('name = "a"\nkind = "slack"\ntoken = "canary key"\nchannel = "C1"',
         "channels.0.token: contains characters that no key has, such as a space: copy it again"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_remedy_and_without_the_secret(
    tmp_path: Path, section: str, sentence: str
) -> None:
    found = faults(tmp_path, section)
    assert any(fault.startswith(sentence) for fault in found), found
    if "CANARY" not in section:
        assert "canary" not in " ".join(found)


def test_names_are_unique(tmp_path: Path) -> None:
    assert faults(tmp_path, PAGER, PAGER) == [
        'channels.name = "pager": two channels have this name: each must be unique'
    ]
    own = PAGER.replace("pager", "slack")
    assert names(settings(tmp_path, own)) == [("slack", "slack")]
    assert faults(tmp_path, own, **BOT)[0].endswith(
        "slack is also the channel of the SLACK_ variables"
    )


@pytest.mark.parametrize(
    "written", ['channels = "x"\n', "channels = [1]\n", "[channels]\nname = 1\n"]
)
def test_what_is_no_list_of_sections_is_refused(tmp_path: Path, written: str) -> None:
    path = tmp_path / "monitor.toml"
    path.write_text(written + BASE)
    with pytest.raises(ConfigErrors, match="channels"):
        load({"MONITOR_CONFIG": str(path)})


RULE, OTHER = ChannelFilter(rules=frozenset({"ttft"})), ChannelFilter(targets=frozenset({"rag"}))
PAGES = ChannelFilter(severity=frozenset({Severity.PAGE}))
WARN, SPEND = notice(severity=Severity.WARN), notice(rule="spend", scope="all")


@each(
    ("accepts", "item", "reported", "takes"),
    [
        (ChannelFilter(), WARN, [], True),
        (RULE, WARN, [], True),
        (RULE, SPEND, [], False),
        (RULE, notice(rule="down"), [("down", "rag"), ("ttft", "rag")], True),
        (OTHER, WARN, [], True),
        (OTHER, notice(scope="other"), [], False),
        (OTHER, notice(scope="other"), [("ttft", "rag/hi")], True),  # of one canned query
        (OTHER, SPEND, [], True),  # about no single target
        (OTHER, notice(rule="digest", scope="all"), [], True),
        (PAGES, WARN, [], False),
        (PAGES, SPEND, [], True),
    ],
)
def test_a_filter_takes_what_it_names(
    accepts: ChannelFilter, item: Notice, reported: list[tuple[str, str]], takes: bool
) -> None:
    assert accepts.takes(item, reported) is takes


EVERYTHING_WRONG = """
[targets.rag]
url = "https://rag.example.com"
dialect = "openai_chatt"
deadline = "1s"
[[targets.rag.queries]]
id = "hi"
text = "Hi"
[[targets.rag.queries]]
id = "hi"
text = "Hi"
[targets.rag.headers]
Authorization = "Bearer ${KEY}"
[[channels]]
name = "a"
kind = "slakc"
targets = ["rag"]
[[channels]]
kind = "webhook"
url = "${HOOK}"
secrett = "x"
[[channels]]
name = "b"
kind = "webhook"
severity = "pagee"
targets = ["ragg"]
[[maintenance]]
from = "22:00"
to = "23:00"
target = "rga"
[rules.ttft]
limit_mss = 3
"""


def test_no_fault_hides_another(tmp_path: Path) -> None:
    path = tmp_path / "monitor.toml"
    path.write_text(EVERYTHING_WRONG)
    with pytest.raises(ConfigErrors) as raised:
        load({"MONITOR_CONFIG": str(path)})
    found = [str(fault) for fault in raised.value.faults]
    for start in (
        'targets.rag: two queries have the id "hi": each id must be unique; first_token_deadline',
        "maintenance.0.days: missing",
        "channels.1.name: missing",
        'channels.2.severity.0 = "pagee": write',
        'rules.ttft.limit_mss: unknown key; did you mean "limit_ms"?',
        "targets.rag.dialect = \"openai_chatt\": no dialect is called 'openai_chatt'; "
        'did you mean "openai_chat"?',
        'channels.0.kind = "slakc": unknown kind; did you mean "slack"?',
        'channels.1.secrett: unknown key of kind webhook; did you mean "secret"?',
        "channels.1.secret: missing",
        'channels.2.targets = "ragg": unknown target; did you mean "rag"?',
        "channels.2.secret: missing",
        "channels.2.url: missing",
        'maintenance.0.target = "rga": unknown target; did you mean "rag"?',
        "targets.rag.headers.Authorization: ${KEY} is not set",
        "channels.1.url: ${HOOK} is not set",
    ):
        assert sum(line.startswith(start) for line in found) == 1, (start, found)
    assert len(found) == 15
