"""`monitor compare` against real servers: two models of one target, and two targets."""

import json
import time
from pathlib import Path
from random import Random
from typing import Any

from tests.contract.cli import Ended, call
from tests.contract.test_init import SSE, Asked, Reply, served

QUICK, SLOW = "meta-llama/llama-4-scout", "anthropic/claude-haiku-4-5"
CONFIGURATION = """
[targets.rag]
url = "{url}/v1/chat/completions"
dialect = "openai_chat"
model = "meta-llama/llama-4-scout"
expected_models = ["meta-llama/llama-4-scout"]
headers = {{ Authorization = "Bearer ${{SERVICE_KEY}}" }}
[[targets.rag.queries]]
id = "hi"
text = "Hi"
prompt_tokens = 20
[[targets.rag.queries]]
id = "visa"
text = "Which visa?"
prompt_tokens = 20
{more}
"""


def stream(model: str, text: str, *, prompt: int = 20, answer: int = 40) -> Reply:
    def event(**fields: Any) -> str:
        return f"data: {json.dumps({'model': model, **fields})}\n\n"

    usage = {"prompt_tokens": prompt, "completion_tokens": answer}
    pieces = [event(choices=[{"delta": {"content": word + " "}}]) for word in text.split(" ")]
    end = event(choices=[{"delta": {}, "finish_reason": "stop"}])
    return 200, SSE, [*pieces, end, event(choices=[], usage=usage), "data: [DONE]\n\n"]


class Models:
    """Two models of one service and a judge that prefers the longer answer."""

    def __init__(self, *, judge: str | None = None) -> None:
        self.asked: list[str] = []
        self._chance = Random(3)
        self._judge = judge

    def __call__(self, request: Asked) -> Reply:
        model = request["body"]["model"]
        self.asked.append(model)
        if model == "judge-1":
            return stream(model, self._judge or self._longer(request))
        if model == SLOW:
            time.sleep(0.03)
            return stream(model, "Good day. " * self._chance.randint(4, 9), answer=90)
        return stream(model, "Hello. " * self._chance.randint(2, 3))

    @staticmethod
    def _longer(request: Asked) -> str:
        text = request["body"]["messages"][0]["content"]
        first, second = text.split("<first-")[1], text.split("<second-")[1]
        return "SECOND" if len(second) > len(first.split("<second-")[0]) else "FIRST"


def compared(home: Path, url: str, *arguments: str, more: str = "", **given: str) -> Ended:
    (home / "monitor.toml").write_text(CONFIGURATION.format(url=url, more=more))
    return call(("compare", *arguments), home=home, SERVICE_KEY="canary-key-4711", **given)


def test_two_models_of_one_target_are_compared_in_turn(tmp_path: Path) -> None:
    page = tmp_path / "answers.html"
    models = Models()
    with served(models) as (url, _):
        ended = compared(
            tmp_path, url, QUICK, SLOW, "--target", "rag", "--count", "4", "--html", str(page),
            "--judge-url", f"{url}/v1", "--judge-model", "judge-1", "--judge-key-variable",
            "JUDGE_KEY", JUDGE_KEY="canary-judge-0815",
        )  # fmt: skip
    assert (ended.status, ended.err) == (0, "")
    probes = [model for model in models.asked if model != "judge-1"]
    pairs = list(zip(probes[::2], probes[1::2], strict=True))
    assert {frozenset(pair) for pair in pairs} == {frozenset((QUICK, SLOW))}
    assert len(set(pairs)) == 2, "neither side is always the first"
    lines = ended.out.splitlines()
    assert lines[0] == f"8 pairs of 2 queries: A is {QUICK}, B is {SLOW}"
    assert any(line.startswith("judge judge-1: prefers A 0, B 8, tie 0") for line in lines)
    assert any("swapped: 100 %" in line for line in lines)
    assert lines[-1].startswith(f"Weigh it: {SLOW} is preferred by the judge in 8 of 8")
    assert " × as much" in lines[-1]
    html = page.read_text()
    assert html.count('class="compared"') == 8
    assert "Which visa?" in html
    assert "canary" not in ended.out + html


