"""RAG and agent servers without a dialect of their own, each described in a few options.

The payloads follow the public documentation of each protocol.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from monitor.dialects import dialect_of, ragflow, read
from monitor.domain import Finish, Outcome, Reply, RetrievedSources
from monitor.probing.observe import ReadTranscript
from tests.example_transcripts import target, transcript

ASKS = {"body": {"q": "{query}"}}


def reply(options: Mapping[str, Any], *events: object) -> Reply:
    """Events as JSON values, as texts, or with their names."""
    named = [event if isinstance(event, tuple) else ("", event) for event in events]
    texts = [(name, data if isinstance(data, str) else json.dumps(data)) for name, data in named]
    return read(dialect_of(target("custom", options=ASKS | options)), transcript(texts))


def openai(*events: object) -> Reply:
    texts = [("", event if isinstance(event, str) else json.dumps(event)) for event in events]
    return read(dialect_of(target("openai_chat")), transcript(texts))


def test_sources_in_openais_format() -> None:
    text = {"choices": [{"delta": {"content": 'The word "sources" and "citations": []'}}]}
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    results = [{"title": "a", "url": "u", "date": "2026-11-01"}, {"title": "b", "url": "v"}]
    perplexity = {**text, "citations": ["u", "v"], "search_results": results}
    assert openai(text, end, "[DONE]").sources is None
    found = openai(perplexity, perplexity | end, "[DONE]").sources
    assert found is not None
    assert (found.count, found.newest_at) == (2, datetime(2026, 11, 1, tzinfo=UTC))
    webui = openai({"sources": [{"source": {"name": "x"}, "document": ["…"]}]}, text, end, "[DONE]")
    assert webui.sources == RetrievedSources(1)
    azure = {"choices": [{"delta": {"role": "assistant", "context": {"citations": [{}, {}, {}]}}}]}
    assert openai(azure, text, end, "[DONE]").sources == RetrievedSources(3)
    note = {"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}
    noted = {"choices": [{"delta": {"content": "x", "annotations": [note]}}]}
    assert openai(text, noted, noted, end, "[DONE]").sources == RetrievedSources(2)
    assert openai({"sources": []}, text, end, "[DONE]").sources == RetrievedSources(0)
    assert openai(text | {"sources": {"a": 1}, "citations": None}, end).sources is None


@pytest.mark.parametrize("ascii_json", [True, False])
@pytest.mark.parametrize("notice", ragflow.CUT)
def test_ragflow_says_that_an_answer_was_cut_in_the_answer(notice: str, ascii_json: bool) -> None:
    def said(text: str) -> Reply:
        events = [{"code": 0, "data": {"answer": text}}, {"code": 0, "data": True}]
        texts = [("", json.dumps(event, ensure_ascii=ascii_json)) for event in events]
        return read(dialect_of(target("ragflow")), transcript(texts))

    assert said(f"An answer...\n{notice}").finish is Finish.LENGTH
    assert said("An answer").finish is None


RAGFLOW_DELTA = {"role": "assistant", "function_call": None, "tool_calls": None}
NOTES = "Refunds take 14 days. They are paid to the card that paid."


def ragflow_openai(*texts: str, **last: Any) -> Reply:
    """RAGFlow's OpenAI surface: deltas, then a chunk that states `stop`, whatever happened."""
    deltas = [{"choices": [{"delta": {**RAGFLOW_DELTA, "content": text}}]} for text in texts]
    end = {"choices": [{"delta": {"content": None, **last}, "finish_reason": "stop"}]}
    return openai(*deltas, end, "[DONE]")


@pytest.mark.parametrize("cited", ["", " ##0$$", "\n[ID:3][ID: 4]"])
@pytest.mark.parametrize("notice", ragflow.CUT)
def test_ragflows_openai_surface_says_the_same_in_the_answer(notice: str, cited: str) -> None:
    halves = notice[:9], notice[9:] + cited
    assert ragflow_openai("An answer", "...\n", *halves).finish is Finish.LENGTH
    assert ragflow_openai(f"It says “{notice}”", " if it is long.").finish is Finish.STOP
    custom = {"text": "answer", "done": "end"}
    assert reply(custom, {"answer": f"x...\n{notice}"}, {"end": True}).finish is Finish.LENGTH


