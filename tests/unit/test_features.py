"""What a fingerprint looks at, and when it looks away."""

import pytest

from monitor.identity.fingerprint.features import (
    MARKS,
    AnswerText,
    answer_features,
    language,
    other_language,
    unsuitable,
    usual_language,
)
from tests.case_tables import each

LONG = "The office is open from nine to five, and you can bring your papers with you."


def marks(text: str) -> dict[str, float]:
    return dict(zip(MARKS, answer_features(AnswerText("q", text)).marks, strict=True))


def test_hashes_are_the_same_in_every_process() -> None:
    assert answer_features(AnswerText("q", "Hi")).grams == (27996, 106388)


@each(
    ("text", "mark", "value"),
    [
        ("# One\ntwo", "headings", 0.5),
        ("- one\n- two\nthree\nfour", "bullets", 0.5),
        ("1. one\n2) two", "numbered lines", 1.0),
        ("Are you?", "ends with a question", 1.0),
        ("Good 🌴", "emoji", 1.0),
        ("I'm sure it's I", "contractions", 50.0),
        ("four", "word length", 4 / 6),
        ("", "words", 0.0),
    ],
)
def test_marks(text: str, mark: str, value: float) -> None:
    assert marks(text)[mark] == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        (LONG, "english"),
        ("Il visto è per una persona che vive con noi e non lavora.", "italian"),
        ("Visa ini adalah untuk orang yang tinggal di Bali dengan keluarga.", "indonesian"),
        ("签证的费用取决于您的国籍和停留时间。", "chinese"),
        ("KITAS 2026", None),
        # Terse English: words that other languages have as well.
        ("As stated: no. As for fees, no. As of May: do apply.", "english"),
        ("No. No. As above. No.", None),
        ("Work: no. Study: no. Do as told; do no work.", None),
        ("Use e-visa, e-mail or e-form. E.g. e-visa C1.", None),
        ("See example.com, portal.com and visa.com. No fee.", None),
        ("OS: Linux. DO: apply. OS: any. NO fee. OS.", None),
        ("IDR 500 per day, per visa, per person.", None),
        ("Come early; come with forms, plus photos, plus fees per head.", "english"),
        ("Terms met. Fee met. Photo met. Is of use.", None),
        ("Los Angeles, Las Vegas, El Paso, Los Alamos.", None),
        ("Rio de Janeiro, Foz do Iguaçu, Vila da Glória: no visa.", None),
        ("A passport, a photo, a form.", None),
        ("I need a passport and a photo.", "english"),
        ("We die, plus pour, no con, en route.", "english"),
        # The other languages stay recognised, also when they are brief.
        ("O visto é para você e não custa mais.", "portuguese"),
        ("Não, o visto não permite trabalho em Bali.", "portuguese"),
        ("No, el visado es para los turistas y no permite trabajar.", "spanish"),
        ("Non, le visa est pour les touristes et ne permet pas de travailler.", "french"),
        ("Nein, das Visum ist nicht für die Arbeit in Bali.", "german"),
        ("Nee, het visum is niet voor werk, je mag er een huis huren.", "dutch"),
        ("No, il visto non è per lavorare, ma puoi studiare.", "italian"),
        ("Sono un assistente e non posso dire di più, ma posso aiutarti con la visa.", "italian"),
        ("Tidak, visa ini tidak bisa untuk bekerja.", "indonesian"),
    ],
)
def test_language(text: str, spoken: str | None) -> None:
    assert language(text) == spoken


def test_the_usual_language_is_that_of_most_answers() -> None:
    assert usual_language([LONG, LONG, "KITAS"]) == "english"
    assert usual_language([LONG, "KITAS", "NIB"]) is None
    assert usual_language([]) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" * 39, "fewer than 40 characters"),
        ("x" * 40, None),
        ("I'm sorry, but I can't help with that request of yours today.", "refusal"),
        (LONG, None),
    ],
)
def test_an_answer_without_a_manner_is_not_judged(text: str, reason: str | None) -> None:
    found = unsuitable(text, refusing=False)
    assert found is None if reason is None else reason in (found or "")


def test_an_answer_in_another_language_is_recognised() -> None:
    italian = "Il visto è per una persona che vive con noi e non lavora."
    assert other_language(italian, usual="english") == (
        "the answer is in italian, the baseline in english"
    )
    assert other_language(italian, usual="italian") is None
    assert other_language(italian, usual=None) is None
    assert other_language("KITAS", usual="english") is None


def test_refusals_are_judged_where_the_baseline_refuses_too() -> None:
    assert unsuitable("I'm sorry, but I can't help with that today.", refusing=True) is None