def test_as_json_the_numbers_have_names_and_units(tmp_path: Path) -> None:
    with served(Models(judge="FIRST")) as (url, _):
        ended = compared(
            tmp_path, url, QUICK, SLOW, "--target", "rag", "--count", "3", "--json",
            "--judge-url", url, "--judge-model", "judge-1",
        )  # fmt: skip
    result = json.loads(ended.out)
    assert (result["pairs"], result["queries"]) == (6, ["hi", "visa"])
    timed = [one for one in result["differences"] if one["metric"] == "time to first token"]
    assert sum(one["pairs"] for one in timed) + result["untimed"] == 6
    cost = next(one for one in result["differences"] if one["metric"] == "cost per query")
    assert (cost["unit"], cost["statistic"], cost["pairs"]) == ("USD", "mean", 6)
    assert cost["low"] <= cost["difference"] <= cost["high"]
    assert cost["low"] > 0
    assert result["models"] == {"a": {QUICK: 6}, "b": {SLOW: 6}}
    judge = result["judge"]
    assert (judge["by_order"], judge["agreement"], judge["prefers_b_low"]) == (6, 0.0, None)
    assert "judge" not in result["conclusion"], "it always says FIRST"


def test_two_targets_one_of_which_fails(tmp_path: Path) -> None:
    def service(request: Asked) -> Reply:
        if "other" in request["path"]:
            return 500, "application/json", ['{"error":"down"}']
        return stream(QUICK, "Hello there")

    with served(service) as (url, _):
        other = f"""
[targets.other]
url = "{url}/other/v1/chat/completions"
dialect = "openai_chat"
[[targets.other.queries]]
id = "hi"
text = "Hi"
"""
        ended = compared(tmp_path, url, "rag", "other", "--count", "1", more=other)
        same = compared(tmp_path, url, "rag", "rag", more=other)
        unknown = compared(tmp_path, url, "rag", "nope", more=other)
    assert ended.status == 1
    assert "no pair was answered by both sides, of 2" in ended.err
    assert ended.out.splitlines()[-2] == "other: 2 × HTTP 500: down"
    assert any(line.split() == ["answered", "2", "of", "2", "0", "of", "2", "−2", "p", "=", "0.5",
                                "(not", "shown)"] for line in ended.out.splitlines())  # fmt: skip
    assert "2 pairs are too few to show a difference between rag and other" in ended.out
    assert (same.status, unknown.status) == (2, 2)
    assert '"rag" is both sides' in same.err
    assert 'unknown target "nope"; known: other, rag' in unknown.err


def test_a_side_that_never_answers_is_the_conclusion_and_two_are_an_error(tmp_path: Path) -> None:
    def service(request: Asked) -> Reply:
        if request["body"]["model"].startswith(SLOW):
            return 500, "application/json", ['{"error":"down"}']
        return stream(QUICK, "Hello there")

    with served(service) as (url, _):
        one = compared(tmp_path, url, QUICK, SLOW, "--target", "rag", "--count", "4", "--json")
        both = compared(tmp_path, url, SLOW, f"{SLOW}:b", "--target", "rag", "--count", "1")
    result = json.loads(one.out)
    assert one.status == 1
    assert result["conclusion"].startswith(f"Keep {QUICK}: {SLOW} answers in 0 of 8 instead of 8, ")
    assert result["conclusion"].endswith(
        "(time to first token, time to the end and cost could not be compared)."
    )
    assert result["differences"] == []
    assert (both.status, both.out) == (1, "")
    assert "neither side answered, in 2 pairs" in both.err


