"""A worker in forty lines, to see how the story treats one: it asks, and it tells Slack.

`tells` does both, `mute` only asks, `dies` asks once and ends with status 3.
"""

import json
import os
import sys
import tomllib
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

home = Path(os.environ["MONITOR_HOME"])
(home / "pid").write_text(str(os.getpid()))
(target,) = tomllib.loads(Path(os.environ["MONITOR_CONFIG"]).read_text())["targets"].values()


def call(method: str, **payload: str) -> dict[str, str]:
    headers = {
        "Authorization": f"Bearer {os.environ['SLACK_BOT_TOKEN']}",
        "Content-Type": "application/json",
    }
    url = os.environ["SLACK_API_BASE_URL"] + method
    with urlopen(Request(url, json.dumps(payload).encode(), headers)) as response:
        return json.load(response)


def claude_answers() -> bool:
    """Ask everything once; who answered is told by the key alone, for nothing else tells it."""
    for query in target["queries"]:
        url = f"{target['url']}/bali-zero/chat-stream?query={quote(query['text'])}"
        with urlopen(url) as response:
            response.read()
    key = Request(os.environ["OPENROUTER_BASE_URL"] + "/key", headers={"Authorization": "Bearer x"})
    try:
        with urlopen(key):
            return False
    except HTTPError as refused:
        return refused.code == 401


mode, posted = sys.argv[1], {}
sys.stderr.write("the stand-in begins\n")
while True:
    fallback = claude_answers()
    if mode == "dies":
        sys.exit(3)
    if mode == "tells" and fallback and not posted:
        for number, rule in enumerate(("fallback", "ttft"), 1):
            text = f"FIRING #{number} {rule} · nuzantara: 3 &gt; 2 [bold]of[/bold] them"
            posted[rule] = call("chat.postMessage", channel="#alerts", text=text)
    if mode == "tells" and not fallback and posted:
        for number, (rule, at) in enumerate(posted.items(), 1):
            text = f"RESOLVED #{number} {rule} · nuzantara: it is over"
            call("chat.update", channel=at["channel"], ts=at["ts"], text=text)
            call("chat.postMessage", channel=at["channel"], thread_ts=at["ts"], text=text)
        posted.clear()
