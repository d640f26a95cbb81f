"""The table that `monitor probe` prints: who answered, each judgement under its own name."""

import pytest

from monitor.cli.output import _row, answer_lines
from monitor.domain import Identity
from tests.example_data import HAIKU, LLAMA, observation
from tests.example_transcripts import target

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


def test_the_first_words_stand_beside_who_answered_and_why() -> None:
    named = observation(model_detected=LLAMA, identity_reason="model names Llama 4 Scout.")
    silent = observation(
        query="who",
        model_detected=None,
        identity=Identity.UNKNOWN,
        identity_reason="Nothing in the response identifies the model.",
    )
    seen = [(named, ""), (named, "Hey there! \x1b[31mred sk-secret-1"), (silent, "word " * 40)]
    lines = list(answer_lines(target("custom"), seen, ["sk-secret-1"]))
    assert lines[:3] == [
        "hi: “Hey there! red ***”",
        f"  {LLAMA}: model names Llama 4 Scout.",
        "who: “" + "word " * 18 + "word …”",
    ]
    assert lines[3] == "  unknown: Nothing in the response identifies the model."
    assert "`monitor baseline capture t --model NAME`" in lines[4]


def test_one_answer_to_different_queries_is_pointed_out() -> None:
    answers = [(observation(query=name), "Please ask a question, and I will answer it.")
               for name in ("hi", "who")]  # fmt: skip
    assert list(answer_lines(target("custom"), answers, []))[-1].startswith(
        "The answers to 2 different queries are identical: check that the question reaches"
    )


def test_identical_answers_are_pointed_out() -> None:
    long = observation(answer_chars=400)
    lines = list(answer_lines(target("custom"), [(long, "")] * 3, []))
    assert len(lines) == 1
    assert lines[0].startswith("hi: all 3 answers are identical. If a cache gives them")
    other = observation(answer_chars=400, answer_sha256="e" * 64)
    assert not list(answer_lines(target("custom"), [(long, ""), (other, ""), (long, "")], []))
