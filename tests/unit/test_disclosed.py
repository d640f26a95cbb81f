"""The name a response gives of itself, as the row keeps it."""

import pytest

from monitor.domain import Claim, ClaimKind
from monitor.probing.observe import _disclosed

SERVED = Claim(ClaimKind.SIBLING, "model_used", "llama-4-scout")
CONSTANT = Claim(ClaimKind.SIBLING, "ai_used", "haiku")
FIELD = Claim(ClaimKind.FIELD, "model", "prod-chat")


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ((FIELD, SERVED), "llama-4-scout"),  # the most trusted kind
        ((CONSTANT,), None),  # what always says the same says nothing
        ((CONSTANT, FIELD), "prod-chat"),
        ((), None),
    ],
)
def test_it_is_the_most_trusted_one_and_never_a_constant(
    claims: tuple[Claim, ...], name: str | None
) -> None:
    assert _disclosed(claims, untrusted=("ai_used",)) == name
