"""A second answer appended to the first, and the stalls that are none."""

import pytest

from monitor.domain import TextDelta
from monitor.identity.claims import answer_switch
from tests.case_tables import each

MS = 1_000_000


def stream(*parts: str, pause_ms: float, gap_ms: float = 20) -> list[TextDelta]:
    """Parts split at `|`, a gap between pieces and a pause between parts."""
    pieces, at = [], 0.0
    for number, part in enumerate(parts):
        at += pause_ms - gap_ms if number else 0
        for text in part.split("|"):
            at += gap_ms
            pieces.append(TextDelta(int(at * MS), text))
    return pieces


WELCOME = "Hey| there|!| 👋| Welcome"
ZANTARA = "Hello!| I'm ZANTARA|, your assistant| for Bali Zero|. How can| I help you?"


def test_an_answer_cut_short_and_another_appended_are_two() -> None:
    found = answer_switch(stream(WELCOME, ZANTARA, pause_ms=900))
    assert found is not None
    assert (found.first, found.second[:19]) == ("Hey there! 👋 Welcome", "Hello! I'm ZANTARA,")
    assert found.pause_ms == pytest.approx(900)
    assert found.reason == "the text greets a second time"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("A KITAS| is a| limited| stay per", "A KITAS| is a| permit for| limited stay.| It costs"),
        ("The| visa| takes about| five", "Processing| takes five| working days| in general."),
        ("You| can| apply| at the", "# Applying| for a visa|\n\nFirst| collect| your papers."),
        ("Sure|,| I can| help,", "Hi!| I can help| you with| that| right now."),
        ("I am| Llama|, made| by Meta|.", "I am Claude|, made by| Anthropic|. Ask me."),
        ("Halo|!| Selamat| datang.", "Halo! Saya| ZANTARA|, asisten| Bali Zero."),
    ],
)
def test_a_new_beginning_after_a_pause_is_a_second_answer(first: str, second: str) -> None:
    assert answer_switch(stream(first, second, pause_ms=900)) is not None


@each(
    ("first", "second"),
    [
        ("A KITAS| is a| limited| stay", " permit for| foreigners|. It lasts| a year."),
        ("A KITAS| is a| limited| stay per", "mit for| foreigners|. It lasts| a year."),
        ("A KITAS| is a| permit|.", " It is| issued by| immigration| offices."),
        ("A KITAS| is a| permit|.\n\n", "Applying| takes a| week or| more."),
        ("Here| is| a| letter:\n\n", "Hello Anna|, thank you| for| writing."),
        ("It| was| written| by Mc", "Carthy in| nineteen| fifty| or so."),
        ("The| ZANT", "ARA assistant| of Bali| Zero can| help you."),
        ("Founded| in| Java", "Script style|, it| is small| and fast."),
        ("What| is| it|?", "Nothing.| It is| a joke| of ours."),
        ("Hello!| I am| an| assistant", ", and I| can help| you with| visas."),
        ("Hey| there|!| 👋| Welcome", "Hello!"),  # too short for an answer
    ],
)
def test_an_ordinary_stall_is_none(first: str, second: str) -> None:
    assert answer_switch(stream(first, second, pause_ms=900)) is None


@pytest.mark.parametrize(
    ("pause_ms", "gap_ms", "seen"),
    [
        (900, 20, True),
        (200, 20, True),  # the shortest pause
        (199, 20, False),
        (900, 180, True),  # five times the rhythm
        (899, 180, False),
        (20, 20, False),
    ],
)
def test_the_pause_must_be_out_of_rhythm(pause_ms: float, gap_ms: float, seen: bool) -> None:
    found = answer_switch(stream(WELCOME, ZANTARA, pause_ms=pause_ms, gap_ms=gap_ms))
    assert (found is not None) is seen


def test_streams_without_blanks_show_only_what_needs_none() -> None:
    glued = "A|KITAS|is|a|limited|stay"
    assert answer_switch(stream(glued, "Processing|takes|five|working|days", pause_ms=900)) is None
    assert answer_switch(
        stream("Hey|there|Welcome|friend", "Hello!|I'm|ZANTARA|.How", pause_ms=900)
    )


@pytest.mark.parametrize("pieces", [[], [TextDelta(0, "Hello")], [TextDelta(0, "Hello")] * 9])
def test_a_stream_without_rhythm_shows_nothing(pieces: list[TextDelta]) -> None:
    assert answer_switch(pieces) is None