def test_what_cannot_be_compared_at_all_is_said_in_every_form(tmp_path: Path) -> None:
    def service(request: Asked) -> Reply:
        if request["body"]["model"].startswith(QUICK):
            return stream(QUICK, "Hello there")
        return 500, "application/json", ['{"error":"down"}']

    page, never = tmp_path / "page.html", tmp_path / "never.html"
    both = (SLOW, f"{SLOW}:b", "--target", "rag", "--count", "1")
    with served(service) as (url, _):
        none = compared(tmp_path, url, *both, "--json", "--html", str(page))
        unpaid = compared(tmp_path, url, *both, "--budget", "0", "--html", str(never))
        kept = compared(tmp_path, url, *both, "--budget", "0", "--html", str(page))
        down = compared(tmp_path, url, SLOW, QUICK, "--target", "rag", "--count", "1")
    result = json.loads(none.out)
    said = f"Neither {SLOW} nor {SLOW}:b answered, in 2 pairs: nothing could be compared."
    assert (none.status, result["conclusion"]) == (1, said)
    assert result["errors"][0] == f"{SLOW}: 2 × HTTP 500: down"
    assert (unpaid.status, never.exists()) == (1, False), "no empty page"
    assert (kept.status, said in page.read_text()) == (1, True), "the page of before is kept"
    assert down.status == 1
    assert f": {SLOW} never answered; see its errors, then repeat with at least 8" in down.out


def test_a_budget_of_nothing_sends_nothing_and_an_unknown_price_is_said(tmp_path: Path) -> None:
    with served(Models()) as (url, asked):
        none = compared(tmp_path, url, QUICK, SLOW, "--target", "rag", "--budget", "0")
        assert not asked
        wrong = compared(tmp_path, url, QUICK, SLOW, "--target", "rag", "--budget", "nan")
        unpriced = compared(
            tmp_path,
            url,
            "acme/one",
            "acme/two",
            "--target",
            "rag",
            "--count",
            "1",
            "--budget",
            "0",
        )
    assert none.status == 1
    assert "stopped after 0 of 20 pairs: the next could exceed the budget of $0" in none.err
    assert (wrong.status, wrong.error) == (2, None)
    assert (
        "cost of this comparison: not known: 4 answers without a price, the others at most $0.00"
        in unpriced.out
    )


def test_it_stops_before_the_pair_that_could_exceed_the_budget(tmp_path: Path) -> None:
    models = Models()
    with served(models) as (url, _):
        ended = compared(
            tmp_path, url, QUICK, SLOW, "--target", "rag", "--count", "50", "--budget", "0.005"
        )
    assert ended.status == 0
    assert 2 <= len(models.asked) < 100
    assert any(
        line.startswith("stopped after ") and "the budget of $0.005" in line
        for line in ended.out.splitlines()
    )


def test_what_cannot_be_compared_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with served(Models()) as (url, asked):
        for arguments, wanted in [
            ((QUICK, QUICK, "--target", "rag"), "name two models"),
            ((QUICK, SLOW, "--target", "nope"), 'unknown target "nope"; known: rag'),
            ((QUICK, SLOW, "--target", "rag", "--query", "no"), 'no query "no"; known: hi, visa'),
            ((QUICK, SLOW, "--target", "rag", "--judge-url", url), "--judge-url needs"),
            ((QUICK, SLOW, "--target", "rag", "--judge-model", "x"), "need --judge-url"),
            (
                (QUICK, SLOW, "--target", "rag", "--judge-model", "x", "--judge-url", "judge"),
                "--judge-url: write an address such as https://",
            ),
            (
                (QUICK, SLOW, "--target", "rag", "--html", str(tmp_path / "no" / "x")),
                "x: the folder",
            ),
            (
                (QUICK, SLOW, "--target", "rag", "--judge-url", url, "--judge-model", "x",
                 "--judge-key-variable", "NOT_SET"),
                "NOT_SET (--judge-key-variable) is not set",
            ),
        ]:  # fmt: skip
            ended = compared(tmp_path, url, *arguments)
            assert ended.status == 2, arguments
            assert wanted in ended.err
        assert not asked


def test_expectations_of_a_query_are_compared(tmp_path: Path) -> None:
    models = Models()
    with served(models) as (url, _):
        more = 'expect = { contains = ["hello"] }'  # of the last query
        ended = compared(
            tmp_path, url, QUICK, SLOW, "--target", "rag", "--count", "8", "--query", "visa",
            "--json", more=more,
        )  # fmt: skip
    result = json.loads(ended.out)
    passed = next(one for one in result["shares"] if one["name"] == "passed its checks")
    assert (passed["pairs"], passed["a"], passed["b"]) == (8, 8, 0)
    assert passed["p"] < 0.01
    assert "passes its checks in 0 of 8 instead of 8" in result["conclusion"]
