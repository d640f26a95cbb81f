"""What takes more than one event of a stream: thoughts in the text, ends, stated errors."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.dialects import USUAL_TAGS, dialect_of, read, reader
from monitor.dialects.answer_metadata import finish, sources
from monitor.dialects.reasoning_tags import ReasoningTags, TagSet
from monitor.dialects.tag_pairs import tag_pairs
from monitor.domain import Finish, ParsedEvent, Reply, RetrievedSources
from tests.case_tables import each
from tests.example_transcripts import target, transcript


def separated(*texts: str, tags: TagSet = USUAL_TAGS) -> tuple[str, str]:
    """Answer text and reasoning of texts that arrive one after the other."""
    parts = by_event(*texts, tags=tags)
    return "".join(text for text, _ in parts), "".join(thought for _, thought in parts)


def by_event(*texts: str, tags: TagSet = USUAL_TAGS) -> list[tuple[str, str]]:
    thoughts = ReasoningTags(tags)
    return [*joined(ParsedEvent(text=text, thoughts=thoughts.add(text)) for text in texts)]


def joined(parsed: Iterable[ParsedEvent]) -> Iterable[tuple[str, str]]:
    return reader.separated([*parsed])


DIFY_DETAILS = (
    '<details style="color:gray;background-color: #f8f8f8;padding: 8px;border-radius: 4px;" open>'
    " <summary> Thinking... </summary>\n"
)
WEBUI_DETAILS = '<details type="reasoning" done="true"><summary>Grübelte 5 s</summary>'
FINAL = "<|channel|>final<|message|>"
ANALYSIS = "<|channel|>analysis<|message|>"
LONG = "hm. " * 2000


@each(
    ("whole", "text", "reasoning"),
    [
        ("Four.", "Four.", ""),
        ("<think>hm</think>Four.", "Four.", "hm"),
        ("\n<think>\nhm\n</think>\n\nFour. ", "Four. ", "\nhm\n"),
        ("<THINK>hm</Think>Four.", "Four.", "hm"),
        ("<think></think>Four.", "Four.", ""),
        ("<think>\n\n</think>\n\nFour.", "Four.", ""),
        ("<think>a</thin> b</think>Four.", "Four.", "a</thin> b"),
        ("<think>never closed", "", "never closed"),
        ("<think>cut </th", "", "cut </th"),
        ("<think>", "", ""),
        ("<think>hm</think>\n\n", "", "hm"),
        ("<thi", "<thi", ""),
        ("<", "<", ""),
        ("< think>Four.", "< think>Four.", ""),
        ("A <think>tag</think>.", "A <think>tag</think>.", ""),
        ("<think>a</think>b<think>c</think>", "b<think>c</think>", "a"),
        ("<b>Four</b>", "<b>Four</b>", ""),
        ("  Four.", "  Four.", ""),
        (" " * 500 + "Four.", " " * 500 + "Four.", ""),
        # a second block
        ("<think>a</think><think>b</think>Four.", "Four.", "ab"),
        ("<think>a</think>\n<thinking>b</thinking>\nFour.", "Four.", "ab"),
        ("<think>a</think>\n<b>Four</b>", "<b>Four</b>", "a"),
        ("<think>a</think> <", "<", "a"),
        # spellings
        *((f"<{name}>hm</{name}>Four.", "Four.", "hm")
          for name in ("thinking", "reasoning", "thought", "thoughts", "reflection", "seed:think",
                       "scratchpad", "antThinking", "longcat_think", "mm:think")),
        ("[THINK]hm[/THINK]Four.", "Four.", "hm"),
        ("◁think▷hm◁/think▷Four.", "Four.", "hm"),
        ("<|begin_of_thought|>hm<|end_of_thought|>Four.", "Four.", "hm"),
        ("<|begin_of_thought|>hm<|end_of_thought|>\n<|begin_of_solution|>Four.<|end_of_solution|>",
         "Four.", "hm"),
        ("<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Four.<|END_RESPONSE|>",
         "Four.", "hm"),
        ("<think>hm</think> <answer>Four.</answer>", "Four.", "hm"),
        ("<think>hm</think><answer>Four </ans", "Four </ans", "hm"),
        ("<retrieving>Searching<br/></retrieving><think>hm</think>Four.", "Four.", "hm"),
        (f"{DIFY_DETAILS}hm\n</details>\n\nFour.", "Four.", "\nhm\n"),
        (f"{WEBUI_DETAILS}hm</details>Four.", "Four.", "hm"),
        ("<details><summary>Sources</summary>a</details>", "<details><summary>Sources</summary>"
         "a</details>", ""),
        ("<details " + "x" * 500, "<details " + "x" * 500, ""),
        (f"{ANALYSIS}hm<|end|><|start|>assistant{FINAL}Four.<|return|>", "Four.", "hm"),
        (f"<|start|>assistant{ANALYSIS}hm<|end|><|start|>assistant<|channel|>commentary to=f "
         "<|constrain|>json<|message|>{}<|call|><|start|>f to=assistant<|channel|>commentary"
         f"<|message|>[]<|end|><|start|>assistant{FINAL}Four.", "Four.", "hm{}[]"),
        (f"{FINAL}Four <", "Four <", ""),
        ("<|start|>assistant<|message|>Four.<|end|>", "Four.", ""),
        (f"{ANALYSIS}cut", "", "cut"),
        # without an opening tag: the chat template has it
        ("hm\n</think>\n\nFour.", "Four.", "hm\n"),
        ("hm </think>Four.", "Four.", "hm "),
        ("hm.</THINK> Four.", "Four.", "hm."),
        ("</think>Four.", "Four.", ""),
        ("hm\n</think>", "", "hm\n"),
        ("hm\n</seed:think>Four.", "Four.", "hm\n"),
        ("hm<|END_THINKING|><|START_RESPONSE|>Four.", "Four.", "hm"),
        (f"hm<|end|><|start|>assistant{FINAL}Four.", "Four.", "hm<|end|><|start|>assistant"),
        ("hm</think><think>more</think>Four.", "Four.", "hmmore"),
        (f"{LONG}</think>Four.", "Four.", LONG),
        # an answer that writes about tags
        ("Close it with `</think>`.", "Close it with `</think>`.", ""),
        ('Write "</think>" there.', 'Write "</think>" there.', ""),
        ("The tag </think> ends thoughts.", "The tag </think> ends thoughts.", ""),
        ("It ends with </think>.", "It ends with </think>.", ""),
        ("Write <think> first, </think> last.", "Write <think> first, </think> last.", ""),
        ("a < b, and <", "a < b, and <", ""),
        ("[1] see [TH", "[1] see [TH", ""),
    ],
)  # fmt: skip
def test_thoughts_at_the_start_are_reasoning_however_the_text_is_cut(
    whole: str, text: str, reasoning: str
) -> None:
    assert separated(whole) == (text, reasoning)
    assert separated(*whole) == (text, reasoning)
    third = len(whole) // 3
    assert separated(whole[:third], whole[third:]) == (text, reasoning)


@each(
    ("texts", "answer", "thoughts"),
    [
        (["<", "b>Four"], [0, 1], []),
        ([" ", "Four"], [0, 1], []),
        (["<", "think>", "hm", "</", "think>", "\n", "<", "b>"], [6, 7], [2]),
        (["hm", "\n", "</th", "ink>", "\n", "Four"], [5], [0, 1]),
        (["hm </think>Four"], [0], [0]),
        (["<think>", "\n", "hm", "</think>", "Four"], [4], [1, 2]),
        (["<think>", "\n", "</think>", "\n\n", "Four"], [4], []),
        (["see ", "</think>", " ", "as"], [0, 1, 2, 3], []),
    ],
)
def test_every_text_counts_at_the_event_that_brought_it(
    texts: list[str], answer: list[int], thoughts: list[int]
) -> None:
    parts = by_event(*texts)
    assert [n for n, (text, _) in enumerate(parts) if text] == answer
    assert [n for n, (_, reasoning) in enumerate(parts) if reasoning] == thoughts


PARTS = ["<think>", "</think>", "<th", "ink>", "</", " ", "\n", "a", "İ", "`", "<|channel|>",
         "final", "<|message|>", "<details>", "<summary>Thinking</summary>", "</details>",
         "<answer>", "<|end|>", "[THINK]", "[/", "◁", "<|END_THINKING|>", "</answer>"]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS)), st.data())
def test_any_cut_of_any_text_gives_the_same(parts: list[str], data: st.DataObject) -> None:
    whole = "".join(parts)
    at = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    cuts = [whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)]
    assert separated(*cuts) == separated(whole)


def test_no_text_is_kept_in_memory() -> None:
    tags = ReasoningTags(USUAL_TAGS)
    for text in ["<think>", *["hm < " * 1000] * 50, "</think>", *[" " * 1000] * 50]:
        tags.add(text)
    assert len(tags._rest) < 300


@each("tag", ["", "<>", " x ", "ab ", "x" * 70, ("a",), ("<a>", ""), ("<a>", "</a>", "b")])
def test_a_tag_that_is_none_is_refused(tag: str | tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="reasoning tag"):
        tag_pairs([tag])


def answered(tags: tuple[str | tuple[str, ...], ...], *texts: str) -> str:
    events = [*(("", json.dumps({"text": text})) for text in texts), ("", '{"done": true}')]
    return read(dialect_of(target("bali_zero", reasoning_tags=tags)), transcript(events)).text


def test_tags_of_the_target_take_the_place_of_the_usual_ones() -> None:
    scratch = "<scratch>a</scratch>b"
    assert answered(("scratch",), scratch) == "b"
    assert answered((("<scratch>", "</scratch>"),), scratch) == "b"
    assert answered((("((", "))"),), "((a))b") == "b"
    assert answered(("<|begin_of_thought|>",), "<|begin_of_thought|>a<|end_of_thought|>b") == "b"
    assert answered((), scratch, "</think>c") == scratch + "</think>c"
    assert answered(("scratch",), "<think>a</think>b") == "<think>a</think>b"


def test_an_answer_that_begins_inside_thoughts_can_be_declared() -> None:
    implied = (("", "</think>"), ("<think>", "</think>"))
    assert answered(implied, "a", "</think>", "b") == "b"
    assert answered(implied, "<think>a", "</think>", "b") == "b"
    assert answered(implied, "a that never ends") == ""


@each(
    ("reason", "word"),
    [
        ("stop", Finish.STOP),
        ("STOP", Finish.STOP),
        ("FINISH_REASON_STOP", Finish.STOP),
        ("end_turn", Finish.STOP),
        ("COMPLETE", Finish.STOP),
        ("MAX_TOKENS", Finish.LENGTH),
        ("content-filter", Finish.CONTENT_FILTER),
        ("SAFETY", Finish.CONTENT_FILTER),
        ("refusal", Finish.CONTENT_FILTER),
        ("tool-calls", Finish.TOOL_CALLS),
        ("insufficient_system_resource", Finish.ERROR),
        ("x" * 5000, Finish.OTHER),
        ("FINISH_REASON_UNSPECIFIED", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_finish_reasons_of_all_vendors_are_one_of_six(reason: object, word: Finish | None) -> None:
    assert finish(reason) is word


@each(
    ("name", "data", "error"),
    [
        ("", '{"error": {"message": "no credit", "code": 402}}', "402: no credit"),
        ("", '[{"error": {"message": "quota", "code": 429}}]', "429: quota"),
        ("", '{"response": {"error": {"message": "boom"}}}', "boom"),
        ("", '{"choices": [{"error": {"message": "boom"}}]}', "boom"),
        ("", '{"data": {"errors": [{"message": "boom"}]}}', "boom"),
        ("", '{"object": "error", "message": "too long", "code": 400}', "400: too long"),
        ("", '{"type": "error", "message": "boom"}', "error: boom"),
        ("", '{"status": "error", "detail": "boom"}', "boom"),
        ("error", "Internal Server Error", "Internal Server Error"),
        ("error", '"boom"', "boom"),
        ("exception", '{"message": "boom"}', "boom"),
        ("", '{"choices": [{"delta": {}, "finish_reason": "error"}]}', "finish_reason: error"),
        # beside good answers
        ("", '{"error": null, "choices": [{"delta": {"content": "an error"}}]}', None),
        ("", '{"error": "", "x": 1}', None),
        ("", '{"error": false}', None),
        ("", '{"choices": [{"delta": {"content": "\\"error\\": {\\"message\\": 1}"}}]}', None),
        ("", '{"type": "tool", "status": "error", "message": "no such file"}', None),
        ("error", "", None),
        ("", '{"error": {"code": 0, "message": "success"}}', None),
        ("", '{"error": {"code": null, "message": null}}', None),
        ("", '{"error": "none", "choices": []}', None),
        ("", '{"error": 0.02}', None),
        # of a step, not of the answer
        ("", '{"type": "tool_end", "data": {"tool": "x", "error": "not found"}}', None),
        ("", '{"type": "status", "data": {"status": "error"}}', None),
        ("", '{"type": "metadata", "data": {"errors": ["cache miss"]}}', None),
        ("", '{"event": "tool", "result": {"error": "404"}}', None),
        # under other names
        ("", '{"error": true, "message": "it broke"}', "it broke"),
        ("", '{"x_groq": {"error": "over capacity"}}', "over capacity"),
        ("", '{"throttlingException": {"message": "slow down"}}', "throttlingException: slow down"),
        (
            "",
            '{"__type": "ThrottlingException", "message": "slow down"}',
            "ThrottlingException: slow down",
        ),
        ("", '{"detail": "Internal server error"}', "Internal server error"),
        ("", '{"error_code": 18, "error_msg": "quota"}', "quota"),
        ("", '{"errorMessage": "boom"}', "boom"),
        ("", "[ERROR] upstream died", "upstream died"),
        # a code, a status or a flag: MiniMax, DashScope and many others
        (
            "",
            '{"base_resp": {"status_code": 1008, "status_msg": "no balance"}}',
            "1008: no balance",
        ),
        (
            "",
            '{"choices": null, "base_resp": {"status_code": 1004, "status_msg": "login"}}',
            "1004: login",
        ),
        (
            "",
            '{"code": "Throttling", "message": "slow down", "request_id": "1"}',
            "Throttling: slow down",
        ),
        ("", '{"code": 429, "msg": "slow down"}', "429: slow down"),
        ("", '{"code": -1, "message": "boom", "data": null}', "-1: boom"),
        ("", '{"success": false, "message": "boom"}', "boom"),
        ("", '{"success": false, "code": "E7", "msg": "boom", "data": {}}', "E7: boom"),
        ("", '{"ok": false, "reason": "boom"}', "boom"),
        ("", '{"success": false}', "no reason given"),
        ("", '{"status": "failed", "message": "boom"}', "boom"),
        ("", '{"status": "FAILED"}', "status: FAILED"),
        ("", '{"status": 429, "message": "slow down"}', "slow down"),
        ("", '{"type": "done", "status": "error", "message": "boom"}', "boom"),
        ("", '{"event": "end", "status": "failed", "reason": "boom"}', "boom"),
        ("", '{"choices": [{"delta": {"content": "**ERROR**: boom"}}]}', "boom"),
        ("", '{"header": {"code": 10013, "message": "x", "sid": "a"}}', "10013: x"),
        ("", '{"error": true, "reason": "x"}', "x"),
        ("", '{"is_error": true, "message": "x"}', "x"),
        ("", '{"type": "error", "data": "x"}', "x"),
        ("", '{"type": "error", "content": "x"}', "x"),
        ("", '{"type": "stream_error", "message": "x"}', "stream_error: x"),
        ("", '{"type": "RUN_ERROR", "message": "x"}', "RUN_ERROR: x"),
        ("stream_error", '{"message": "x"}', "x"),
        ("chat.error", '"x"', "x"),
        ("", "Internal Server Error", "Internal Server Error"),
        ("", "upstream connect error or disconnect", "upstream connect error or disconnect"),
        ("", "{'error': 'x'}", "{'error': 'x'}"),
        ("", '{"type": "memory_saved", "success": false}', None),
        ("", '{"type": "status", "status": "failed", "message": "x"}', None),
        ("", '{"type": "response", "success": false, "message": "x"}', "x"),
        ("tool_error", '{"message": "x"}', None),
        ("", '{"type": "tool_result", "is_error": true, "text": "x"}', None),
        ("", '{"type": "response.mcp_call.failed"}', None),
        ("", "an error is nothing to fear", None),
        ("", '{"base_resp": {"status_code": 0, "status_msg": ""}}', None),
        ("", '{"code": 0, "message": "success"}', None),
        ("", '{"code": 200, "message": "ok"}', None),
        ("", '{"code": "Success", "message": "done"}', None),
        ("", '{"code": 1, "message": "searching"}', None),
        ("", '{"success": true, "ok": true}', None),
        ("", '{"type": "tool", "success": false, "message": "no such file"}', None),
        ("", '{"type": "tool-output-error", "errorText": "boom"}', None),
        ("", '{"step": "search", "status": "failed"}', None),
        ("", '{"type": "data-tool", "status": "error", "message": "boom"}', None),
        ("", '{"status": "searching", "message": "errors in the index are looked for"}', None),
        ("", '{"status": 200, "message": "ok"}', None),
    ],
)
def test_an_error_counts_wherever_the_stream_states_it(
    name: str, data: str, error: str | None
) -> None:
    reply = read(dialect_of(target("openai_chat")), transcript([(name, data)]))
    assert reply.error == error


FAILURES = [
    ("vercel_ai", "", {"type": "tool-output-error", "toolCallId": "1", "errorText": "x"}, None),
    ("vercel_ai", "", {"type": "data-tool", "data": {"status": "error", "error": "x"}}, None),
    ("vercel_ai", "", {"type": "data-status", "status": "error", "message": "x"}, None),
    ("vercel_ai", "", {"type": "error", "errorText": "x"}, "x"),
    ("vercel_ai", "", {"error": {"message": "x", "code": 502}}, "502: x"),
    ("langgraph", "values", {"error": "a node failed", "messages": []}, None),
    ("langgraph", "messages", [{"type": "tool", "status": "error", "content": "x"}, {}], None),
    ("langgraph", "updates", {"tools": {"error": "x", "status": "error"}}, None),
    ("langgraph", "error", {"error": "ValueError", "message": "x"}, "ValueError: x"),
    ("langgraph", "error|sub", {"error": "ValueError", "message": "x"}, "ValueError: x"),
    ("langgraph", "", {"detail": "x"}, "x"),
    ("dify", "", {"event": "node_finished", "data": {"status": "failed", "error": "x"}}, None),
    ("dify", "", {"code": "too_many_requests", "message": "x", "status": 429}, "x"),
    ("ragflow", "", {"code": 102, "message": "x", "data": False}, "102: x"),
    ("ragflow", "", {"detail": "x"}, "x"),
]


@each(("name", "event", "data", "error"), FAILURES)
def test_a_step_that_failed_is_no_failed_answer(
    name: str, event: str, data: object, error: str | None
) -> None:
    assert read(dialect_of(target(name)), transcript([(event, json.dumps(data))])).error == error


def test_a_finish_reason_of_an_error_is_an_error_whatever_the_dialect() -> None:
    options = {"path": "/s", "query": {"q": "{query}"}, "text": "t", "done": "close",
               "finish": "f", "error": "e"}  # fmt: skip
    reply = read(
        dialect_of(target("custom", options=options)),
        transcript([("", '{"t": "Hi", "f": "not_finished"}'), ("", '{"f": "error"}')]),
    )
    assert (reply.text, reply.error) == ("Hi", "the finish reason is an error")


def spoken(name: str, *events: tuple[str, object], **options: object) -> Reply:
    named = [(event, json.dumps(data)) for event, data in events]
    return read(dialect_of(target(name, options=options)), transcript(named))


def choice(**fields: object) -> tuple[str, object]:
    return "", {"choices": [fields]}


@pytest.mark.parametrize(
    ("events", "text", "pieces"),
    [
        ([choice(text="Hel"), choice(text="lo")], "Hello", 2),
        ([choice(message={"content": "Hello"})], "Hello", 1),
        ([choice(message={"content": "Hel"}), choice(message={"content": "Hello"})], "Hello", 2),
        ([choice(message={"content": "Hel"}), choice(message={"content": "lo"})], "Hello", 2),
        ([choice(delta={"content": "Hello"}), choice(message={"content": "Hello"})], "Hello", 1),
        ([choice(delta={"content": "Hi"}, message={"content": "Hi"}),
          choice(delta={"content": "!"}, message={"content": "Hi!"}),
          choice(delta={"content": ""}, message={"content": "Hi!"})], "Hi!", 2),
    ],
)  # fmt: skip
def test_text_outside_of_a_delta_is_text(
    events: list[tuple[str, object]], text: str, pieces: int
) -> None:
    reply = spoken("openai_chat", *events)
    assert (reply.text, len(reply.pieces)) == (text, pieces)


def ragflow(answer: str, **more: object) -> tuple[str, object]:
    return "", {"code": 0, "data": {"answer": answer, **more}}


@pytest.mark.parametrize(
    ("events", "text", "error"),
    [
        ([ragflow("Hi"), ragflow("Hi\n**ERROR**: timeout")], "Hi", "timeout"),
        ([ragflow("Hi **ERROR**: timeout")], "Hi", "timeout"),
        ([ragflow("Hi ", final=False), ragflow("\n**ERROR**: timeout", final=False)],
         "Hi ", "timeout"),
        ([ragflow("Levels:\n- **ERROR**: bad")], "Levels:\n- **ERROR**: bad", None),
        ([ragflow("<retrieving>", final=False), ragflow("Searching<br/>" * 9, final=False),
          ragflow("</retrieving>", final=False), ragflow("Hi", final=False),
          ragflow("Hi.", final=True)], "Hi.", None),
    ],
)  # fmt: skip
def test_ragflow_notes_of_a_search_and_errors_in_the_answer(
    events: list[tuple[str, object]], text: str, error: str | None
) -> None:
    reply = spoken("ragflow", *events)
    assert (reply.text, reply.error) == (text, error)
    assert reply.pieces[0].text.startswith("Hi") or error is None


def finished(outputs: object, **more: object) -> tuple[str, object]:
    data = {"status": "succeeded", "outputs": outputs} | more
    return "", {"event": "workflow_finished", "data": data}


@each(
    ("events", "text", "error"),
    [
        ([finished({"answer": "Four"})], "Four", None),
        ([finished({"text": "Four", "n": 4})], "Four", None),
        ([finished({"verdict": "Four"})], "Four", None),
        ([finished({"a": "x", "b": "y"})], "", None),
        ([finished(None)], "", None),
        ([("", {"event": "text_chunk", "data": {"text": "Four"}}), finished({"text": "Four"})],
         "Four", None),
        ([("", {"event": "message", "answer": "Four"}), finished({"answer": "Four"})],
         "Four", None),
        ([("", {"event": "node_finished", "data": {"status": "failed", "error": "no key"}}),
          finished({}, status="failed")], "", "no key"),
        ([finished({}, status="failed", error="boom")], "", "boom"),
        ([finished({"answer": "Four"}, status="partial-succeeded")], "Four", None),
    ],
)  # fmt: skip
def test_a_dify_workflow_without_messages_answers_by_its_outputs(
    events: list[tuple[str, object]], text: str, error: str | None
) -> None:
    reply = spoken("dify", *events)
    assert (reply.text, reply.error) == (text, error)


AI = {"type": "AIMessageChunk", "id": "1"}


@each(
    ("events", "text"),
    [
        ([("values", {"question": "q"}), ("values", {"question": "q", "answer": "Four"})], "Four"),
        ([("values", {"generation": "Fo"}), ("values", {"generation": "Four"})], "Four"),
        ([("values", {"output": {"answer": "Four"}})], "Four"),
        ([("values", {"generation": ["Fo", "ur"]})], "Four"),
        ([("values", {"output": {"type": "ai", "content": "Four"}})], "Four"),
        ([("updates", {"generate": {"generation": "Four"}})], "Four"),
        ([("updates", {"retrieve": {"documents": []}}), ("updates", {"g": {"answer": "Four"}})],
         "Four"),
        ([("custom", {"token": "Fo"}), ("custom", {"token": "ur"})], "Four"),
        ([("custom", "Fo"), ("custom", "ur")], "Four"),
        ([("custom", {"custom_llm_chunk": AI | {"content": "Four"}})], "Four"),
        ([("custom", {"progress": 3})], ""),
        ([("messages", [AI | {"content": "Four"}, {}]), ("values", {"answer": "Four"}),
          ("custom", "a note")], "Four"),
    ],
)  # fmt: skip
def test_a_graph_answers_by_its_state_or_by_what_its_nodes_write(
    events: list[tuple[str, object]], text: str
) -> None:
    assert spoken("langgraph", *events).text == text


def test_a_custom_dialect_with_an_error_expression_knows_its_own_errors() -> None:
    options = {"path": "/s", "query": {"q": "{query}"}, "text": "t", "done": "d"}
    event = [("", '{"error": {"message": "a step failed"}}')]
    free = dialect_of(target("custom", options=options))
    assert read(free, transcript(event)).error == "a step failed"
    own = dialect_of(target("custom", options=options | {"error": "fatal"}))
    assert read(own, transcript(event)).error is None


@each(
    "data",
    [
        "null",
        "[]",
        '""',
        "1732912345",
        "keepalive 3",
        "processing...",
        "heartbeat 2026-11-30T04:38:00Z",
        "",
        " ",
        "ping",
        "PING",
        ": heartbeat",
        "[KEEPALIVE]",
        "{}",
    ],
)
def test_keep_alives_are_nothing(data: str) -> None:
    reply = read(dialect_of(target("openai_chat")), transcript([("", data)]))
    assert (reply.malformed, reply.faults, reply.text) == (0, (), "")


@each(
    ("found", "listed"),
    [
        ([], RetrievedSources(0)),
        (3, RetrievedSources(3)),
        ([{"score": Decimal("0.5")}, {"similarity": 0.25}], RetrievedSources(2, 0.5)),
        (
            [{"metadata": {"score": 1, "date": "2025-01-02"}}],
            RetrievedSources(1, 1.0, datetime(2025, 1, 2, tzinfo=UTC)),
        ),
        (
            [{"updated_at": 1735689600}, {"updated_at": 1735689600000 + 1000}],
            RetrievedSources(2, None, datetime(2025, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ),
        (
            [{"date": "2025-06-01T12:00:00+02:00"}],
            RetrievedSources(1, None, datetime(2025, 6, 1, 10, tzinfo=UTC)),
        ),
        ([{"score": "0.87"}, {"relevanceScore": "42%"}], RetrievedSources(2, 0.87)),
        (
            [{"@search.score": 2.5}, {"_score": 1}, {"similarityScore": 0.1}],
            RetrievedSources(3, 2.5),
        ),
        (
            [{"updatedAt": "2025-01-01"}, {"meta": {"Last-Modified": "2025-01-02T00:00:00Z"}}],
            RetrievedSources(2, None, datetime(2025, 1, 2, tzinfo=UTC)),
        ),
        *(
            ([{"date": date}], RetrievedSources(1, None, datetime(2025, 1, 2, tzinfo=UTC)))
            for date in (
                "2025/01/02",
                "2 January 2025",
                "Jan 2, 2025",
                "20250102",
                "1735776000",
                "Thu, 02 Jan 2025 00:00:00 GMT",
                "2025-01-02T00:00:00Z",
            )
        ),
        (["a title", None], RetrievedSources(2)),
        (
            [{"score": "high", "date": "yesterday"}, {"score": True, "date": -1}],
            RetrievedSources(2),
        ),
        ([{"score": 10**400, "date": "0001-01-01T00:00:00+23:00"}], RetrievedSources(1)),
        (True, None),
        (-1, None),
        ("a", None),
        (None, None),
    ],
)
def test_sources_are_counted_scored_and_dated(
    found: object, listed: RetrievedSources | None
) -> None:
    assert sources(found) == listed
