"""Options of `custom` proposed for streams that nobody described, from every recorded stream."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from monitor.dialects import dialect_of, read
from monitor.domain import Ending, Reply, StreamEvent, Target, Transcript
from monitor.probing.stream_reader import NdjsonParser, SseParser
from monitor.setup.attempt_log import moved_to
from monitor.setup.config_draft import toml
from monitor.setup.event_fields import event_fields
from tests.case_tables import each

FOLDER = Path(__file__).parents[1] / "transcripts"
# Streams in which the texts of one field mean different things, or an answer is broken on purpose.
UNCLEAR = {
    "bali_zero/done_twice_and_text_after",
    "bali_zero/surrogates",
    "bali_zero_typed/unknown_types",
    "dify/replaced",
    "gemini/thoughts",
    "langgraph/langserve_objects",
    "langgraph/replaced",
    "langgraph/values",
    "openai_chat/xai_reasoning_beside",
    "ragflow/agent",
    "ragflow/deltas",
    "ragflow/replaced",
    "vercel_ai/lines_reasoning_and_sources",
}


@dataclass(frozen=True)
class Recorded:
    name: str
    text: str
    ndjson: bool
    events: tuple[StreamEvent, ...]


def recorded() -> list[Recorded]:
    """Every recorded stream with an answer and without an error."""
    found = []
    for path in sorted(FOLDER.glob("*/*.json")):
        known = json.loads(path.read_text(encoding="utf-8"))
        body = next((p for p in path.parent.glob(f"{path.stem}.*") if p.suffix != ".json"), None)
        if body is None or known.get("error") or not known.get("text"):
            continue
        data, ndjson = body.read_bytes(), body.suffix == ".ndjson"
        parser = NdjsonParser() if ndjson else SseParser()
        events = [*parser.feed(data), *parser.close()]
        found.append(
            Recorded(
                f"{path.parent.name}/{path.stem}",
                known["text"],
                ndjson,
                tuple(StreamEvent(n, text, name) for n, (name, text) in enumerate(events)),
            )
        )
    return found


STREAMS = [one for one in recorded() if one.name not in UNCLEAR]


def read_by(options: Any, events: tuple[StreamEvent, ...], *, ndjson: bool = False) -> Reply:
    framing = "ndjson" if ndjson else "sse"
    asked = {"query": {"q": "{query}"}, "framing": framing, **options}
    target = Target(name="t", url="http://x", dialect="custom", queries=(), options=asked)
    transcript = Transcript(
        id=UUID(int=0),
        started_at=datetime(2026, 11, 30, tzinfo=UTC),
        started_ns=0,
        ended_ns=len(events),
        ending=Ending.EOF,
        body_complete=True,
        status=200,
        events=events,
    )
    return read(dialect_of(target), transcript)


def of(*documents: object) -> tuple[StreamEvent, ...]:
    return tuple(
        StreamEvent(n, one if isinstance(one, str) else json.dumps(one))
        for n, one in enumerate(documents)
    )


def test_enough_streams_are_recorded() -> None:
    assert len(STREAMS) > 65


@each("stream", STREAMS, ids=lambda stream: stream.name)
def test_the_answer_of_a_recorded_stream_is_found_without_its_dialect(stream: Recorded) -> None:
    found = event_fields(stream.events, question="What is recorded here?")
    assert found is not None
    assert read_by(found.options, stream.events, ndjson=stream.ndjson).text == stream.text


@pytest.mark.parametrize(
    ("events", "options"),
    [
        (of({"t": "Hello "}, {"t": "there"}, "[DONE]"), {"text": "t", "done": "_data == '[DONE]'"}),
        (
            of({"tok-en": "Hello "}, {"tok-en": "you"}, {"eos": True}),
            {"text": '"tok-en"', "done": "eos"},
        ),
        (
            of({"a": {"op": "add", "v": "Hello "}}, {"a": {"op": "add", "v": "you"}},
               {"a": {"op": "set", "v": "ready"}}),
            {"text": "a.op == 'add' && a.v", "done": "close"},
        ),
        (
            of({"answer": "Hello"}, {"answer": "Hello you"}, {"answer": "Hello you all"}),
            {"text": "answer", "cumulative": True, "done": "close"},
        ),
        (
            of({"p": [{"s": "Hello "}, {"s": "you"}]}, {"p": [{"s": " all"}]}, {"end": True}),
            {"text": "join('', p[].s)", "done": "end"},
        ),
        (of("Hello ", "you", "42", "[END]"), {"text": "_data != '[END]' && _data",
                                              "done": "_data == '[END]'"}),
        (
            of({"id": "c0ffee00c0ffee00", "x": "Hello "}, {"id": "c0ffee00c0ffee00", "x": "you"}),
            {"text": "x", "done": "close"},
        ),
    ],
)  # fmt: skip
def test_shapes(events: tuple[StreamEvent, ...], options: Any) -> None:
    found = event_fields(events, question="What?")
    assert found is not None
    assert found.options == options
    assert all(item.found for item in found.fields)


def sent(*events: str) -> tuple[StreamEvent, ...]:
    """Events written as `NAME DATA`."""
    parts = (one.partition(" ") for one in events)
    return tuple(StreamEvent(n, data, name) for n, (name, _, data) in enumerate(parts))


HELLO = ('w {"t": "Hello "}', 'w {"t": "you"}')
SUM = ('w {"t": "It is "}', 'w {"t": "42"}', 'w {"t": "."}')


@each(("first", "others", "done"), [
    # a name seen once, at the end of each
    (sent(*HELLO, "fin {}"), [sent(*SUM, "fin {}")], "_event == 'fin'"),
    (sent(*HELLO, "fin {}"), [], "close"),  # one answer alone proves no unknown name
    (sent(*HELLO, "fin {}"), [sent(*SUM)], "close"),
    (sent(*HELLO, "fin {}"), [sent("fin {}", *SUM)], "close"),
    # a value of a field that says what kind of event it is
    (of({"k": "w", "t": "Hello "}, {"k": "w", "t": "you"}, {"k": "z"}),
     [of({"k": "w", "t": "It is "}, {"k": "w", "t": "42"}, {"k": "z"})], "k == 'z'"),
    (of({"type": "w", "t": "Hello "}, {"type": "w", "t": "you"}, {"type": "eom"}),
     [of({"type": "w", "t": "Hello "}, {"type": "w", "t": "you"}, {"type": "eom"})],
     "type == 'eom'"),
    (of({"t": "Hello "}, {"t": "you"}, {"final": True}),
     [of({"t": "It is "}, {"t": "42"}, {"final": True})], "final"),
    (of({"t": "Hello "}, {"t": "you"}, {"ok": True}),
     [of({"t": "It is "}, {"t": "42"}, {"ok": True})], "ok"),
    (of({"t": "Hello "}, {"t": "you"}, "-30-"), [of({"t": "It is "}, {"t": "42"}, "-30-")],
     "_data == '-30-'"),
    (of({"t": "Hello "}, {"t": "you"}, "[DONE]"), [of({"t": "It is "}, {"t": "42"}, "[DONE]")],
     "_data == '[DONE]'"),
    # sources, usage and text are an end only if they are the last in each
    (sent(*HELLO, 'sources {"docs": ["a"]}'), [sent(*SUM)], "close"),
    (sent(*HELLO, 'sources {"docs": ["a"]}'), [sent('sources {"docs": ["b"]}', *SUM)], "close"),
    (sent(*HELLO, 'usage {"n": 3}', "fin {}"), [sent(*SUM, "fin {}")], "_event == 'fin'"),
    (sent(*HELLO, 'usage {"n": 3}'), [sent(*SUM, 'usage {"n": 4}')], "_event == 'usage'"),
    (of({"t": "Hello "}, {"t": "you"}, {"t": "all", "part": "tail"}),
     [of({"t": "It "}, {"t": "is "}, {"t": "42", "part": "tail"})], "close"),
    # a name that suggests an end, which another answer does not have
    (sent(*HELLO, "done {}"), [sent(*SUM, "fin {}")], "close"),
    (sent(*HELLO, "done {}"), [sent(*SUM, "done {}"), sent(*SUM, "done {}")], "_event == 'done'"),
])  # fmt: skip
def test_what_is_last_in_each_answer_marks_its_end(
    first: tuple[StreamEvent, ...], others: list[tuple[StreamEvent, ...]], done: str
) -> None:
    found = event_fields(first, question="What?", others=others)
    assert found is not None
    assert found.options["done"] == done


WORDS = ('token {"text": "We ship "}', 'token {"text": "on every working day."}', "done {}")
DOCS = [{"title": "terms.md", "text": "We ship on working days only.", "score": 0.81},
        {"title": "faq.md", "text": "An order before noon leaves soon.", "score": 0.5}]  # fmt: skip
LISTED = json.dumps(DOCS)


@each(("events", "expression", "count"), [
    # the name of the event says what its list is
    (sent(f"sources {LISTED}", *WORDS), "_event == 'sources' && _json", 2),
    (sent(*WORDS[:2], f"citations {LISTED}", WORDS[2]), "_event == 'citations' && _json", 2),
    (sent('documents ["a.md", "b.md"]', *WORDS), "_event == 'documents' && _json", 2),
    (sent(f'sources {{"items": {LISTED}}}', *WORDS), "_event == 'sources' && items", 2),
    (sent(f'retrieval {{"data": {{"hits": {LISTED}}}}}', *WORDS),
     "_event == 'retrieval' && data.hits", 2),
    (sent(f'source-documents {{"q": ["x"], "found": {LISTED}}}', *WORDS),
     "_event == 'source-documents' && found", 2),
    (sent(f'search_results {{"top-k": {LISTED}}}', *WORDS),
     "_event == 'search_results' && \"top-k\"", 2),
    (sent(f"context {LISTED}", *WORDS), "_event == 'context' && _json", 2),
    (sent(f'on_retriever_end {{"output": {LISTED}}}', *WORDS),
     "_event == 'on_retriever_end' && output", 2),
    (sent(f"sources {json.dumps(LISTED)}", *WORDS), "_event == 'sources' && from_json(_json)", 2),
    (sent('sources {"count": 3}', *WORDS), "_event == 'sources' && count", 3),
    # an answer to a greeting may have none: the list is empty
    (sent("sources []", *WORDS), "_event == 'sources' && _json", 0),
    (sent('sources {"items": []}', *WORDS), "_event == 'sources' && items", 0),
    (sent("sources []", *WORDS[:2], f'citations {{"c": {LISTED}}}', WORDS[2]),
     "_event == 'citations' && c", 2),
    # so does a field with the kind of event
    (of({"type": "sources", "data": DOCS}, {"type": "text", "data": "We ship "},
        {"type": "text", "data": "on working days."}, {"type": "end"}),
     "type == 'sources' && data", 2),
    (of(["sources", DOCS], ["tok", "We ship "], ["tok", "on working days."], ["end"]),
     "_json[0] == 'sources' && _json[1]", 2),
    # and the name of the list itself
    (of({"retrieved_documents": DOCS}, {"text": "We ship "}, {"text": "on time."}, "[DONE]"),
     "retrieved_documents", 2),
    (of({"meta": {"rag": {"search_results": DOCS}}}, {"text": "We ship "}, {"text": "on time."},
        "[DONE]"), "meta.rag.search_results", 2),
    (of({"text": "We ship "}, {"text": "on time."}, {"sources": []}), "sources", 0),
    (of({"sources": {"total": 2, "items": DOCS}}, {"text": "We ship "}, {"text": "on time."},
        {"done": True}), "sources.items", 2),
    (of({"sources": {"terms.md": DOCS[0], "faq.md": DOCS[1]}}, {"text": "We ship "},
        {"text": "on time."}, {"done": True}), "values(sources)", 2),
    (sent('sources {"meta": {"by": {"k": 3}}, "found": []}', *WORDS),
     "_event == 'sources' && found", 0),
    (sent(f"SOURCES {LISTED}", *WORDS), "_event == 'SOURCES' && _json", 2),
    (sent(f"rag.sources {LISTED}", *WORDS), "_event == 'rag.sources' && _json", 2),
    (sent(f"documents_retrieved {LISTED}", *WORDS), "_event == 'documents_retrieved' && _json", 2),
    (sent(f"final_citations {LISTED}", *WORDS), "_event == 'final_citations' && _json", 2),
    (sent(*WORDS[:2], f'metadata {{"citations": {LISTED}}}', WORDS[2]), "citations", 2),
    # no sources
    (of({"chunks": ["We ship ", "on "]}, {"chunks": ["time."]}, {"done": True}), None, None),
    (of({"meta": {"a": {"n": 1}}}, {"text": "We ship "}, {"text": "on time."}, "[DONE]"),
     None, None),
    (sent(*WORDS), None, None),
    (sent('search {"queries": ["shipping"]}', *WORDS), None, None),
    (sent('status {"steps": [{"name": "search"}]}', *WORDS), None, None),
    (sent('sources {"note": "none"}', *WORDS), None, None),
    (sent('document {"size": 71234}', *WORDS), None, None),
    (sent('start {"context": [{"role": "user", "content": "What?"}]}', *WORDS), None, None),
    (sent('search_end {"suggestions": [{"text": "terms"}]}', *WORDS), None, None),
    (sent(f'sources {{"followup_questions": ["terms?"], "found": {LISTED}}}', *WORDS),
     "_event == 'sources' && found", 2),
])  # fmt: skip
def test_the_sources_are_known_by_their_name_or_their_events(
    events: tuple[StreamEvent, ...], expression: str | None, count: int | None
) -> None:
    found = event_fields(events, question="What?")
    assert found is not None
    assert found.options.get("sources") == expression
    reply = read_by(found.options, events)
    assert "We ship" in reply.text
    assert "terms" not in reply.text
    assert (reply.sources.count if reply.sources else None) == count


def test_sources_that_only_another_answer_has_are_found() -> None:
    greeting = sent('token {"text": "Hello "}', 'token {"text": "there."}', "done {}")
    other = sent(f'sources {{"items": {LISTED}}}', *WORDS)
    found = event_fields(greeting, question="Hi", others=[other])
    assert found is not None
    assert found.options["sources"] == "_event == 'sources' && items"
    shown = {item.option: item.found for item in found.fields}
    assert shown["sources"] == "none in the first answer, but in another"


@each(("events", "options"), [
    (sent(*WORDS[:2], 'usage {"input": 812, "output": 31}'),
     {"usage": {"prompt_tokens": "_event == 'usage' && input",
                "answer_tokens": "_event == 'usage' && output"}}),
    (sent('start {"input": "What?"}', *WORDS[:2], 'usage {"input": 812, "output": 31}'),
     {"usage": {"prompt_tokens": "_event == 'usage' && input",
                "answer_tokens": "_event == 'usage' && output"}}),
    (of({"type": "text", "v": "We ship "}, {"type": "text", "v": "on time."},
        {"type": "metrics", "prompt": 812, "total": 843}),
     {"usage": {"prompt_tokens": "type == 'metrics' && prompt",
                "total_tokens": "type == 'metrics' && total"}}),
    (sent(*WORDS[:2], 'usage {"prompt_tokens": 812}'),
     {"usage": {"prompt_tokens": "prompt_tokens"}}),
    (sent('model {"name": "house-7b"}', *WORDS), {"model": "_event == 'model' && name"}),
    (sent('model "house-7b"', *WORDS), {"model": "_event == 'model' && _json"}),
    (sent("model house-7b", *WORDS), {"model": "_event == 'model' && _data"}),
    (sent('model_info {"id": "m-1", "name": "house-7b"}', *WORDS),
     {"model": "_event == 'model_info' && name"}),
    (sent('user {"name": "anna"}', *WORDS), {}),
    # Times, ids and numbers: neither tokens nor models.
    (sent(*WORDS[:2], 'metrics {"retrieval": 120, "generation": 840, "total": 960}'), {}),
    (sent(*WORDS[:2], 'stats {"query": 12, "response": 842, "all": 3}'), {}),
    (of({"text": "We ship "}, {"text": "on time."}, {"stats": {"generation": 840, "total": 960}}),
     {}),
    (of({"text": "We ship "}, {"text": "on time."}, {"stats": {"input": 812, "total": 960}}),
     {"usage": {"prompt_tokens": "stats.input", "total_tokens": "stats.total"}}),
    (sent('model {"id": "5f3a2b1c-9d00-4c4c-8f8f-000000000001"}', *WORDS), {}),
    (sent('engine {"id": 17}', *WORDS), {}),
])  # fmt: skip
def test_usage_and_model_are_known_by_the_names_of_their_events(
    events: tuple[StreamEvent, ...], options: Any
) -> None:
    found = event_fields(events, question="What?")
    assert found is not None
    named = {name: found.options[name] for name in ("usage", "model") if name in found.options}
    assert named == options
    reply = read_by(found.options, events)
    assert [claim.value for claim in reply.claims] == ["house-7b"] * ("model" in options)


@each(("first", "other", "named"), [
    ("run-5f3a", "run-9c1b", False),  # an id of each answer
    ("house-7b", "house-7b", True),
    ("gpt-4o", "gpt-4o-mini", True),
])  # fmt: skip
def test_what_differs_in_each_answer_names_no_model(first: str, other: str, named: bool) -> None:
    answers = [
        of(*({"kind": "llm", "id": name, "value": word} for word in ("We ship ", "on time.")))
        for name in (first, other)
    ]
    found = event_fields(answers[0], question="What?", others=answers[1:])
    assert found is not None
    assert ("model" in found.options) is named


@pytest.mark.parametrize("name", ["App\\Events\\Token", "token\\", "it's", "a && b", "a`\\b"])
def test_any_name_of_an_event_selects_it(name: str) -> None:
    note = {"event": "App\\Events\\Note", "text": "I am searching for it now, please wait."}
    events = of(note, *({"event": name, "text": word} for word in ("We ship ", "on ", "time.")))
    found = event_fields(events, question="What?")
    assert found is not None
    assert read_by(found.options, events).text == "We ship on time."


def test_many_names_of_events_cost_no_time() -> None:
    """Each of them is one of usage: a field of all events is looked at for a few of them only."""
    odd = [f'usage{"." * nth} {{"a": 1}}' for nth in range(300)]
    began_s = time.process_time()
    assert event_fields(sent(*WORDS[:2], *odd), question="What?") is not None
    assert time.process_time() - began_s < 20


@pytest.mark.parametrize(
    "events",
    [
        (),
        of({"id": "a" * 32}, {"id": "b" * 32}),
        of({"query": "What?"}, {"done": True}),
        of({"n": 1}, {"n": 2}),
        of({"a": [[[[[[[[["deep"]]]]]]]]]}),
        of("{" * 500, "}"),
        of({"ts": "2026-11-30T10:00:00Z"}, {"ts": "2026-11-30T10:00:01Z"}),
    ],
)
def test_a_stream_without_an_answer_has_no_fields(events: tuple[StreamEvent, ...]) -> None:
    assert event_fields(events, question="What?") is None


@pytest.mark.parametrize(
    "value",
    ['it\'s "quoted" \\ and \x7f\t', True, 3, ["a", {"b-c": "d"}], {"x y": [1, False]}, "", {}],
)
def test_values_are_written_as_toml(value: Any) -> None:
    import tomllib

    assert tomllib.loads(f"value = {toml(value)}")["value"] == value


@pytest.mark.parametrize(
    ("location", "followed"),
    [
        ("/chat/", "http://rag.test/chat/"),
        ("https://rag.test/chat", "https://rag.test/chat"),
        ("https://other.test/chat", None),
        ("http://[", None),
        ("https://rag.test:99999/chat", None),
        ("https://me:secret@rag.test/chat", None),
        ("", None),
    ],
)
def test_a_redirect_is_followed_to_a_usable_address_of_the_same_host(
    location: str, followed: str | None
) -> None:
    assert moved_to("http://rag.test/chat", location) == followed
