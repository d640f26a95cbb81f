"""Addresses: what in them may be a secret, how a person may see them, what is wrong with one.

Nothing here raises for an address that cannot be read: its whole remainder counts as secret.
"""

import base64
import re
from collections.abc import Iterator
from difflib import get_close_matches
from urllib.parse import unquote, unquote_plus

HIDDEN = "***"
_LOOKS_SECRET = re.compile(
    r"pass|pwd|secret|token|key|auth|credential|cookie|session|signature|sig$|jwt|bearer|api.?k",
    re.IGNORECASE,
)
_LETTERS_AND_DIGITS = re.compile(r"(?=(?:[^0-9]*[0-9]){3})(?=(?:[^A-Za-z]*[A-Za-z]){3})")
_TOKEN = re.compile(r"[A-Za-z0-9_]{20,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_ISSUED = re.compile(r"(?:sk|pk|rk|xox[a-z]|ghp|gho|glpat|eyJ|AKIA|AIza)[-_A-Za-z0-9.]{6,}")

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
# Parameters of a Postgres address that a person may see; of all others only the name.
_PUBLIC_KEYWORDS = """
    application_name channel_binding client_encoding connect_timeout dbname gssencmode host hostaddr
    options port service sslmode sslnegotiation target_session_attrs user
"""
POSTGRES_PARAMETERS = frozenset(_KEYWORDS.split())
_POSTGRES_PUBLIC = frozenset(_PUBLIC_KEYWORDS.split())


def looks_secret(name: str) -> bool:
    """Whether a key, parameter or header of this name usually holds a secret."""
    return _LOOKS_SECRET.search(name) is not None


def is_token(text: str) -> bool:
    """Whether a text has the shape of an issued key, as no word or model name has."""
    if _ISSUED.search(text) or _UUID.search(text):
        return True
    return any(_LETTERS_AND_DIGITS.match(found[0]) for found in _TOKEN.finditer(text))


def shown(address: str) -> str:
    """The address without user, password, secret parameters, fragment and tokens in its path."""
    scheme, found, rest = address.strip().partition("://")
    if not found:
        return HIDDEN if looks_secret(address) or is_token(address) or "@" in address else address
    user, place, query, unsure = _parts(rest)
    if unsure:
        return f"{scheme}://{HIDDEN}"
    postgres = scheme.lower() in POSTGRES_SCHEMES
    name, colon, _ = user.partition(":")
    who = f"{name if postgres else HIDDEN}{(colon and postgres and ':' + HIDDEN) or ''}@"
    path = place if postgres else "/".join(HIDDEN if is_token(p) else p for p in place.split("/"))
    asked = "&".join(_shown_parameter(pair, postgres=postgres) for pair in query.split("&"))
    return f"{scheme}://{who if user else ''}{path}{'?' + asked if query else ''}"


def secret_parts(address: str) -> Iterator[str]:
    """Everything in an address that may be a secret, as written and decoded."""
    scheme, found, rest = address.strip().partition("://")
    if not found:
        return
    user, place, query, unsure = _parts(rest)
    if unsure:
        yield rest
        yield from re.split(r"[@:/?#&=]", rest)
        return
    postgres = scheme.lower() in POSTGRES_SCHEMES
    name, _, password = user.partition(":")
    if password:
        plain = f"{unquote(name)}:{unquote(password)}"
        yield from (password, unquote(password))
        yield base64.b64encode(plain.encode(errors="replace")).decode()
    elif user and not postgres:
        yield from (user, unquote(user))
    if not postgres:
        yield from filter(is_token, place.split("/"))
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if value and _hides(key, value, postgres=postgres):
            yield from (value, unquote(value), unquote_plus(value))


def postgres_fault(address: str) -> str | None:
    """What is wrong with the address of a database, without any value of it; None if nothing."""
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
            "name several hosts as parameters: "
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
    """User and password, host and path, parameters; and whether one cannot tell them apart."""
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
    return f"{key}={HIDDEN}" if equals and _hides(key, value, postgres=postgres) else pair


def _hides(key: str, value: str, *, postgres: bool) -> bool:
    if postgres:
        return key not in _POSTGRES_PUBLIC
    return looks_secret(key) or is_token(unquote_plus(value)) or "@" in value
