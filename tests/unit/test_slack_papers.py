"""docs/slack.md: the manifest has the scopes of what the code calls, the table each error word."""

import ast
import re
from pathlib import Path

from monitor.notifications.slack import bot, webhook
from monitor.simulator.slack_app import SCOPES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "slack.md").read_text(encoding="utf-8")
# By method of the SDK: the Web API methods it calls, and the scope that Slack's reference names.
METHODS = {
    "auth_test": (("auth.test",), None),
    "chat_postMessage": (("chat.postMessage",), "chat:write"),
    "chat_update": (("chat.update",), "chat:write"),
    "files_upload_v2": (
        ("files.getUploadURLExternal", "files.completeUploadExternal"),
        "files:write",
    ),
    "reactions_get": (("reactions.get",), "reactions:read"),
    "users_info": (("users.info",), "users:read"),
}
CLIENTS = ("self._client", "self._asking", "client")
NO_METHODS = {"proxy", "url", "send_dict"}  # of the SDK's clients; a webhook needs no scope


def called() -> set[str]:
    """The methods of the SDK that the code names."""
    code = (ROOT / "monitor" / "notifications" / "slack").glob("*.py")
    return {
        node.attr
        for path in code
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in CLIENTS
    } - NO_METHODS


def manifest() -> set[str]:
    [yaml] = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    scopes = yaml[yaml.index("scopes:") : yaml.index("settings:")]
    return set(re.findall(r"- (\S+)", scopes))


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = PAGE.partition(heading)[2].partition("\n#")[0]
    table = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_manifest_has_the_scopes_of_the_methods_the_code_calls_and_no_other() -> None:
    assert called() == METHODS.keys()
    assert manifest() == {scope for _, scope in METHODS.values() if scope}


def test_the_scopes_of_the_manifest_are_explained_checked_and_simulated() -> None:
    explained = {scope.strip("`"): what for scope, what, _ in rows('### <a id="scopes"></a>')}
    assert explained.keys() == manifest() == {bot.SCOPE, *bot.LIMITS} == set(SCOPES)
    for methods, scope in METHODS.values():
        if scope is not None:
            assert all(f"`{method}`" in explained[scope] for method in methods), scope


def test_every_error_word_has_a_row() -> None:
    documented = {
        word for row in rows('## <a id="errors"></a>') for word in re.findall(r"`(\w+)`", row[0])
    }
    known = {*webhook._BLAMED, *webhook._THROTTLED, *webhook._PASSING, webhook.UNUSABLE.word}
    assert known - documented == set()
    assert documented - known == set()


def test_the_guide_that_messages_refer_to_exists() -> None:
    assert (ROOT / webhook.GUIDE).is_file()
