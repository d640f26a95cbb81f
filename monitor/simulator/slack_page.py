"""The messages of the local Slack as a page, much as Slack shows them: blocks, threads, pictures.

Whatever a message holds is shown as text: nothing in it becomes markup of the page but Slack's own.
"""

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC
from typing import Any

from monitor.simulator.slack_channel import PostedMessage, SlackChannel

_MARKED = r"(?<!\w){0}(?P<{1}>[^{0}\s](?:[^{0}\n]*[^{0}\s])?){0}(?!\w)"
_MARKUP = re.compile(
    r"```(?P<fence>.+?)```|`(?P<code>[^`\n]+)`|<(?P<url>https?://[^|>\s]+)(?:\|(?P<label>[^>]*))?>|"
    + "|".join(
        _MARKED.replace("{0}", re.escape(mark)).replace("{1}", name)
        for mark, name in (("*", "bold"), ("_", "italic"), ("~", "struck"))
    ),
    re.DOTALL,
)
_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d1c1d; --faint: #616061; --line: #ddd;
  --link: #1264a3; --code: #c01343; --soft: #f8f8f8 }
@media (prefers-color-scheme: dark) { :root { --paper: #1a1d21; --ink: #d1d2d3; --faint: #ababad;
  --line: #404347; --link: #1d9bd1; --code: #e8912d; --soft: #222529 } }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.46 Lato, "Helvetica Neue", Arial, sans-serif }
h1 { font-size: 18px; margin: 0; padding: 12px 20px; border-bottom: 1px solid var(--line) }
article { display: grid; grid-template-columns: 36px minmax(0, 1fr); gap: 8px; padding: 10px 20px;
  max-width: 680px }
article article { padding: 6px 0 }
.face { width: 36px; height: 36px; border-radius: 6px; background: #4a154b; color: #fff;
  font-weight: 700; display: grid; place-items: center }
.who { font-weight: 900 } .app { font-size: 10px; background: var(--line); border-radius: 2px;
  padding: 1px 3px; margin: 0 5px; color: var(--faint) } .at, .note { color: var(--faint);
  font-size: 12px }
.header { font-size: 18px; font-weight: 900; margin: 4px 0 6px }
.section, .text { margin: 4px 0; white-space: pre-line; overflow-wrap: anywhere }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: 8px }
.context { color: var(--faint); font-size: 13px; margin: 6px 0; overflow-wrap: anywhere }
.context span { display: block }
hr { border: 0; border-top: 1px solid var(--line) }
a { color: var(--link); text-decoration: none }
.button { display: inline-block; border: 1px solid var(--line); border-radius: 4px;
  font-weight: 700; font-size: 13px; padding: 3px 12px; margin: 4px 8px 4px 0; color: var(--ink) }
code, pre { font: 12px/1.5 Menlo, Consolas, monospace; background: var(--soft);
  border: 1px solid var(--line); border-radius: 3px }
code { color: var(--code); padding: 1px 3px }
pre { padding: 8px; margin: 4px 0; white-space: pre-wrap; overflow-wrap: anywhere }
.thread { border-left: 3px solid var(--line); margin: 8px 0 0; padding-left: 12px }
.reactions > * { display: inline-block; border: 1px solid var(--line); border-radius: 12px;
  background: var(--soft); color: inherit; font: inherit; font-size: 13px; padding: 1px 8px;
  margin: 4px 4px 0 0 }
img { max-width: 100%; border: 1px solid var(--line); border-radius: 6px }
"""


# The three that the monitor understands, and whom the page reacts for.
_EMOJI = {"eyes": "👀", "no_bell": "🔕", "chart_with_upwards_trend": "📈"}
PERSON = "U0ANA"
_SCRIPT = """
<script>
document.addEventListener("click", async ({ target }) => {
  const { method, name, ts } = target.dataset;
  if (!method) return;
  await fetch(`/api/reactions.${method}`, { method: "POST",
    headers: { Authorization: "Bearer xoxp-%s", "Content-Type": "application/json" },
    body: JSON.stringify({ channel: "%s", timestamp: ts, name }) });
  location.reload();
});
</script>
"""


def page(channel: str, messages: Iterable[PostedMessage], *, answerable: bool = False) -> str:
    """The channel, oldest message first, each with its thread below it.

    `answerable`: messages have buttons for the reactions that the monitor understands. They call
    the Web API that the page is served beside.
    """
    shown = "\n".join(_message(posted, answerable=answerable) for posted in messages)
    shown = shown or '<p class="text">No message yet.</p>'
    if answerable:
        shown += _SCRIPT % (PERSON, SlackChannel.id)
    title = html.escape(channel)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>\n{shown}\n</html>\n"
    )


def _message(posted: PostedMessage, *, answerable: bool = False) -> str:
    notes = ["edited"] if posted.was else []
    notes += ["also sent to the channel"] if posted.broadcast else []
    body = "".join(map(_block, posted.blocks)) or f'<div class="text">{_mrkdwn(posted.text)}</div>'
    pictures = "".join(map(_picture, posted.files))
    thread = ""
    if posted.thread:
        count = len(posted.thread)
        replies = "".join(map(_message, posted.thread))
        word = "reply" if count == 1 else "replies"
        thread = f'<div class="thread"><span class="note">{count} {word}</span>{replies}</div>'
    at = posted.at.astimezone(UTC)
    return (
        '<article><div class="face">rm</div><div><span class="who">rag-monitor</span>'
        f'<span class="app">APP</span> <span class="at">{at:%H:%M}</span> '
        f'<span class="note">{", ".join(notes)}</span>{body}{pictures}'
        f"{_reactions(posted, answerable=answerable)}{thread}</div></article>"
    )


def _reactions(posted: PostedMessage, *, answerable: bool) -> str:
    """Who reacted with what; buttons for the person of the page, where people may answer."""
    offered = _EMOJI if answerable and posted.via == "bot" else {}
    shown = ""
    for name in dict.fromkeys((*posted.reactions, *offered)):
        users = posted.reactions.get(name, [])
        label = html.escape(_EMOJI.get(name, f":{name}:")) + (f" {len(users)}" if users else "")
        if name in offered:
            method = "remove" if PERSON in users else "add"
            shown += (
                f'<button data-method="{method}" data-name="{name}" data-ts="{posted.ts}">'
                f"{label}</button>"
            )
        else:
            shown += f'<span title="{html.escape(", ".join(users))}">{label}</span>'
    return f'<div class="reactions">{shown}</div>' if shown else ""


def _picture(file: tuple[str, bytes]) -> str:
    title, content = file
    data = base64.b64encode(content).decode()
    return f'<p><img alt="{html.escape(title)}" src="data:image/png;base64,{data}"></p>'


def _block(block: Mapping[str, Any]) -> str:
    shape = _BLOCKS.get(str(block.get("type")))
    if shape is None:
        return f"<pre>{html.escape(json.dumps(block, ensure_ascii=False))}</pre>"
    return "".join(shape(block))


def _header(block: Mapping[str, Any]) -> Iterator[str]:
    yield f'<div class="header">{_text(block["text"])}</div>'


def _section(block: Mapping[str, Any]) -> Iterator[str]:
    if "text" in block:
        yield f'<div class="section">{_text(block["text"])}</div>'
    if fields := block.get("fields"):
        cells = "".join(f"<div>{_text(one)}</div>" for one in fields)
        yield f'<div class="section fields">{cells}</div>'


def _context(block: Mapping[str, Any]) -> Iterator[str]:
    shown = "".join(f"<span>{_text(one)}</span>" for one in block["elements"])
    yield f'<div class="context">{shown}</div>'


def _actions(block: Mapping[str, Any]) -> Iterator[str]:
    for button in block["elements"]:
        url = html.escape(str(button.get("url", "#")))
        yield f'<a class="button" href="{url}">{_text(button["text"])}</a>'


def _rich_text(block: Mapping[str, Any]) -> Iterator[str]:
    parts = (part for section in block["elements"] for part in section["elements"])
    shown = "".join(
        f'<a href="#">@{html.escape(str(part["user_id"]))}</a>'
        if part["type"] == "user"
        else html.escape(str(part["text"]))
        for part in parts
    )
    yield f'<div class="section">{shown}</div>'


def _text(text: Mapping[str, Any]) -> str:
    shown = str(text["text"])
    return _mrkdwn(shown) if text["type"] == "mrkdwn" else _literal(shown)


def _literal(text: str) -> str:
    """Slack's entities as characters, and those as entities of the page."""
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return html.escape(text)


def _mrkdwn(text: str) -> str:
    """Slack's markup as HTML. Source: docs.slack.dev, formatting message text."""
    shown, end = "", 0
    for found in _MARKUP.finditer(text):
        shown += _literal(text[end : found.start()]) + _marked(found)
        end = found.end()
    return shown + _literal(text[end:])


def _marked(found: re.Match[str]) -> str:
    part = found.groupdict()
    if part["url"]:
        label = part["label"] or part["url"]
        return f'<a href="{_literal(part["url"])}">{_literal(label)}</a>'
    for name, tag in (("fence", "pre"), ("code", "code")):
        if part[name] is not None:
            return f"<{tag}>{_literal(part[name])}</{tag}>"
    for name, tag in (("bold", "b"), ("italic", "i"), ("struck", "s")):
        if part[name] is not None:
            return f"<{tag}>{_mrkdwn(part[name])}</{tag}>"
    return _literal(found[0])


_BLOCKS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "header": _header,
    "section": _section,
    "context": _context,
    "actions": _actions,
    "rich_text": _rich_text,
    "divider": lambda block: iter(("<hr>",)),
}
