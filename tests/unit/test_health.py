"""A health page is held to its words; what cannot be judged is left open."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from monitor.health_page import HealthPage, address, expectation, statement
from tests.case_tables import each

FINE = {"status": "healthy", "services": {"router": True, "db": False}, "error": None, "n": 7}


def judged(*expect: str, status: int | None = 200, document: Any = FINE) -> Any:
    page = HealthPage(url="http://rag/health", every=timedelta(minutes=5), expect=expect)
    return statement(page, http_status=status, document=document)


@each(
    ("expect", "met"),
    [
        ("status == 'healthy'", True),
        ("status == 'ok'", False),
        ("services.router", True),
        ("services.db", False),
        ("!error", True),
        ("missing.entirely", False),
        ("n > `5`", True),
        ("n > `7`", False),
        ("length(services) == `2`", True),
        ("length(n)", False),  # a figure has no length: not met, not a crash
        ("services.router && !(services.db)", True),
    ],
)
def test_an_expectation_is_met_when_it_finds_something(expect: str, met: bool) -> None:
    found = judged(expect)
    assert found.healthy is met
    assert found.unmet == (() if met else (expect,))


@pytest.mark.parametrize(
    ("status", "document", "healthy"),
    [
        (200, FINE, True),
        (503, FINE, False),
        (503, None, False),
        (200, None, None),  # no JSON: the expectation cannot be judged
        (None, None, None),  # no answer
        (200, [1, 2], False),
    ],
)
def test_what_was_not_said_is_not_judged(status: int | None, document: Any, healthy: Any) -> None:
    assert judged("status == 'healthy'", status=status, document=document).healthy is healthy


def test_a_page_without_expectations_is_judged_by_its_status_alone() -> None:
    assert judged(document=None).healthy is True
    assert judged(status=500, document=None).unmet == ("HTTP 200",)


def test_facts_are_what_the_expectations_look_at_without_figures() -> None:
    found = judged("status == 'ok'", "services.router", "!error", "n > `5`", "missing",
                   document=FINE | {"n": Decimal("7.5")})  # fmt: skip
    assert found.facts == {
        "status": "healthy", "services.router": True, "error": None, "missing": None}  # fmt: skip
    assert judged("!services.router").facts == {}, "jmespath reads (!services).router"


def test_foreign_text_in_facts_is_made_harmless_and_short() -> None:
    found = judged("status", document={"status": "\x1b[31m" + "x" * 999})
    assert found.facts["status"] == "x" * 199 + "…"


@pytest.mark.parametrize("bad", ["status ==", "nofunction(x)", "'", ""])
def test_what_is_no_expression_is_refused_with_the_remedy(bad: str) -> None:
    with pytest.raises(ValueError, match="write a JMESPath expression such as status == 'healthy'"):
        expectation(bad)


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("/warmup/stats", "https://rag.test/warmup/stats"),
        ("health", "https://rag.test/v1/health"),
        ("https://other.test/x", "https://other.test/x"),
    ],
)
def test_a_path_is_one_of_the_target(url: str, whole: str) -> None:
    assert address("https://rag.test/v1", url) == whole
