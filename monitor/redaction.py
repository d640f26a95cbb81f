"""Addresses: which parts may be secret, how to display one, what is wrong with one.

Nothing here raises for an unreadable address: its whole remainder counts as secret.
"""

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from functools import lru_cache, partial
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"
_LOOKS_SECRET = re.compile(
    r"pass|pwd|secret|token|key|auth|credential|cookie|session|signature|sig$|jwt|bearer|api.?k",
    re.IGNORECASE,
)
_LETTERS_AND_DIGITS = re.compile(r"(?=(?:[^0-9]*[0-9]){3})(?=(?:[^A-Za-z]*[A-Za-z]){3})")
_TOKEN = re.compile(r"[A-Za-z0-9_]{20,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_ISSUED = re.compile(  # prefixes that issuers give their keys
    r"(?<![A-Za-z0-9])(?:(?:sk|pk|rk|xox[a-z]|xapp|glpat|nvapi|pplx|tvly|xai|ragflow)-|(?:sk|pk|rk"
    r"|whsec|gh[opsur]|github_pat|hf|gsk|r8|fw|npg|lsv2|sntrys|fm[12]|fo1|dckr_pat)_|eyJ|AKIA|AIza"
    r"|ya29\.|SG\.|dapi)[-_A-Za-z0-9.]{6,}"
)

POSTGRES_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg")
POSTGRES_FORM = "write postgresql://user:password@host:5432/database"
# Source: www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_KEYWORDS = """
    application_name channel_binding client_encoding connect_timeout dbname
    fallback_application_name gssdelegation gssencmode gsslib host hostaddr keepalives
    keepalives_count keepalives_idle keepalives_interval krbsrvname load_balance_hosts
    max_protocol_version min_protocol_version oauth_client_id oauth_client_secret oauth_issuer
    oauth_scope options passfile password port replication require_auth requirepeer requiressl
    scram_client_key scram_server_key service servicefile ssl_max_protocol_version
    ssl_min_protocol_version sslcert sslcertmode sslcompression sslcrl sslcrldir sslkey
    sslkeylogfile sslmode sslnegotiation sslpassword sslrootcert sslsni target_session_attrs
    tcp_user_timeout user
"""
# Parameters of a Postgres address that may be displayed; of all others only the name.
_PUBLIC_KEYWORDS = """
    application_name channel_binding client_encoding connect_timeout dbname gssencmode host hostaddr
    options port service sslmode sslnegotiation target_session_attrs user
"""
POSTGRES_PARAMETERS = frozenset(_KEYWORDS.split())
_POSTGRES_PUBLIC = frozenset(_PUBLIC_KEYWORDS.split())
# Parameters of other addresses that may be displayed, unless their value looks like a key.
_HARMLESS = """
    alt api-version api_version beta deployment feature format lang language limit locale mode model
    offset page project provider region stream timeout type v version
