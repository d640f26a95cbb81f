"""What gateways say in response headers: who served, how often they fell back, what it cost.

`gateways.toml` lists their headers and where they are documented.
"""

import tomllib
from collections.abc import Mapping
from importlib.resources import files

from monitor.dialects.charges import amount
from monitor.domain import Claim, ClaimKind, ParsedEvent, Usage

_ROWS = tomllib.loads(
    files("monitor.dialects").joinpath("gateways.toml").read_text(encoding="utf-8")
)["gateway"]


def _headers(use: str) -> tuple[str, ...]:
    return tuple(header for row in _ROWS for header in row.get(use, ()))


_MODELS = tuple(tuple(row.get("model", ())) for row in _ROWS)  # of each, the first one counts
_COUNTS = (*_headers("group"), *_headers("fallbacks"))
_IDS, _HOSTS, _CHARGES = _headers("id"), _headers("host"), _headers("charge")


def parse_headers(headers: Mapping[str, str]) -> ParsedEvent:
    """Claims and the cost in a response head; names are in lower case.

    A cost of zero is not heard: a gateway that streams sends its head before it knows.
    """
    named = (next((name for name in names if headers.get(name)), "") for names in _MODELS)
    claims = [
        *(Claim(ClaimKind.HEADER, name, headers[name]) for name in named if name),
        *(Claim(ClaimKind.HEADER, name, headers[name]) for name in _COUNTS if headers.get(name)),
        *(Claim(ClaimKind.HEADER, "id", headers[name]) for name in _IDS if headers.get(name)),
        *(Claim(ClaimKind.HOST, name, headers[name]) for name in _HOSTS if headers.get(name)),
    ]
    stated = [amount(headers[name]) for name in _CHARGES if headers.get(name)]
    cost = next((one.usd for one in stated if one.usd), None)
    faults = tuple(one.fault for one in stated if one.fault)
    charged = cost is not None or faults
    return ParsedEvent(
        claims=tuple(claims), usage=Usage(cost_usd=cost, faults=faults) if charged else None
    )
