"""Services described in options: expressions, rules, cumulative texts, framings and ends."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from monitor.dialects import dialect_of, read
from monitor.dialects.event_rules import compiled
from monitor.dialects.json_fields import parsed
from monitor.domain import Ending, Finish, Outcome, Reply, RetrievedSources
from monitor.probing.timing import outcome
from tests.case_tables import each
from tests.example_transcripts import target, transcript

ASKS = {"path": "/ask", "query": {"q": "{query}"}}
SO_FAR = ASKS | {"text": "a", "done": "d", "cumulative": True}


def reply(options: Mapping[str, Any], *events: str | tuple[str, str]) -> Reply:
    """What is read of events, given as data alone or with their names."""
    named = [event if isinstance(event, tuple) else ("", event) for event in events]
    return read(dialect_of(target("custom", options=options)), transcript(named))


def refused(options: Mapping[str, Any]) -> list[str]:
    with pytest.raises(ValueError) as error:
        dialect_of(target("custom", options=options))
    return str(error.value).splitlines()


def test_of_cumulative_text_what_is_new_counts() -> None:
    reported = reply(SO_FAR, '{"a":"Hi"}', '{"a":"Hi"}', '{"a":""}', '{"a":"Hi there"}', '{"d":1}')
    assert [piece.text for piece in reported.pieces] == ["Hi", " there"]
    assert (reported.text, reported.ended, reported.faults) == ("Hi there", True, ())


def test_a_text_that_does_not_continue_takes_the_place_of_what_came_before() -> None:
    reported = reply(SO_FAR, '{"a":"Hi"}', '{"a":"Good day"}', '{"a":"Good day to you"}', '{"d":1}')
    assert reported.text == "Good day to you"
    assert [(p.text, p.replaced, p.read) for p in reported.pieces] == [
        ("Hi", True, 0),  # the first token came here
        ("Good day", False, 1),
        (" to you", False, 2),
    ]
    assert reported.faults == ("text that does not continue the earlier text: 1",)


def test_thoughts_of_a_text_that_begins_again_are_thoughts_again() -> None:
    reported = reply(SO_FAR, '{"a":"<think>x</think>Hi"}', '{"a":"<think>y</think>Ho"}', '{"d":1}')
    assert reported.text == "Ho"
    assert [piece.reasoning for piece in reported.final_pieces] == ["y"]


def test_cumulative_words_that_are_no_json_are_not_malformed() -> None:
    options = SO_FAR | {"text": "_event == 'say' && _data", "done": "_event == 'end'"}
    reported = reply(options, ("say", "Hi"), ("say", "Hi"), ("say", "Hi there"), ("end", ""))
    assert (reported.text, reported.malformed) == ("Hi there", 0)


RULES = ASKS | {
    "done": "_data == '[DONE]'",
    "text": "fallback",
    "model": "model",
    "rules": [
        {"when": "type == 'status'"},
        {"when": "type == 'thought'", "reasoning": "v"},
        {"when": "type == 'delta'", "text": "v", "usage": {"answer_tokens": "n"}},
        {"when": "type == 'again'", "text": "v", "cumulative": True},
        {"when": "type == 'bye'", "done": "`true`", "finish": "v", "sources": "docs"},
    ],
}


def test_the_first_rule_that_fits_reads_the_event() -> None:
    reported = reply(
        RULES,
        '{"type":"status","fallback":"not the answer","model":"m-2"}',
        '{"type":"thought","v":"hm","fallback":"no"}',
        '{"type":"delta","v":"Hi","n":2}',
        '{"type":"other","fallback":" there"}',
        '{"type":"again","v":"Hi there!"}',
        '{"type":"bye","v":"length","docs":[{"score":0.5}],"fallback":"no"}',
    )
    assert (reported.text, reported.ended, reported.finish) == ("Hi there!", True, Finish.LENGTH)
    assert "".join(piece.reasoning for piece in reported.pieces) == "hm"
    assert [claim.value for claim in reported.claims] == ["m-2"]
    assert reported.usage.answer_tokens == 2
    assert reported.sources == RetrievedSources(1, 0.5)


def test_an_end_beside_the_rules_holds_in_every_event() -> None:
    options = RULES | {"rules": [{"text": "v"}]}  # without `when`: every event
    reported = reply(options, '{"v":"Hi","fallback":"no"}', "[DONE]")
    assert (reported.text, reported.ended) == ("Hi", True)


def test_text_and_end_may_stand_in_rules_alone() -> None:
    rules = [{"when": "t", "text": "t"}, {"when": "e", "done": "e"}]
    reported = reply(ASKS | {"rules": rules}, '{"t":"Hi"}', '{"e":true}')
    assert (reported.text, reported.ended) == ("Hi", True)


LINES = ASKS | {
    "framing": "ndjson",
    "prefix": ["0:", "d:"],
    "text": "_prefix == '0:' && _json",
    "done": "_prefix == 'd:'",
    "usage": {"answer_tokens": "_prefix == 'd:' && usage.n"},
}


def test_a_prefix_is_cut_off_and_lines_of_other_kinds_are_not_malformed() -> None:
    reported = reply(LINES, "f:{}", '0:"Hel"', "whatever", '0:"lo"', '0:{"not":"text"}',
                 'd:{"usage":{"n":2}}')  # fmt: skip
    assert (reported.text, reported.ended, reported.malformed) == ("Hello", True, 0)
    assert reported.usage.answer_tokens == 2


def test_a_prefix_line_that_cannot_be_read_is_malformed() -> None:
    assert reply(LINES, '0:"Hel', "d:{}").malformed == 1


def test_the_longest_prefix_is_cut_off() -> None:
    options = LINES | {"prefix": ["a", "ab"], "text": "_prefix == 'ab' && _data", "done": "x"}
    assert reply(options, "abc").text == "c"


def test_json_inside_a_text_is_read_and_what_is_none_is_nothing() -> None:
    options = ASKS | {"text": "from_json(from_json(v).w).x", "done": "from_json(v)"}
    inner = json.dumps({"w": json.dumps({"x": "Hi"})})
    reported = reply(options, json.dumps({"v": inner}))
    assert (reported.text, reported.ended) == ("Hi", True)
    for wrong in ('{"v":"{"}', '{"v":7}', '{"v":null}', json.dumps({"v": "[" * 300_000})):
        assert (reply(options, wrong).text, reply(options, wrong).ended) == ("", False)


@each(
    ("expression", "data", "found"),
    [
        ("!token.special", '{"token":{"special":false}}', None),
        ("!(token.special)", '{"token":{"special":false}}', True),
        ("a || b", '{"a":0,"b":5}', 0),
        ("[a, b][?@ > `0`] | [0]", '{"a":0,"b":5}', 5),
        ('type == "delta"', '{"type":"delta"}', False),
        ("type == 'delta'", '{"type":"delta"}', True),
        ("items == `2`", '{"items":2}', True),
        ("score == `0.7`", '{"score":0.7}', True),
        ("score > `0.5`", '{"score":0.7}', True),
        ("score > `0.5`", '{"score":"0.7"}', None),
        ("name < 'b'", '{"name":"a"}', True),
        ('"x-model"', '{"x-model":"m"}', "m"),
        ("thought == false", "{}", True),
        ("thought == `false`", "{}", False),
        ("parts[?!thought].text", '{"parts":[{"text":"a"},{"text":"b","thought":true}]}', ["a"]),
        ("parts[?!thought].text", '{"parts":null}', None),
        ("sum([a, b])", '{"a":1.5,"b":2}', Decimal("3.5")),
        ("sum([a, b])", '{"a":1}', None),
        ("sum([a, b][?@ != `null`])", '{"a":1,"b":null}', 1),
        ("max_by(s, &v).n", '{"s":[{"n":"a","v":0.7},{"n":"b","v":0.2}]}', "a"),
        ("length(a)", '{"a":1}', None),
    ],
)
def test_expressions_find_what_the_document_says(expression: str, data: str, found: object) -> None:
    assert compiled("text", expression).find(parsed(data)) == found


@pytest.mark.parametrize(
    "expression", ["items == 2", "x-model", "tokens.in + tokens.out", "", "a["]
)
def test_expressions_that_are_none_are_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"options\.text = .*docs/dialects\.md"):
        compiled("text", expression)


def test_every_fault_of_the_options_is_named_at_once() -> None:
    assert refused({"path": "/ask", "text": "a["}) == [
        "options.query: {query} is missing; put it into query, body or path",
        refused(SO_FAR | {"text": "a["})[0],
        'options.done: missing; an expression must find it in the events; or "close", where only '
        "the end of the body is an end",
    ]


@each(
    ("change", "fault"),
    [
        ({"cumulative": "yes"}, "options.cumulative = 'yes': must be true or false"),
        ({"prefix": 0}, "options.prefix = 0: must be text"),
        ({"prefix": [""]}, "options.prefix = ['']: must be text"),
        ({"rules": {"when": "a"}}, "options.rules = {'when': 'a'}: must be tables, [[targets."),
        ({"rules": [{"when": "["}]}, "options.rules[1].when = '[': "),
        ({"rules": [{}, {"txt": "a"}]}, "options.rules[2].txt: unknown; known: claims, cumulative"),
        ({"rules": [{"usage": {"cost": "a"}}]}, "options.rules[1].usage.cost: unknown; known:"),
        (
            {"rules": [{"done": "close"}]},
            'options.rules[1].done = "close": rules cannot read the end',
        ),
        ({"rules": [{"usage": "a"}]}, "options.rules[1].usage = 'a': must be a table"),
        ({"rules": [{"text": "from_yaml(a)"}]}, "options.rules[1].text = 'from_yaml(a)': Unknown"),
        ({"framing": "text"}, "options.text: a plain text stream has no events"),
        ({"framing": "text"}, 'options.done: must be "close" or left out for framing = "text"'),
    ],
)
def test_options_that_do_not_suit_are_named(change: dict[str, Any], fault: str) -> None:
    options = ASKS | {"text": "a", "done": "d"} | change
    assert any(line.startswith(fault) for line in refused(options)), refused(options)


@pytest.mark.parametrize(
    ("ending", "complete", "expected"),
    [
        (Ending.EOF, True, Outcome.ANSWERED),
        (Ending.EOF, False, Outcome.TRUNCATED),
        (Ending.END, True, Outcome.ANSWERED),
    ],
)
def test_a_close_is_an_end_of_a_whole_body_alone(
    ending: Ending, complete: bool, expected: Outcome
) -> None:
    dialect = dialect_of(target("custom", options=ASKS | {"text": "a", "done": "close"}))
    came = replace(transcript([("", '{"a":"Hi"}')]), ending=ending, body_complete=complete)
    assert outcome(came, read(dialect, came))[0] is expected


def test_an_end_of_a_gateway_is_not_malformed_where_the_close_is_the_end() -> None:
    assert reply(ASKS | {"text": "a", "done": "close"}, '{"a":"Hi"}', "[DONE]").malformed == 0


def test_plain_text_may_name_its_text() -> None:
    options = ASKS | {"framing": "text", "text": "_data", "done": "close"}
    assert reply(options, "Hi").text == "Hi"


def test_a_field_called_close_is_not_the_close() -> None:
    options = ASKS | {"text": "a", "done": '"close"'}
    assert reply(options, '{"a":"Hi"}', '{"close":true}').ended
    assert not dialect_of(target("custom", options=options)).ends_by_close


DOCUMENT = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)


def test_the_described_lines_are_read_as_described() -> None:
    [text] = [example for example in EXAMPLES if "[targets.prefixed]" in example]
    reported = reply(
        tomllib.loads(text)["targets"]["prefixed"]["options"],
        '8:[{"type":"sources","data":{"nodes":[{"score":0.8},{"score":0.5}]}}]',
        '0:"Hel"',
        '0:"lo"',
        'd:{"finishReason":"stop"}',
    )
    assert (reported.text, reported.ended, reported.finish) == ("Hello", True, Finish.STOP)
    assert reported.sources == RetrievedSources(2, 0.8)
