"""Foreign text made safe: to show, to store, and without our secrets in it."""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from urllib.parse import quote, quote_plus

READ = 16_000  # characters beyond its limit that a line is made from
SHORTEST_SECRET = 6  # anything shorter would redact ordinary words
REDACTED = "***"

# CSI, then the string sequences (OSC, DCS, SOS, PM, APC), then two-character escapes.
_TERMINAL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x00-\x1f\x7f-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # controls other than white space
    "\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"  # soft hyphen, bidi and zero-width marks, tag characters
)
_SURROGATES = re.compile("[\ud800-\udfff]+")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_BLANK = re.compile(r"\s+")
_CREDENTIAL = re.compile(r"(?:bearer|basic|token|apikey|api-key)\s+(\S.*)", re.IGNORECASE)
_PERCENT = re.compile(r"%[0-9A-F]{2}")


def plain(text: str, limit: int = 300) -> str:
    """Foreign text as one harmless line of at most `limit` characters, the last one `…` if cut.

    Terminal escapes, control, bidi and zero-width characters and lone surrogates are gone;
    white space is single blanks. Of a text longer than the limit and `READ` characters the
    beginning alone is looked at. Applying it twice changes nothing. `limit` is at least 1.
    """
    read = text[: limit + READ]
    whole = read.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    visible = _INVISIBLE.sub("", _TERMINAL.sub("", whole))
    line = _BLANK.sub(" ", visible).strip()
    if len(read) < len(text) and len(line) < limit:
        return line + "…"
    return line if len(line) <= limit else line[: limit - 1] + "…"


def storable(text: str) -> str:
    """Text as Postgres takes it in `text` and `jsonb`: U+FFFD for NUL and lone surrogates.

    Two halves of one character that met when pieces were joined become that character.
    """
    if _SURROGATES.search(text):
        if _PAIR.search(text):
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        text = _SURROGATES.sub(lambda found: "\ufffd" * len(found[0]), text)
    return text.replace("\0", "\ufffd")


def stored_bytes(text: str) -> bytes:
    """`storable(text)` in UTF-8, and quickly where the text is long."""
    try:
        return text.encode().replace(b"\0", "\ufffd".encode())
    except UnicodeEncodeError:
        return storable(text).encode()


def redact(text: str, secrets: Iterable[str]) -> str:
    """Text with `***` for each of our secrets: plain, in lower case as hosts are, URL-encoded, in
    base64 and hexadecimal, as in JSON and HTML.

    Of a header value such as `Bearer …` the credential alone counts too. Secrets shorter
    than six characters are left alone.
    """
    forms = {form for secret in secrets for form in _forms(secret)}
    longest_first = sorted((form for form in forms if form in text), key=len, reverse=True)
    if not longest_first:
        return text
    return re.sub("|".join(map(re.escape, longest_first)), REDACTED, text)


@lru_cache(maxsize=512)
def _forms(secret: str) -> tuple[str, ...]:
    return tuple(_spelled(secret))


def _spelled(secret: str) -> Iterator[str]:
    credential = _CREDENTIAL.fullmatch(secret)
    for value in (secret, credential[1] if credential else ""):
        if len(value) < SHORTEST_SECRET:
            continue
        yield from (value, value.lower(), html.escape(value), html.escape(value, quote=False))
        yield value.encode(errors="replace").hex()
        for escaped in (_escaped(value), _escaped(value).replace("/", "\\/"),
                        json.dumps(value, ensure_ascii=False)[1:-1]):  # fmt: skip
            yield from (escaped, _escaped(escaped))  # JSON within JSON, as in transcripts
        for encoded in (base64.b64encode, base64.urlsafe_b64encode):
            yield encoded(value.encode(errors="replace")).decode().rstrip("=")
        for encode in (partial(quote, safe=""), quote, quote_plus):
            escaped = encode(value, errors="surrogatepass")
            yield from (escaped, _PERCENT.sub(lambda match: match[0].lower(), escaped))


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1]