@pytest.mark.parametrize("last", [NOTES, NOTES.replace("days.", "days [ID:0]."), f"{NOTES} ##1$$"])
def test_ragflows_openai_surface_repeats_the_answer_with_its_citations(last: str) -> None:
    found = ragflow_openai(NOTES[:30], NOTES[30:], last, reference=[{"similarity": 0.7}, {}])
    assert found.text == last
    assert found.sources == RetrievedSources(2, best_score=0.7)
    assert [piece.replaced for piece in found.pieces] == [True, True, False]


@pytest.mark.parametrize("texts", [
    ("ha", "ha"), ("no ", "no " * 20), (NOTES, " And " + NOTES), (NOTES[:39], NOTES[:39]),
])  # fmt: skip
def test_a_repetition_within_an_answer_stays(texts: tuple[str, ...]) -> None:
    assert ragflow_openai(*texts).text == "".join(texts)


FOX = "The quick brown fox jumps over the lazy dog. "


@pytest.mark.parametrize("texts", [
    (FOX, FOX, FOX), (FOX, FOX, FOX + FOX), (FOX[:20], FOX[20:], FOX), (60 * " ", 60 * " ", FOX),
    (FOX, "It sleeps. ", f"{FOX}It runs. "), (5 * FOX, "Then: ", 5 * FOX + "Now: "),
])  # fmt: skip
@pytest.mark.parametrize("fields", [{}, {"role": "assistant"}])
def test_equal_blocks_of_another_server_stay(texts: tuple[str, ...], fields: Any) -> None:
    deltas = [{"choices": [{"delta": fields | {"content": text}}]} for text in texts]
    found = openai(*deltas, {"choices": [{"delta": {}, "finish_reason": "stop"}]}, "[DONE]")
    assert found.text == "".join(texts)


@pytest.mark.parametrize("texts", [
    (FOX, FOX, FOX), (5 * FOX, "Then: ", 5 * FOX + "Now: "), (60 * " ", 60 * " ", FOX),
])  # fmt: skip
def test_equal_blocks_of_ragflow_stay(texts: tuple[str, ...]) -> None:
    assert ragflow_openai(*texts).text == "".join(texts)


@pytest.mark.parametrize(("delta", "more"), [
    ({"content": NOTES}, {"finish_reason": "stop"}),
    ({"content": NOTES, "reference": [{}]}, {}),
    ({"content": NOTES.replace("days.", "days 【ID: 3】.")}, {}),
])  # fmt: skip
def test_a_last_chunk_of_ragflow_repeats_the_answer(delta: Any, more: Any) -> None:
    parts = [{"choices": [{"delta": {"content": part}}]} for part in (NOTES[:30], NOTES[30:])]
    found = openai(*parts, {"choices": [{"delta": delta, **more}]}, "[DONE]")
    assert found.text == delta["content"]


def test_ragflows_openai_surface_writes_an_error_into_the_answer() -> None:
    failed = ragflow_openai("Refunds", "**ERROR**: RATE_LIMIT_EXCEEDED - try later")
    assert failed.error == "RATE_LIMIT_EXCEEDED - try later"


def test_an_unknown_finish_reason_hides_no_known_one() -> None:
    def ended(*reasons: str) -> Reply:
        return openai(*({"choices": [{"delta": {"content": "x"}, "finish_reason": r}]}
                        for r in reasons), "[DONE]")  # fmt: skip

    assert ended("length", "unheard_of").finish is Finish.LENGTH
    assert ended("tool_calls", "stop").finish is Finish.STOP
    assert ended("unheard_of").finish is Finish.OTHER
    thinking = {"choices": [{"delta": {"reasoning": "x"}, "finish_reason": "length"}]}
    empty = ReadTranscript.of(transcript([("", json.dumps(thinking))]), openai(thinking, "[DONE]"))
    assert (empty.outcome, empty.error) == (
        Outcome.EMPTY, "the token limit was reached before any answer text"
    )  # fmt: skip


def test_anythingllm() -> None:
    options = {
        "text": "type == 'textResponseChunk' && textResponse",
        "error": "type == 'abort' && error",
        "done": "type == 'finalizeResponseStream' || close && type == 'abort'",
        "sources": "type == 'finalizeResponseStream' && sources || `null`",
        "model": "metrics.model",
        "usage": {"prompt_tokens": "metrics.prompt_tokens",
                  "answer_tokens": "metrics.completion_tokens"},
    }  # fmt: skip
    chunk = {"id": "u", "type": "textResponseChunk", "sources": [], "close": False, "error": False}
    reported = reply(
        options, chunk | {"textResponse": "Hel"}, chunk | {"textResponse": "lo"},
        {"id": "u", "type": "finalizeResponseStream", "close": True, "error": False,
         "sources": [{"title": "a", "score": 0.7}],
         "metrics": {"prompt_tokens": 90, "completion_tokens": 2, "model": "llama3"}},
    )  # fmt: skip
    assert (reported.text, reported.ended, reported.sources) == (
        "Hello",
        True,
        RetrievedSources(1, 0.7),
    )
    assert (reported.usage.prompt_tokens, [c.value for c in reported.claims]) == (90, ["llama3"])
    failed = reply(
        options, {"type": "abort", "textResponse": None, "close": True, "error": "no key"}
    )
    assert failed.error == "no key"