"""
_PUBLIC_PARAMETERS = frozenset(_HARMLESS.split())
_PLAIN_VALUE = re.compile(r"[A-Za-z]{0,3}|\d{1,4}|\d{4}-\d\d-\d\d(?:-[a-z]+)?|true|false")
_ORDINARY_USER = re.compile(r"[a-z_][a-z_.-]*\d{0,4}|[A-Za-z_]+")
_WORD = re.compile(r"[A-Za-z]*")
_MIXED = re.compile(r"(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])(?=[^0-9]*[0-9])[A-Za-z0-9]{8,}")
_RUN = re.compile(r"[A-Za-z0-9]+")
_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[0-9])(?=[A-Za-z])|(?<=[A-Z])(?=[0-9])")
# changes between kinds of characters: model names such as mixtral-8x7b-v0.1 have up to 4
_CHANGES = 6
_HEX = re.compile(r"[0-9a-f]{16,}|[0-9A-F]{16,}")
_SHORTEST_PLAIN = 20  # of a key without digits, or with letters of one case
_VOWELS = re.compile(r"[aeiouyAEIOUY]")
_OF_MODELS = re.compile(r"models?|[a-z-]*ai|meta-llama|deployments?|engines?|[a-z-]*endpoints?")
_AFTER = re.compile(r"(?:web)?hooks?|services|workflows|triggers|bots?|tokens?|keys?|auth")
_ASSIGNED = re.compile(r"(\w+)\s*=\s*(?:'([^']*)'|(\S+))")
_SEPARATORS = re.compile(r"[\s@:/?#&=%;,]+")


def looks_secret(name: str) -> bool:
    """Whether a key, parameter or header of this name usually holds a secret."""
    return _LOOKS_SECRET.search(name) is not None


def is_token(text: str) -> bool:
    """Whether a text looks like an issued key, as no word or model name does."""
    if _ISSUED.search(text) or _UUID.search(text):
        return True
    return any(_LETTERS_AND_DIGITS.match(found[0]) for found in _TOKEN.finditer(text))


def is_odd(text: str) -> bool:
    """Whether a part of an address looks like a key: stricter than `is_token`.

    For places where no model name occurs, and where hiding an account number does no harm.
    """
    if is_token(text) or _HEX.search(text):
        return True
    if any(_MIXED.match(run[0]) for run in _RUN.finditer(text)):
        return True
    bare = "".join(_RUN.findall(text))
    if len(_CHANGE.findall(text)) >= _CHANGES and len(bare) >= 12:
        return True
    return len(bare) >= _SHORTEST_PLAIN and len(_VOWELS.findall(bare)) * 5 < len(bare)


def shown_name(text: str) -> str:
    """A name, or `***` if it looks like a key that was written in the wrong place."""
    mixed = any(_MIXED.match(run[0]) for run in _RUN.finditer(text))
    return HIDDEN if mixed or is_token(text) else text


def shown(address: str) -> str:
    """The address in a recognisable form, with `***` for everything that may be secret.

    That is: passwords, values of parameters that are not known to be harmless, and parts of the
    path that may be keys.
    """
    scheme, found, rest = address.strip().partition("://")
    if not found:
        return HIDDEN if looks_secret(address) or "@" in address else shown_name(address)
    user, place, query, unsure = _parts(rest)
    if unsure:
        return f"{scheme}://{HIDDEN}"
    postgres = scheme.lower() in POSTGRES_SCHEMES
    name, colon, _ = user.partition(":")
    seen = name if postgres and _ORDINARY_USER.fullmatch(name) else HIDDEN
    who = f"{seen if name else ''}{(colon and postgres and ':' + HIDDEN) or ''}@"
    requested = "&".join(_shown_parameter(pair, postgres=postgres) for pair in query.split("&"))
    path = _path(place, lambda _: HIDDEN)
    return f"{scheme}://{who if user else ''}{path}{'?' + requested if query else ''}"


def secret_parts(address: str) -> Iterator[str]:
    """Everything in an address that may be secret, as written and decoded.

    An ordinary word comes with the name of its parameter: alone it would be redacted wherever it
    occurs.
    """
    scheme, found, rest = address.strip().partition("://")
    if not found:
        yield from _without_scheme(address.strip())
        return
    user, place, query, unsure = _parts(rest)
    if unsure:
        yield rest
        yield from pieces(rest)
        return
    postgres = scheme.lower() in POSTGRES_SCHEMES
    name, _, password = user.partition(":")
    if password:
        plain = f"{unquote(name)}:{unquote(password)}"
        yield from (password, unquote(password), *pieces(password))
        yield base64.b64encode(plain.encode(errors="replace")).decode()
    if name and (not _ORDINARY_USER.fullmatch(name) or not (password or postgres)):
        yield from (name, unquote(name))
    hidden: list[str] = []
    _path(place, hidden.append)
    for segment in hidden:
        yield from (segment, unquote(segment), *pieces(segment))
    for pair in query.split("&"):
        if _shown_parameter(pair, postgres=postgres) != pair:
            yield from _parameter_secrets(pair)
    fragment = rest.partition("#")[2]
    if "@" not in fragment:  # otherwise it is part of a password
        for pair in fragment.split("&"):
            yield from _parameter_secrets(pair)


def _without_scheme(text: str) -> Iterator[str]:
    """For `user:password@host`, as proxies are written, and `host=... password=...`."""
    before, at, _ = text.rpartition("@")
    if at and ":" in before and not re.search(r"\s", text):
        yield from secret_parts(f"http://{text}")
    for name, quoted, bare in _ASSIGNED.findall(text):
        if looks_secret(name):
            yield quoted or bare


def pieces(text: str) -> Iterator[str]:
    """What a parser that fails on a secret may quote of it: no ordinary words."""
    for piece in _SEPARATORS.split(text):
        if not _WORD.fullmatch(piece):
            yield piece


def _parameter_secrets(pair: str) -> Iterator[str]:
    key, equals, value = pair.partition("=")
    whole = value if equals else key
    for text in (whole, unquote(whole), unquote_plus(whole)):
        if not _WORD.fullmatch(text) or looks_secret(unquote_plus(key)):
            yield text
    yield from pieces(unquote_plus(whole))
    if equals and value:
        yield pair


def _path(place: str, hide: Callable[[str], str | None]) -> str:
    """Host and path; each part that may be a key is passed to `hide` and replaced by its result."""
    host, *segments = place.split("/")
    labels = [(hide(one) or HIDDEN) if is_token(one) else one for one in host.split(".")]
    kept, before, after = [".".join(labels)], ["", ""], False
    for segment in segments:
        name, semicolon, matrix = segment.partition(";")
        named = any(map(_OF_MODELS.fullmatch, before))  # a model, which must not be redacted
        odd = (is_token if named else is_odd)(unquote(name)) or (after and not _plain(name))
        before = [before[1], name.lower()]
        odd = odd or (":" in name and re.match(r"bot\d+:", name) is not None)
        after = after or _AFTER.fullmatch(name.lower()) is not None
        kept.append((hide(name) or HIDDEN) if odd else name)
        if semicolon:
            kept[-1] += f";{hide(matrix) or HIDDEN}"
    return "/".join(kept)


def _plain(segment: str) -> bool:
    """Whether a part of a path is a lower-case word, a version or empty, as no key is."""
    return re.fullmatch(r"[a-z_-]{0,15}|v\d+(?:beta|alpha)?\d*", segment) is not None


def postgres_fault(address: str) -> str | None:
    """What is wrong with the address of a database, without any of its values; None if nothing."""
    scheme, found, rest = address.strip().partition("://")
    if not found or scheme.lower() not in POSTGRES_SCHEMES:
        return POSTGRES_FORM
    user, place, query, unsure = _parts(rest)
    if unsure or "@" in user:
        return (
            "a character of the user or password must be escaped: write @ as %40, : as %3A, "
            f"/ as %2F, ? as %3F, # as %23; {POSTGRES_FORM}"
        )
    host = place.partition("/")[0]
    port = host.rpartition("]")[2].partition(":")[2]
    if "," in host:
        return (
            "write several hosts as parameters: "
            "postgresql://user:password@/database?host=a:5432&host=b:5432"
        )
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        return f"the port must be a number from 1 to 65535; {POSTGRES_FORM}"
    for pair in filter(None, query.split("&")):
        key = unquote_plus(pair.partition("=")[0])
        if key not in POSTGRES_PARAMETERS:
            close = get_close_matches(key, sorted(POSTGRES_PARAMETERS), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            return f"a parameter after ? is unknown to PostgreSQL{hint}"
    return None


def _parts(rest: str) -> tuple[str, str, str, bool]:
    """User and password, host and path, parameters; and whether they are ambiguous."""
    before, _, query = rest.partition("?")
    user, at, place = before.rpartition("@")
    if not at:
        user, place = "", before
        host, slash, _ = place.partition("/")
        port = host.rpartition("]")[2].partition(":")[2]
        odd = bool(port) and not port.isdecimal() and "," not in port
        unsure = "@" in query and (odd or not slash or "=" not in query.partition("@")[0])
    else:
        unsure = "/" in user or "?" in user
    if "#" in place:
        place = place.partition("#")[0]
        query = "" if "#" in before else query
    return user, place, query.partition("#")[0], unsure


def _shown_parameter(pair: str, *, postgres: bool) -> str:
    key, equals, value = pair.partition("=")
    if not equals:
        return pair if _WORD.fullmatch(pair) and not postgres else HIDDEN
    if is_odd(key) or not re.fullmatch(r"[\w.%\[\]-]{1,40}", key):
        return HIDDEN
    return f"{key}={HIDDEN}" if _hides(unquote_plus(key), value, postgres=postgres) else pair


def _hides(key: str, value: str, *, postgres: bool) -> bool:
    plain = unquote_plus(value)
    if postgres and key == "options":
        return not all(
            re.match(r"(?:-c|--)?search_path=", word) for word in plain.replace("-c ", "-c").split()
        )
    if postgres and key in ("host", "hostaddr"):
        return is_token(plain.rpartition("/")[2])
    if postgres:
        return (
            key not in _POSTGRES_PUBLIC
            or is_odd(plain)
            or (key == "user" and not _ORDINARY_USER.fullmatch(plain))
        )
    if key.lower() in ("model", "deployment"):
        return is_token(plain)
    if looks_secret(key) or is_odd(plain) or re.search(r"[@;:]", plain):
        return True
    return key.lower() not in _PUBLIC_PARAMETERS and not _PLAIN_VALUE.fullmatch(plain)


# Foreign text made safe to display and to store, without our secrets.


READ = 16_000  # characters beyond its limit from which a line is made
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
    """Foreign text as one safe line of at most `limit` characters, the last one `…` if it was cut.

    Terminal escapes, control, bidi and zero-width characters and lone surrogates are removed; white
    space becomes single blanks. Of a text longer than the limit and `READ` characters only the
    beginning is examined. Applying it twice changes nothing. `limit` is at least 1.
    """
    read = text[: limit + READ]
    whole = read.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    visible = _INVISIBLE.sub("", _TERMINAL.sub("", whole))
    line = _BLANK.sub(" ", visible).strip()
    if len(read) < len(text) and len(line) < limit:
        return line + "…"
    return line if len(line) <= limit else line[: limit - 1] + "…"


def storable(text: str) -> str:
    """Text that Postgres accepts in `text` and `jsonb`: U+FFFD for NUL and lone surrogates.

    Two halves of one character that met when pieces were joined become that character.
    """
    if _SURROGATES.search(text):
        if _PAIR.search(text):
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        text = _SURROGATES.sub(lambda found: "\ufffd" * len(found[0]), text)
    return text.replace("\0", "\ufffd")


def stored_bytes(text: str) -> bytes:
    """`storable(text)` in UTF-8, fast even for long text."""
    try:
        return text.encode().replace(b"\0", "\ufffd".encode())
    except UnicodeEncodeError:
        return storable(text).encode()


def redact(text: str, secrets: Iterable[str]) -> str:
    """Text with `***` for each of our secrets, in every usual encoding.

    That is: plain, in lower case as in host names, URL-encoded, in base64 and hexadecimal, as in
    JSON and HTML. Of a header value such as `Bearer …` the credential alone is redacted, too.
    Secrets shorter than six characters are left alone.
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
        for escaped in (
            _escaped(value),
            _escaped(value).replace("/", "\\/"),
            json.dumps(value, ensure_ascii=False)[1:-1],
        ):
            yield from (escaped, _escaped(escaped))  # JSON within JSON, as in transcripts
        for encoded in (base64.b64encode, base64.urlsafe_b64encode):
            yield encoded(value.encode(errors="replace")).decode().rstrip("=")
        for encode in (partial(quote, safe=""), quote, quote_plus):
            escaped = encode(value, errors="surrogatepass")
            yield from (escaped, _PERCENT.sub(lambda match: match[0].lower(), escaped))


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1]
