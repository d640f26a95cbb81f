"""What each transaction sets for itself: a pooler's session is not ours to set.

A database, a role or a user can change the default of every setting here, and some of them
change what a value means: each transaction therefore brings its own. Not pinned are
`default_transaction_read_only`, which tells that nothing can be written, and what only
changes speed.
"""

import re

from sqlalchemy import make_url

IDLE_IN_TRANSACTION_S = 10  # below 20 s: a suspended worker's locks delay nobody for longer

# Values are ours and hold no quote.
_PINNED = {
    "timezone": "UTC",
    "datestyle": "ISO, MDY",  # psycopg reads no other
    "intervalstyle": "postgres",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "lc_numeric": "C",
    "lc_monetary": "C",
    "lc_time": "C",
    "row_security": "on",
}
# Unknown to older servers.
_PINNED_WHERE_KNOWN = {
    "restrict_nonsystem_relation_kind": "",
    "transaction_timeout": "0",
}
_SEARCH_PATH = '"$user", public'


def preamble(url: str, *, statement_timeout_s: int, idle_s: int = IDLE_IN_TRANSACTION_S) -> str:
    """The first statement of every transaction; its row says whether it may write (`on`, `off`)."""
    settings = _PINNED | {
        "statement_timeout": f"{statement_timeout_s}s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": f"{idle_s}s",
        "search_path": search_path(url),
    }
    each = [f"set_config('{name}', {_literal(value)}, true)" for name, value in settings.items()]
    each += [
        f"CASE WHEN current_setting('{name}', true) IS NOT NULL "
        f"THEN set_config('{name}', '{value}', true) END"
        for name, value in _PINNED_WHERE_KNOWN.items()
    ]
    return f"SELECT current_setting('transaction_read_only'), {', '.join(each)}"


def search_path(url: str) -> str:
    """The schemas an address asks for by `options=-csearch_path=...`; else Postgres' default."""
    options = make_url(url).query.get("options", "")
    text = " ".join(options) if isinstance(options, tuple) else options
    found = _SEARCH_PATH
    for word in re.split(r"(?<!\\)\s+", text.replace("-c ", "-c")):
        name, _, value = word.removeprefix("--").removeprefix("-c").partition("=")
        if name.replace("-", "_").lower() == "search_path" and value:
            found = re.sub(r"\\(.)", r"\1", value)
    return found


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
