"""What gateways say in response headers: who served, how often they fell back, what it cost."""

from collections.abc import Mapping

from monitor.dialects.fields import money
from monitor.domain import Claim, ClaimKind, Heard, Usage

SOURCES = {
    "x-litellm-model-name": "x-litellm-model-name",
    "x-litellm-model-group": "x-litellm-model-group",
    "x-litellm-model-id": "x-litellm-model-id",
    "x-litellm-attempted-fallbacks": "x-litellm-attempted-fallbacks",
    "ngrok-aig-model": "ngrok-aig-model",
    "x-generation-id": "id",  # OpenRouter's id of the answer, the same as in its chunks
}


def overhear(headers: Mapping[str, str]) -> Heard:
    """Claims and the cost in a response head; names are in lower case.

    A cost of zero is not heard: a gateway that streams sends its head before it knows.
    """
    cost = money(headers.get("x-litellm-response-cost"))
    return Heard(
        claims=tuple(Claim(ClaimKind.HEADER, source, headers[name])
                     for name, source in SOURCES.items() if headers.get(name)),
        usage=Usage(cost_usd=cost) if cost else None,
    )  # fmt: skip
