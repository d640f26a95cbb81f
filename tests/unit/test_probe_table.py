"""The table that `monitor probe` prints: who answered, each judgement under its own name."""

import pytest

from monitor.cli.output import _row
from monitor.domain import Identity
from tests.facts import HAIKU, LLAMA, observation

MODEL = 8  # the column of the models


@pytest.mark.parametrize(
    ("identity", "model", "shown"),
    [
        (Identity.EXPECTED, LLAMA, LLAMA),
        (Identity.FALLBACK, HAIKU, HAIKU),
        (Identity.UNKNOWN, None, "unknown"),
        (Identity.CHANGED, None, "changed"),
        (Identity.CHANGED, LLAMA, f"{LLAMA} (changed)"),
        (Identity.DISPUTED, LLAMA, f"{LLAMA} (disputed)"),
    ],
)
def test_a_change_is_not_shown_as_unknown(
    identity: Identity, model: str | None, shown: str
) -> None:
    assert _row("all", [observation(identity=identity, model_detected=model)])[MODEL] == shown
