"""Requests as each service wants them, and options that do not suit."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from monitor.dialects import DIALECTS, dialect_of
from monitor.dialects.custom import REQUEST, SINGLE, TABLES
from monitor.dialects.event_rules import USAGE
from monitor.domain import ProbeRequest, Query
from tests.case_tables import each
from tests.example_transcripts import CUSTOM, HI, target


def asked(dialect: str, **more: Any) -> ProbeRequest:
    wanted = target(dialect, **more)
    return dialect_of(wanted).build_request(HI, wanted)


def body(request: ProbeRequest) -> Any:
    assert request.body is not None
    return json.loads(request.body)


@each(
    ("dialect", "url", "path"),
    [
        ("bali_zero", "https://x", "/bali-zero/chat-stream"),
        ("bali_zero", "https://x/", "/bali-zero/chat-stream"),
        ("bali_zero", "https://x/bali-zero/chat-stream", "/bali-zero/chat-stream"),
        ("bali_zero_typed", "https://x", "/api/v2/bali-zero/chat-stream"),
        ("openai_chat", "https://x", "/v1/chat/completions"),
        ("openai_chat", "https://x/v1", "/v1/chat/completions"),
        ("openai_chat", "https://x/v1/", "/v1/chat/completions"),
        ("openai_chat", "https://x/api/v1", "/api/v1/chat/completions"),
        ("openai_chat", "https://x/tenant", "/tenant/v1/chat/completions"),
        ("openai_chat", "https://x/beta/chat/completions", "/beta/chat/completions"),
        ("openai_chat", "https://x/beta/chat/completions/", "/beta/chat/completions/"),
        ("openai_chat", "https://x/completions", "/completions/v1/chat/completions"),
        (
            "openai_chat",
            "https://x/openai/deployments/d/chat/completions?api-version=1",
            "/openai/deployments/d/chat/completions",
        ),
        (
            "openai_chat",
            "https://x/openai/deployments/d?api-version=1",
            "/openai/deployments/d/chat/completions",
        ),
        ("openai_chat", "https://x/openai", "/openai/v1/chat/completions"),
        ("openai_chat", "https://x/v1beta/openai", "/v1beta/openai/chat/completions"),
        ("openai_chat", "https://x/v1beta/openai/", "/v1beta/openai/chat/completions"),
        ("openai_chat", "https://x/api/paas/v4", "/api/paas/v4/chat/completions"),
        ("openai_responses", "https://x/responses", "/responses"),
        ("openai_responses", "https://x/openai/v1/responses?api-version=p", "/openai/v1/responses"),
        ("anthropic_messages", "https://x/anthropic/v1/messages", "/anthropic/v1/messages"),
        ("anthropic_messages", "https://x/apps/anthropic/messages", "/apps/anthropic/messages"),
        ("ollama", "https://x/proxy/api/chat", "/proxy/api/chat"),
        ("openai_chat", "https://x/v1/chat/completions", "/v1/chat/completions"),
        ("openai_responses", "https://x/v1", "/v1/responses"),
        ("anthropic_messages", "https://x", "/v1/messages"),
        ("ollama", "http://x:11434", "/api/chat"),
        ("ollama", "http://x:11434/api", "/api/chat"),
        ("custom", "https://x/kb", "/kb/ask"),
        ("gemini", "https://x", "/v1beta/models/m-1:streamGenerateContent"),
        ("gemini", "https://x/v1", "/v1/models/m-1:streamGenerateContent"),
        (
            "gemini",
            "https://x/v1/projects/p/locations/l/publishers/google",
            "/v1/projects/p/locations/l/publishers/google/models/m-1:streamGenerateContent",
        ),
        (
            "gemini",
            "https://x/v1beta/models/other:streamGenerateContent?key=k",
            "/v1beta/models/other:streamGenerateContent",
        ),
        ("cohere", "https://x", "/v2/chat"),
        ("cohere", "https://x/v2", "/v2/chat"),
        ("cohere", "https://x/compat/v2/chat", "/compat/v2/chat"),
        ("vercel_ai", "https://x", "/api/chat"),
        ("vercel_ai", "https://x/app/api/chat", "/app/api/chat"),
        ("langgraph", "https://x", "/runs/stream"),
        ("langgraph", "https://x/threads/t/runs/stream", "/threads/t/runs/stream"),
        ("dify", "https://x", "/v1/chat-messages"),
        ("dify", "https://x/v1", "/v1/chat-messages"),
        ("ragflow", "https://x", "/api/v1/chat/completions"),
        ("ragflow", "https://x/api/v1/chats/c1", "/api/v1/chats/c1/completions"),
        ("ragflow", "https://x/api/v1/chats/c1/completions", "/api/v1/chats/c1/completions"),
        ("ragflow", "https://x/api/v1/agents/a1", "/api/v1/agents/a1/completions"),
    ],
)
def test_url_gets_what_it_lacks_of_the_path(dialect: str, url: str, path: str) -> None:
    assert urlsplit(asked(dialect, url=url).url).path == path


def test_parameters_of_the_url_stay() -> None:
    request = asked("openai_chat", url="https://x/v1?api-version=2024-10-21")
    assert request.url == "https://x/v1/chat/completions?api-version=2024-10-21"
    request = asked("bali_zero", url="https://x?tenant=1")
    assert parse_qs(urlsplit(request.url).query) == {"tenant": ["1"], "query": [HI.text]}


def test_bali_zero_is_asked_anonymously_in_a_rate_bucket_of_its_own() -> None:
    request = asked("bali_zero")
    assert request.method == "GET"
    assert request.body is None
    assert request.url.endswith("?query=Hi+%26+bye%3F+100%25")
    assert dict(request.headers) == {"Accept": "text/event-stream", "X-User-ID": "rag-monitor"}


def test_headers_of_the_target_win() -> None:
    headers = {"x-user-id": "probe", "Authorization": "Bearer abc"}
    request = asked("bali_zero", headers=headers)
    assert dict(request.headers) == {"Accept": "text/event-stream", **headers}


def test_typed_bali_zero_may_be_posted() -> None:
    request = asked("bali_zero_typed", options={"method": "POST"})
    assert request.method == "POST"
    assert urlsplit(request.url).path == "/api/chat/stream"
    assert body(request)["message"] == HI.text
    assert dict(request.headers)["Content-Type"] == "application/json"


def test_openai_chat_asks_for_usage_and_routing() -> None:
    request = asked("openai_chat", options={"body": {"max_tokens": 64, "stream": False}})
    assert body(request) == {
        "model": "m-1",
        "messages": [{"role": "user", "content": HI.text}],
        "stream_options": {"include_usage": True},
        "max_tokens": 64,
        "stream": True,  # whatever the options say
    }
    assert dict(request.headers)["X-OpenRouter-Metadata"] == "enabled"
    assert "model" not in body(asked("openai_chat", model=None))


def test_openai_responses_are_not_kept_by_the_provider() -> None:
    reported = body(asked("openai_responses"))
    assert reported == {"model": "m-1", "input": HI.text, "store": False, "stream": True}


def test_anthropic_messages_name_version_and_limit() -> None:
    request = asked("anthropic_messages", options={"body": {"max_tokens": 32}})
    assert body(request)["max_tokens"] == 32
    assert dict(request.headers)["anthropic-version"] == "2023-06-01"


def test_ollama_is_asked_for_lines() -> None:
    request = asked("ollama")
    assert dict(request.headers)["Accept"] == "application/x-ndjson"
    assert body(request)["stream"] is True


TRICKY = Query(id="q/1", text='"}, {model} \u2028 ../?&')


def test_custom_fills_leaves_of_the_body_and_nothing_else() -> None:
    wanted = target("custom", options=CUSTOM | {
        "path": "/{id}/ask", "query": {"tag": "a-{id}"},
        "body": {"{query}": 1, "q": "<{query}>", "deep": [{"m": "{model}"}, "{other}", True]},
    })  # fmt: skip
    request = dialect_of(wanted).build_request(TRICKY, wanted)
    assert request.method == "POST"
    assert request.url == "https://rag.example/q%2F1/ask?tag=a-q%2F1"
    assert body(request) == {
        "{query}": 1,
        "q": f"<{TRICKY.text}>",
        "deep": [{"m": "m-1"}, "{other}", True],
    }


def test_custom_takes_a_body_in_json_text() -> None:
    wanted = target(
        "custom", options=CUSTOM | {"body": '{"q": "{query}", "filter": null, "t": 0.2}'}
    )
    assert body(dialect_of(wanted).build_request(TRICKY, wanted)) == {
        "q": TRICKY.text,
        "filter": None,
        "t": 0.2,
    }


def test_custom_may_be_posted_without_a_body() -> None:
    request = asked("custom", options=CUSTOM | {"method": "POST"})
    assert (request.method, body(request)) == ("POST", {})


def test_custom_without_a_path_asks_the_url_itself() -> None:
    options = {key: value for key, value in CUSTOM.items() if key != "path"}
    request = asked("custom", url="https://x/ask/", options=options)
    assert request.url == "https://x/ask/?q=Hi+%26+bye%3F+100%25"


@each(
    ("dialect", "more", "complaint"),
    [
        (
            "balizero",
            {},
            "no dialect is called 'balizero'; did you mean \"bali_zero\"? known: bali_zero,",
        ),
        (
            "bali_zero",
            {"options": {"body": {}}},
            "options.body: unknown; known: path",
        ),
        (
            "openai_chat",
            {"options": {"temperature": 0}},
            "options.temperature: unknown; known: body",
        ),
        ("openai_chat", {"options": {"body": 7}}, "options.body = 7: must be a table"),
        ("openai_chat", {"options": {"body": {"x": HI}}}, "options.body: Object of type Query"),
        (
            "anthropic_messages",
            {"model": None},
            'anthropic_messages must name a model: add model = "…"',
        ),
        ("ollama", {"model": None}, 'ollama must name a model: add model = "…"'),
        ("bali_zero_typed", {"options": {"method": "PUT"}}, "options.method = 'PUT': write"),
        ("gemini", {"model": None}, 'gemini must name a model: add model = "…"'),
        ("langgraph", {"options": {"server": "x"}}, "options.server = 'x': \"platform\" or"),
    ],
)
def test_what_does_not_suit_is_named(dialect: str, more: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError) as refused:
        dialect_of(target(dialect, **more))
    assert str(refused.value).startswith(complaint)


@each(
    ("change", "complaint"),
    [
        ({"text": "delta["}, "options.text = 'delta[': Invalid jmespath expression"),
        ({"text": 7}, "options.text = 7: must be text in quotes; see JMESPath in"),
        ({"done": ""}, "options.done = '': Invalid JMESPath expression: cannot be empty.; see"),
        ({"error": "upper(@)"}, "options.error = 'upper(@)': Unknown function: upper(); see"),
        ({"usage": {"cost_usd": "a b"}}, "options.usage.cost_usd = 'a b': Unexpected token: b"),
        ({"usage": {"tokens": "a"}}, "options.usage.tokens: unknown; known: answer_tokens"),
        ({"usage": "a"}, "options.usage = 'a': must be a table"),
        ({"claims": {"x": "["}}, "options.claims.x = '['"),
        ({"framing": "xml"}, 'options.framing = \'xml\': "sse", "ndjson" or "text"'),
        ({"media_types": "text/plain"}, "options.media_types = 'text/plain': must be a list"),
        ({"method": "GET", "body": {"q": "{query}"}}, "options.method = 'GET': \"GET\" without"),
        ({"body": "{"}, "options.body: "),
        ({"query": {"q": "Hi"}}, "options.query: {query} is missing"),
        ({"txt": "a"}, "options.txt: unknown; known: body, claims,"),
    ],
)
def test_custom_options_that_do_not_suit_are_named(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError) as refused:
        dialect_of(target("custom", options=CUSTOM | change))
    assert str(refused.value).startswith(complaint)


@pytest.mark.parametrize("needed", ["text", "done"])
def test_custom_needs_text_and_done(needed: str) -> None:
    options = {key: value for key, value in CUSTOM.items() if key != needed}
    with pytest.raises(ValueError, match=f"options.{needed}: missing"):
        dialect_of(target("custom", options=options))


DOCUMENT = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text(encoding="utf-8")


def test_examples_of_the_document_work() -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    targets = [t for text in examples for t in tomllib.loads(text)["targets"].items()]
    described = {reported["dialect"] for _, reported in targets}
    assert described >= {"openai_chat", "custom", "gemini", "cohere", "vercel_ai", "langgraph",
                         "dify", "ragflow"}  # fmt: skip
    for _, reported in targets:
        given = {key: reported[key] for key in ("url", "model", "options") if key in reported}
        assert dialect_of(target(reported["dialect"], **given))


def test_gemini_is_asked_for_events_once() -> None:
    assert urlsplit(asked("gemini").url).query == "alt=sse"
    whole = "https://x/v1beta/models/m:streamGenerateContent"
    assert asked("gemini", url=f"{whole}?alt=sse&a=b").url == f"{whole}?alt=sse&a=b"
    assert asked("gemini", url=f"{whole}?a=b").url == f"{whole}?a=b&alt=sse"
    assert body(asked("gemini", options={"body": {"generationConfig": {}}})) == {
        "contents": [{"role": "user", "parts": [{"text": HI.text}]}],
        "generationConfig": {},
    }


def test_bodies_of_applications_take_the_question_where_they_want_it() -> None:
    chain = {"server": "langserve", "body": {"input": {"question": "{query}"}}}
    request = asked("langgraph", options=chain)
    assert urlsplit(request.url).path == "/stream"
    assert body(request) == {"input": {"question": HI.text}}
    run = body(asked("langgraph", options={"body": {"assistant_id": "support"}}))
    assert (run["assistant_id"], run["stream_mode"]) == ("support", ["messages-tuple"])
    workflow = {"path": "v1/workflows/run", "body": {"inputs": {"q": "{query}"}}}
    assert body(asked("dify", options=workflow))["inputs"] == {"q": HI.text}
    assert body(asked("ragflow", options={"body": {"session_id": "s"}}))["session_id"] == "s"


def test_a_whole_address_keeps_its_query_string() -> None:
    url = "https://x/openai/deployments/d/chat/completions?api-version=2024-10-21&x=a%20b"
    assert asked("openai_chat", url=url).url == url


@each("dialect", [name for name in DIALECTS if name != "custom"])
def test_an_option_takes_the_place_of_the_path(dialect: str) -> None:
    request = asked(dialect, url="https://x/base", options={"path": "/my/own"})
    assert urlsplit(request.url).path == "/base/my/own"
    with pytest.raises(ValueError, match=r"options\.path = 7: must be the path"):
        asked(dialect, options={"path": 7})


@each("name", DIALECTS)
def test_every_dialect_has_a_section_in_the_document(name: str) -> None:
    described = f"\n## `{name}`\n" in DOCUMENT
    assert described, f"docs/dialects.md does not describe {name}: add a section ## `{name}`"


@each("name", [*REQUEST, *SINGLE, *TABLES, *USAGE])
def test_every_option_of_custom_is_in_the_document(name: str) -> None:
    described = f"`{name}`" in DOCUMENT
    assert described, f"docs/dialects.md does not describe option {name} of `custom`"
