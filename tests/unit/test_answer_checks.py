"""Checks of an answer's content: what fails, which failure is named, and what is not judged."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from monitor.answer_checks import CHECKS, LONGEST, WHOLE, CheckedAnswer, failed_check
from monitor.config.query_schema import ExpectSection, QuerySection
from monitor.config.value_kinds import fields_normalized
from monitor.domain import AnswerExpectation, Finish
from tests.case_tables import each

ENGLISH = "The visa is for the people who are in the country, and it is not for work."
ITALIAN = "Il visto è per le persone che sono nel paese, non per il lavoro con una società."


def failure(text: str = ENGLISH, *, answer: dict[str, Any] | None = None, **expect: Any) -> str:
    """The name of the first failed check; "" if all pass."""
    found = failed_check(AnswerExpectation(**expect), CheckedAnswer(text, **(answer or {})))
    return (found or "").partition(":")[0]


@each(("expect", "text", "wanted"), [
    ({}, "", ""),
    ({"contains": ("VISA", "work")}, ENGLISH, ""),
    ({"contains": ("visa", "KITAS")}, ENGLISH, "contains"),
    ({"contains": ("straße",)}, "Die STRASSE ist lang", ""),
    ({"not_contains": ("sorry",)}, ENGLISH, ""),
    ({"not_contains": ("Visa",)}, ENGLISH, "not_contains"),
    ({"matches": r"\bvisa\b.*work"}, ENGLISH, ""),
    ({"matches": r"^visa"}, ENGLISH, "matches"),
    ({"min_chars": 10}, " 123456789 ", "min_chars"),
    ({"min_chars": 9}, " 123456789 ", ""),
    ({"max_chars": 9}, " 123456789 ", ""),
    ({"max_chars": 8}, " 123456789 ", "max_chars"),
    ({"language": "english"}, ENGLISH, ""),
    ({"language": "english"}, ITALIAN, "language"),
    ({"language": "english"}, "42", ""),  # too short for a language
    ({"language": "thai"}, "สวัสดีครับ", ""),
    ({"json": True}, '{"a": [1, 2]}', ""),
    ({"json": True}, '```json\n{"a": 1}\n```', ""),
    ({"json": True}, 'Here it is: {"a": 1}', "json"),
    ({"json": True}, "[" * 100_000, "json"),
    ({"json": True}, "1" * 5_000, ""),  # more digits than Python converts
    ({"json": True}, "\ufeff~~~json5\r\n{}\r\n  ~~~", ""),
    ({"json": True}, '```json\n{"a": 1}\n```\nAnything else?', "json"),
    ({"json": True}, "NaN", "json"),
    ({"json": True}, '{"a": -Infinity}', "json"),
    ({"contains": ("café",)}, "Das Cafe\u0301", ""),  # a combining character
    ({"contains": ("😀",)}, "Hi \ud83d\ude00", ""),  # split between two events
    ({"matches": "^😀 é$"}, "\ud83d\ude00 e\u0301", ""),
    ({"max_chars": 2}, "\ud83d\ude00e\u0301", ""),
    ({"contains": ("don't say \"KITAS E-28\"",)}, "Don’t say\n  “KITAS\u00a0E‑28”", ""),
    ({"not_contains": ("e-28",)}, "E‑28", "not_contains"),
    ({"contains": (" AI ",)}, "He said", "contains"),  # blanks count
    ({"contains": (" AI ",)}, "ai", ""),
    ({"contains": ("إقامة", "签证", "비자")}, "تصريح إقامة, 签证, 비자", ""),
    ({"contains": ("x",)}, "\ud83d\x00\u202e", "contains"),
    ({"json": True}, "", "json"),
])  # fmt: skip
def test_each_check(expect: dict[str, Any], text: str, wanted: str) -> None:
    assert failure(text, **expect) == wanted


JAPANESE = "投資家向け滞在許可の申請には、以下の書類が必要です。"
CODE = (
    "```python\nfor x in the_list:\n    if x is not None and not y or z:\n        return x\n```\n"
)


@each(("expected", "text", "found"), [
    ("japanese", JAPANESE, None),  # more Han characters than kana
    ("chinese", JAPANESE, "japanese"),
    ("chinese", "您需要申请投资者签证,并准备以下材料。", None),
    ("italian", f"Ecco il codice:\n{CODE}Non è per il lavoro con la società.", None),
    ("italian", CODE, None),
    ("italian", "Il libro 'The Lord of the Rings: The Return of the King' è un capolavoro.", None),
    ("italian", "Si veda https://example.com/the-list/of/all?is=it&for=you and", None),
    ("italian", "Il file `if it is not for you and me` va bene.", None),
    ("english", "The KITAS (تصريح الإقامة المحدودة للمستثمرين الأجانب) is for investors.", None),
    ("english", "Say «non lo so, non è per me che sono con il cane» if it is not for you.", None),
    ("english", "Jakarta, Surabaya, Bandung, Rio de Janeiro, Los Angeles, Vincent van Gogh", None),
    ("english", "1234 5678 90.5 %, Rp 18.000.000", None),
    ("english", "Yes.", None),
    ("english", "😀👍🏽", None),
    ("english", "วีซ่านักลงทุนเพื่ออาศัยอยู่ในประเทศ", "thai"),
    ("thai", ENGLISH, "english"),
    ("arabic", ITALIAN, "italian"),
    ("indonesian", ENGLISH, "english"),
    ("english", ITALIAN + CODE, "italian"),
    ("english", f"{ITALIAN} {ENGLISH}", None),  # a mixture
    ("italian", f"{ITALIAN} {ENGLISH}", None),
    ("spanish", "Você precisa de um visto para morar no país, e o processo não é longo.",
     "portuguese"),
])  # fmt: skip
def test_only_a_certain_other_language_fails(expected: str, text: str, found: str | None) -> None:
    wrong = failed_check(AnswerExpectation(language=expected), CheckedAnswer(text))
    assert wrong == (found and f"language: the answer is in {found}, expected is {expected}")


@each(("count", "wanted"), [(None, "sources_at_least"), (0, "sources_at_least"),
                            (1, "sources_at_least"), (2, ""), (3, "")])  # fmt: skip
def test_sources(count: int | None, wanted: str) -> None:
    assert failure(sources_at_least=2, answer={"sources": count}) == wanted


def test_a_cut_answer_fails_unless_that_is_expected() -> None:
    cut = {"finish": Finish.LENGTH}
    assert failure(answer=cut) == "complete"
    assert failure(answer=cut, complete=False) == ""
    assert failure(answer={"finish": Finish.STOP}) == ""
    assert failure(answer={"finish": None}) == "", "most protocols do not say"


def test_the_first_failure_in_a_fixed_order_is_named_with_what_is_wrong() -> None:
    expect = AnswerExpectation(contains=("KITAS",), min_chars=500, language="italian")
    assert failed_check(expect, CheckedAnswer(ENGLISH)) == "contains: “KITAS” is missing"
    assert list(CHECKS)[:2] == ["complete", "contains"]


def test_what_we_cut_ourselves_is_judged_by_what_was_read_alone() -> None:
    answer = {"cut": True}
    assert failure(contains=("KITAS",), min_chars=9_999, json=True, answer=answer) == ""
    assert failure(not_contains=("visa",), answer=answer) == "not_contains"
    assert failure(max_chars=5, answer=answer) == "max_chars"
    assert CHECKS.keys() >= WHOLE


def test_a_message_is_one_short_line_whatever_the_configuration_holds() -> None:
    expect = AnswerExpectation(contains=("a\nb\x1b[31m" + "x" * 10_000,))
    found = failed_check(expect, CheckedAnswer(ENGLISH)) or ""
    assert len(found) < 200
    assert found.isprintable()


def test_only_the_beginning_of_an_endless_answer_is_examined() -> None:
    text = "a" * LONGEST + "visa"
    assert failure(text, contains=("visa",)) == "contains"


@each(("expect", "wanted"), [
    ({"matches": "("}, "not a regular expression"),
    ({"language": "klingon"}, "write one of arabic"),
    ({"contains": [" "]}, "contains"),
    ({"contains": ["\u200b"]}, "must not be empty"),
    ({"matches": ""}, "every answer matches it"),
    ({"contains": ["Visa"], "not_contains": ["ISA"]}, "no answer can contain “Visa” without “ISA”"),
    ({"contains": ["visa"], "max_chars": 3}, "raise max_chars"),
    ({"min_chars": 5, "max_chars": 4}, "write at most max_chars"),
    ({"min_chars": LONGEST + 1}, "less than or equal"),
    ({"contain": ["x"]}, "contain"),
])  # fmt: skip
def test_impossible_expectations_are_refused(expect: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ValidationError, match=wanted):
        QuerySection(id="q", text="Hi", expect=expect)


def test_expectations_on_a_whole_answer_need_a_whole_answer() -> None:
    for expect in ({"json": True}, {"contains": ["x"]}, {"min_chars": 3}):
        with pytest.raises(ValidationError, match="remove stop_after_chars"):
            QuerySection(id="q", text="Hi", stop_after_chars=100, expect=expect)
    for expect in ({"not_contains": ["x"]}, {"language": "english"}, {"complete": False}):
        QuerySection(id="q", text="Hi", stop_after_chars=100, expect=expect)


def test_blanks_of_a_text_and_of_a_pattern_are_kept_and_a_language_has_any_case() -> None:
    expect = {"contains": " AI ", "not_contains": ["a ", " b"], "matches": " x", "language": "Thai"}
    section = ExpectSection.model_validate(fields_normalized(expect, ExpectSection))
    assert section.contains == [" AI "]
    assert section.not_contains == ["a ", " b"]
    assert (section.matches, section.language) == (" x", "thai")


def test_one_text_may_stand_without_brackets() -> None:
    section = QuerySection.model_validate_json(
        json.dumps({"id": "q", "text": "Hi", "expect": {"contains": "KBLI"}})
    )
    assert section.expect.contains == ["KBLI"]