def test_flowise() -> None:
    options = {
        "text": "event == 'token' && data",
        "error": "event == 'error' && data",
        "done": "event == 'end'",
        "sources": "event == 'sourceDocuments' && data",
    }
    reported = reply(
        options, {"event": "start", "data": ""}, ("heartbeat", ""),
        {"event": "sourceDocuments", "data": [{"pageContent": "a", "metadata": {"score": 0.4}}]},
        {"event": "token", "data": "Hel"}, {"event": "token", "data": "lo"},
        {"event": "metadata", "data": {"chatId": "c"}}, {"event": "end", "data": "[DONE]"},
    )  # fmt: skip
    assert (reported.text, reported.ended, reported.malformed) == ("Hello", True, 0)
    assert reported.sources == RetrievedSources(1, 0.4)
    assert reply(options, {"event": "error", "data": "boom"}).error == "boom"


def test_ag_ui() -> None:
    options = {
        "text": "type == 'TEXT_MESSAGE_CONTENT' && delta",
        "reasoning": "starts_with(type, 'THINKING_TEXT') && delta",
        "error": "type == 'RUN_ERROR' && message",
        "done": "type == 'RUN_FINISHED'",
    }
    reported = reply(
        options, {"type": "RUN_STARTED", "threadId": "t", "runId": "r"},
        {"type": "THINKING_TEXT_MESSAGE_CONTENT", "delta": "hm"},
        {"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "Hi"},
        {"type": "TOOL_CALL_RESULT", "content": "not the answer"},
        {"type": "TEXT_MESSAGE_END", "messageId": "m"},
        {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"},
    )  # fmt: skip
    assert (reported.text, reported.ended, reported.pieces[0].reasoning) == ("Hi", True, "hm")
    assert reply(options, {"type": "RUN_ERROR", "message": "boom"}).error == "boom"


def test_a2a() -> None:
    options = {
        "rules": [
            {"when": "result.kind == 'artifact-update'",
             "text": "result.artifact.parts[?kind == 'text'].text"},
            {"when": "result.kind == 'status-update'",
             "done": "result.final", "error": "result.status.state == 'failed' && "
             "join(' ', result.status.message.parts[].text)"},
        ],
        "error": "error",
    }  # fmt: skip

    def status(state: str, *, final: bool, text: str) -> dict[str, Any]:
        message = {"role": "agent", "parts": [{"kind": "text", "text": text}]}
        about = {"state": state, "message": message}
        return {"result": {"kind": "status-update", "final": final, "status": about}}

    def artifact(text: str) -> dict[str, Any]:
        found = {"artifactId": "1", "parts": [{"kind": "text", "text": text}, {"kind": "data"}]}
        return {"result": {"kind": "artifact-update", "append": True, "artifact": found}}

    reported = reply(options, status("working", final=False, text="Searching"), artifact("Hel"),
                 artifact("lo"), status("completed", final=True, text=""))  # fmt: skip
    assert (reported.text, reported.ended, reported.error) == ("Hello", True, None)
    failed = reply(options, status("failed", final=True, text="no model"))
    assert failed.error == "no model"


def test_onyx_packets() -> None:
    options = {
        "framing": "ndjson",
        "media_types": ["text/event-stream"],
        "text": "obj.type == 'message_start' && obj.content || obj.type == 'message_delta' "
        "&& obj.content",
        "reasoning": "obj.type == 'reasoning_delta' && obj.reasoning",
        "sources": "obj.type == 'message_start' && obj.final_documents || `null`",
        "done": "obj.type == 'stop'",
    }
    reported = reply(
        options, {"user_message_id": 1, "reserved_assistant_message_id": 2},
        {"ind": 0, "obj": {"type": "reasoning_delta", "reasoning": "hm"}},
        {"ind": 1, "obj": {"type": "message_start", "content": "", "final_documents":
                           [{"document_id": "d", "score": 0.9, "updated_at": "2025-05-01"}]}},
        {"ind": 1, "obj": {"type": "message_delta", "content": "Hello"}},
        {"ind": 1, "obj": {"type": "section_end"}}, {"ind": 2, "obj": {"type": "stop"}},
    )  # fmt: skip
    assert (reported.text, reported.ended) == ("Hello", True)
    assert reported.sources is not None
    assert (reported.sources.count, reported.sources.best_score) == (1, 0.9)


def test_onyx_as_it_was() -> None:
    options = {
        "framing": "ndjson",
        "text": "answer_piece",
        "sources": "top_documents",
        "error": "error",
        "done": "close",
    }
    reported = reply(options, {"top_documents": [{"score": 0.3}]}, {"answer_piece": "Hel"},
                 {"answer_piece": "lo"}, {"answer_piece": None}, {"citations": []})  # fmt: skip
    assert (reported.text, reported.sources) == ("Hello", RetrievedSources(1, 0.3))


def test_tgi() -> None:
    options = {
        "text": "!(token.special) && token.text",
        "done": "generated_text",
        "finish": "details.finish_reason",
        "usage": {"answer_tokens": "details.generated_tokens"},
    }
    last = {"generated_text": "Hello", "details": {"finish_reason": "eos_token",
                                                   "generated_tokens": 3}}  # fmt: skip
    reported = reply(
        options,
        {"index": 1, "token": {"text": "Hello", "special": False}, "generated_text": None},
        {"index": 2, "token": {"text": "</s>", "special": True}} | last,
    )
    assert (reported.text, reported.ended, reported.finish) == ("Hello", True, "stop")
    assert reported.usage.answer_tokens == 3
    assert reply(options, {"error": "overloaded", "error_type": "overloaded"}).error == "overloaded"


def test_langserve() -> None:
    options = {"text": "_event == 'data' && (_json || content)", "done": "_event == 'end'"}
    reported = reply(options, ("metadata", {"run_id": "r"}), ("data", '"Hel"'),
                 ("data", {"content": "lo", "type": "AIMessageChunk"}), ("end", ""))  # fmt: skip
    assert (reported.text, reported.ended) == ("Hello", True)
    failed = reply(options, ("error", {"status_code": 500, "message": "Internal Server Error"}))
    assert failed.error == "Internal Server Error"


def test_create_llama() -> None:
    options = {
        "framing": "ndjson",
        "prefix": ["0:", "3:", "8:", "d:"],
        "text": "_prefix == '0:' && _json",
        "error": "_prefix == '3:' && _json",
        "sources": "_prefix == '8:' && _json[?type == 'sources'] | [0].data.nodes",
        "done": "close",
    }
    reported = reply(options, '8:[{"type":"events","data":{"title":"Retrieving"}}]',
                 '8:[{"type":"sources","data":{"nodes":[{"id":"1","score":0.8}]}}]',
                 '0:"Hel"', *['e:{"x":1}'] * 30, '0:"lo"')  # fmt: skip
    assert (reported.text, reported.malformed, reported.sources) == (
        "Hello",
        0,
        RetrievedSources(1, 0.8),
    )
    assert reply(options, '3:"boom"').error == "boom"


@pytest.mark.parametrize("text", ['{"a":1}', "42", "null", "ping", " ", "error: none"])
def test_plain_text_is_text_whatever_it_looks_like(text: str) -> None:
    reported = reply({"framing": "text", "model": '_headers."x-model"'}, "Hi ", text)
    assert (reported.text, reported.error, reported.malformed) == (f"Hi {text}", None, 0)


def test_ragflow_and_langgraph_partials() -> None:
    ragflow = {"text": "data.answer", "done": "data == `true`", "error": "code != `0` && message",
               "cumulative": True}  # fmt: skip
    parts = ({"code": 0, "data": {"answer": text}} for text in ("I am", "I am here"))
    reported = reply(ragflow, *parts, {"code": 0, "data": True})
    assert (reported.text, reported.ended) == ("I am here", True)
    assert reply(ragflow, {"code": 102, "message": "no chat"}).error == "no chat"
    graph = {"text": "_event == 'messages/partial' && _json[0].content", "done": "close",
             "cumulative": True}  # fmt: skip
    reported = reply(
        graph,
        ("metadata", {"run_id": "r"}),
        ("messages/partial", [{"content": "Hello"}]),
        ("messages/partial", [{"content": "Hello, how"}]),
    )
    assert reported.text == "Hello, how"
