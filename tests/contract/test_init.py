"""`monitor init` asks services that nobody described and writes a configuration that works."""

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from monitor.config import load
from monitor.dialects import DIALECTS
from monitor.domain import Query
from monitor.setup.request_forms import ServiceAddress, built_in, header_templates
from monitor.simulator.answer_plan import PlaybackPace
from monitor.simulator.service import SimulatedService
from tests.case_tables import each
from tests.contract.cli import Ended, call

WORDS = ["Hello", "! I can ", "help you", " with visas,", " taxes and", " companies."]
ANSWER = "".join(WORDS)


class Asked(dict[str, Any]):
    """One request: method, path, parameters, headers in lower case, body as JSON."""


Reply = tuple[int, str, list[str]]
Service = Callable[[Asked], Reply]
SSE, NDJSON, JSON, HTML = (
    "text/event-stream",
    "application/x-ndjson",
    "application/json",
    "text/html; charset=utf-8",
)
MISSING: Reply = (404, JSON, ['{"detail":"Not Found"}'])


@contextmanager
def served(service: Service) -> Iterator[tuple[str, list[Asked]]]:
    """A service on loopback: its address, and what it was asked."""
    requests: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            sent = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked = Asked(
                method=self.command,
                path=parts.path,
                parameters=dict(parse_qsl(parts.query)),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=json.loads(sent) if sent else None,
            )
            requests.append(asked)
            status, media, chunks = service(asked)
            self.send_response(status)
            self.send_header("content-type", media)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for chunk in (piece.encode() for piece in chunks):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")

        do_GET = _answer  # noqa: N815  as the library calls it
        do_POST = _answer  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sse(*documents: object, end: str = "") -> Reply:
    return 200, SSE, [*(f"data: {json.dumps(one)}\n\n" for one in documents), end]


def lines(*documents: object) -> Reply:
    return 200, NDJSON, [json.dumps(one) + "\n" for one in documents]


def fastapi(field: str, reply: Reply, path: str = "/ask") -> Service:
    """A service that validates its body as FastAPI does."""

    def service(asked: Asked) -> Reply:
        if asked["path"] != path:
            return MISSING
        if asked["method"] != "POST":
            return 405, JSON, ['{"detail":"Method Not Allowed"}']
        if not isinstance((asked["body"] or {}).get(field), str):
            fault = {"type": "missing", "loc": ["body", field], "msg": "Field required"}
            return 422, JSON, [json.dumps({"detail": [fault]})]
        return reply

    return service


def init(home: Path, url: str, *more: str, **given: str) -> Ended:
    ended = call(("init", "--url", url, "--yes", *more), home=home, **given)
    assert ended.error is None, repr(ended.error)
    return ended


def settings(home: Path, **given: str) -> Any:
    return load({"MONITOR_CONFIG": str(home / "monitor.toml"), "MONITOR_HOME": str(home), **given})


TYPED = sse(
    {"type": "status", "payload": {"t": "Searching the documents …"}},
    *({"type": "token", "payload": {"t": word}} for word in WORDS),
    {"type": "sources", "payload": {"docs": [{"title": "KBLI", "score": 0.8}]}},
    {"type": "metrics", "payload": {"tokens": {"input": 812, "output": 31}}},
    {"type": "complete", "payload": {"model_name": "meta-llama/llama-4-scout"}},
)
DELTAS = lines(*({"delta": word} for word in WORDS), {"delta": "", "finished": True})
RAW: Reply = (
    200,
    SSE,
    [*(f"event: message\ndata: {word}\n\n" for word in WORDS), "event: end\ndata: bye\n\n"],
)
SO_FAR = sse(*({"partial": "".join(WORDS[: n + 1]), "seq": n} for n in range(len(WORDS))))
PLAIN: Reply = (200, "text/plain; charset=utf-8", WORDS)
FLASK: Reply = (200, HTML, WORDS)  # Flask's media type for a generator
ARRAYS = sse(*(["tok", word] for word in WORDS), ["end", {"ms": 3}], end="data: [DONE]\n\n")
TWO_LANES = sse(
    *({"kind": "thinking", "content": word} for word in ("The user ", "greets me.")),
    *({"kind": "answer", "content": word} for word in WORDS),
    {"kind": "final", "content": ANSWER, "llm": "gpt-4o-mini-2024-07-18"},
)
PREFIXED: Reply = (
    200,
    "text/plain",
    [*(f"tok:{json.dumps({'w': word})}\n" for word in WORDS), 'fin:{"ok":true}\n'],
)
MISLABELLED: Reply = (200, "text/plain", [f"data: {json.dumps({'a': w})}\n\n" for w in WORDS])

UNSEEN: Mapping[str, tuple[str, Reply]] = {
    "typed events with a nested text": ("question", TYPED),
    "lines of deltas": ("prompt", DELTAS),
    "raw words in named events": ("msg_text", RAW),
    "the text so far": ("q", SO_FAR),
    "plain text": ("input", PLAIN),
    "plain text labelled as HTML": ("query", FLASK),
    "arrays": ("userMessage", ARRAYS),
    "thoughts, an answer, and the answer again": ("message", TWO_LANES),
    "prefixed lines": ("text", PREFIXED),
    "events labelled as plain text": ("query", MISLABELLED),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_an_unseen_service_is_recognised_and_its_file_works(name: str, tmp_path: Path) -> None:
    field, reply = UNSEEN[name]
    with served(fastapi(field, reply)) as (url, requests):
        ended = init(tmp_path, f"{url}/ask")
        assert ended.status == 0, ended.said
        assert len(requests) < 10
        probed = call(("probe", "--json"), home=tmp_path)
    found = [json.loads(line) for line in probed.out.splitlines()]
    assert [one["outcome"] for one in found] == ["answered"] * 3, probed.said
    chars = {len(ANSWER.replace("\n", "")), len("".join(word.strip() for word in WORDS))}
    assert {one["answer_chars"] for one in found} <= chars
    assert "first answer: Hello" in ended.out


def test_what_each_expression_found_is_shown_and_written(tmp_path: Path) -> None:
    with served(fastapi("question", TYPED)) as (url, _):
        ended = init(tmp_path, f"{url}/ask")
    target = settings(tmp_path).targets["service"]
    assert target.options == {
        "body": {"question": "{query}"},
        "framing": "sse",
        "text": "type == 'token' && payload.t",
        "done": "type == 'complete'",
        "model": "payload.model_name",
        "sources": "payload.docs",
        "usage": {
            "prompt_tokens": "payload.tokens.input",
            "answer_tokens": "payload.tokens.output",
        },
    }
    assert target.expected_models == ("meta-llama/llama-4-scout",)
    assert 'model = payload.model_name  found "meta-llama/llama-4-scout"' in ended.out
    written = (tmp_path / "monitor.toml").read_text()
    assert '# "meta-llama/llama-4-scout"' in written
    assert "the first answer named it" in written
    assert [query.prompt_tokens for query in target.queries] == [812] * 3
    assert "prompt_tokens = 812  # measured: reported for the first answer" in written
    assert "projected spend of service" in ended.out
    assert "$" in ended.out.partition("projected spend")[2]


NAMED: Reply = (
    200,
    SSE,
    [
        'event: session\ndata: {"id": "s-1"}\n\n',
        'event: sources\ndata: [{"title": "terms.md", "score": 0.8}, {"title": "faq.md"}]\n\n',
        *(f'event: token\ndata: {{"t": {json.dumps(word)}}}\n\n' for word in WORDS),
        'event: usage\ndata: {"input": 812, "output": 31}\n\n',
        'event: model\ndata: {"name": "meta-llama/llama-4-scout"}\n\n',
        "event: done\ndata: {}\n\n",
    ],
)
CONTENTS: Mapping[str, tuple[Reply, Sequence[str], Sequence[str]]] = {
    "all are in events of their names": (
        NAMED,
        [
            "who answered: meta-llama/llama-4-scout",
            "usage: 812 prompt tokens, 31 answer tokens",
            "sources: 2 in this answer",
            "session: id, which requests do not repeat: each probe is a new conversation",
        ],
        ['sources = "_event == \'sources\' && _json"  # [{"title": "terms.md"'],
    ),
    "nothing but text": (
        DELTAS,
        [
            "who answered: the answer does not say. If it names the model, set model = ",
            "usage: not found; tokens are estimated from the text. If it counts tokens, set usage.",
            "sources: not found. If the service retrieves documents, ask a question that needs ",
            'If it lists retrieved documents, set sources = "EXPRESSION" in the options (docs/dial',
            "session: no id in this answer",
        ],
        ['# No sources were found. If answers list documents: sources = "EXPRESSION"'],
    ),
    "an empty list": (
        sse(*({"t": word} for word in WORDS), {"sources": [], "end": True}),
        ["sources: none in this answer. If it needed none, ask a question that needs documents"],
        ['sources = "sources"'],
    ),
    "plain text": (
        PLAIN,
        ["sources: not found.", "A plain text stream has no fields for it"],
        [],
    ),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_init_says_what_the_answer_contains_and_what_not(name: str, tmp_path: Path) -> None:
    reply, said, written = CONTENTS[name]
    with served(fastapi("question", reply)) as (url, _):
        ended = init(tmp_path, f"{url}/ask")
    assert ended.status == 0, ended.said
    assert [line for line in said if line not in ended.out] == [], ended.out
    text = (tmp_path / "monitor.toml").read_text()
    assert [line for line in written if line not in text] == [], text


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ('[{"title": "terms.md"}]', "sources: 1 in this answer"),  # no chunk, so `custom` is taken
        (
            '{"items": [{"title": "terms.md"}]}',
            "sources: not read by dialect openai_chat, but found at _event == 'citations' && "
            "items: --dialect custom reads them",
        ),
    ],
)
def test_sources_in_an_event_of_their_own_beside_a_known_dialect(
    listed: str, said: str, tmp_path: Path
) -> None:
    chunks = (TRANSCRIPTS / "openai_chat" / "openai.txt").read_text(encoding="utf-8")
    cited = f"event: citations\ndata: {listed}\n\n{chunks}"

    def service(asked: Asked) -> Reply:
        known = asked["path"] == "/v1/chat/completions" and (asked["body"] or {}).get("messages")
        return (200, SSE, [cited]) if known else (400, JSON, ['{"error": "messages: missing"}'])

    with served(service) as (url, _):
        address = f"{url}/v1/chat/completions"
        assert said in init(tmp_path, address, "--model", "m").out
        own = f"{tmp_path}/own.toml"
        again = init(tmp_path, address, "--dialect", "custom", "--output", own)
    assert "sources: 1 in this answer" in again.out


TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
KNOWN: Mapping[str, tuple[str, str, str]] = {  # path of the endpoint, media type, transcript
    "openai_chat": ("/v1/chat/completions", SSE, "openrouter.txt"),
    "openai_responses": ("/v1/responses", SSE, "normal.txt"),
    "anthropic_messages": ("/v1/messages", SSE, "normal.txt"),
    "ollama": ("/api/chat", NDJSON, "normal.ndjson"),
    "gemini": ("/v1beta/models/m:streamGenerateContent", SSE, "normal.txt"),
    "cohere": ("/v2/chat", SSE, "normal.txt"),
    "vercel_ai": ("/api/chat", SSE, "normal.txt"),
    "langgraph": ("/runs/stream", SSE, "chunks.txt"),
    "dify": ("/v1/chat-messages", SSE, "normal.txt"),
    "ragflow": ("/api/v1/chat/completions", SSE, "normal.txt"),
    "bali_zero_typed": ("/api/v2/bali-zero/chat-stream", SSE, "normal.txt"),
}


def test_every_dialect_is_tried_by_its_bytes() -> None:
    # `custom` has no bytes of its own; the simulated service below speaks `bali_zero`.
    missing = DIALECTS.keys() - KNOWN.keys() - {"custom", "bali_zero"}
    assert not missing, f"add to KNOWN in tests/contract/test_init.py: {sorted(missing)}"


def test_a_dialect_is_recognised_by_its_endpoint_on_any_host() -> None:
    url = "https://proxy.example/v1beta/models/m:streamGenerateContent"
    service = ServiceAddress(url=url, options={}, headers={})
    first, _ = built_in(service, Query(id="q", text="hi"))
    assert [target.dialect for target in first] == ["gemini"]


@each(
    ("dialect", "headers"),
    [
        ("openai_chat", {"Authorization": "Bearer ${KEY}"}),
        ("custom", {"Authorization": "Bearer ${KEY}"}),
        ("anthropic_messages", {"x-api-key": "${KEY}"}),
        ("gemini", {"x-goog-api-key": "${KEY}"}),
    ],
)
def test_a_key_has_the_header_of_its_dialect(dialect: str, headers: dict[str, str]) -> None:
    service = ServiceAddress(url="https://x.example", options={}, headers={}, key="KEY")
    assert header_templates(service, dialect, alternative=False) == headers


@pytest.mark.parametrize("dialect", KNOWN)
@pytest.mark.parametrize("whole", [False, True], ids=["base URL", "whole address"])
def test_a_known_dialect_is_recognised_by_its_bytes(
    dialect: str, whole: bool, tmp_path: Path
) -> None:
    path, media, name = KNOWN[dialect]
    body = (TRANSCRIPTS / dialect / name).read_text(encoding="utf-8")

    def service(asked: Asked) -> Reply:
        return (200, media, [body]) if asked["path"] == path else MISSING

    model = () if dialect in ("vercel_ai", "langgraph", "ragflow", "dify") else ("--model", "m")
    with served(service) as (url, requests):
        ended = init(tmp_path, url + (path if whole else ""), *model)
        assert ended.status == 0, ended.said
        target = settings(tmp_path).targets["service"]
        assert target.dialect == dialect, ended.said
        asked = len(requests)
        assert call(("probe", "--query", "hi"), home=tmp_path).status == 0
    assert len(requests) == asked + 1
    assert requests[-1]["path"] == path


async def test_the_simulated_service_is_recognised_at_its_host_alone(tmp_path: Path) -> None:
    async with SimulatedService(pace=PlaybackPace(0.01, 0.01)) as service:
        ended = await asyncio.to_thread(init, tmp_path, service.url)
    assert ended.status == 0, ended.said
    assert settings(tmp_path).targets["service"].dialect == "bali_zero"
    assert "who answered: the answer does not say" in ended.out
    assert "monitor baseline capture service --model NAME" in ended.out


def keyed(header: str, value: str) -> Service:
    def service(asked: Asked) -> Reply:
        if asked["headers"].get(header) != value:
            return 401, JSON, ['{"error":"no key was given"}']
        return fastapi("question", DELTAS)(asked)

    return service


@pytest.mark.parametrize(
    ("header", "value", "written"),
    [
        ("authorization", "Bearer s3cret-key-0815", 'Authorization = "Bearer ${DESK_KEY}"'),
        ("x-api-key", "s3cret-key-0815", 'X-API-Key = "${DESK_KEY}"'),
    ],
)
def test_the_key_is_sent_and_only_its_variable_is_written(
    header: str, value: str, written: str, tmp_path: Path
) -> None:
    with served(keyed(header, value)) as (url, _):
        refused = init(tmp_path, f"{url}/ask")
        assert refused.status == 1
        assert "HTTP 401 (no key was given): the service wants a key" in refused.err
        assert "--key-variable NAME" in refused.err
        wrong = init(tmp_path, f"{url}/ask", "--key-variable", "DESK_KEY", DESK_KEY="wr0ng-key-11")
        assert "the service refuses the key. Check the variable DESK_KEY" in wrong.err
        ended = init(tmp_path, f"{url}/ask", "--key-variable", "DESK_KEY", DESK_KEY=value[-15:])
    text = (tmp_path / "monitor.toml").read_text()
    assert written in text
    assert "s3cret" not in text + ended.said + wrong.said


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (MISSING, "nothing is there: give the whole address of the endpoint"),
        ((200, HTML, ["<!DOCTYPE html><html>Chat</html>"]), "shows a web page, not the endpoint"),
        ((200, JSON, ['{"answer": "Hello there"}']), "answers in one piece of JSON"),
        ((429, JSON, ["{}"]), "the service is rate limiting (HTTP 429)"),
        ((500, JSON, ['{"error":"no index"}']), "HTTP 500: no index"),
        (sse({"id": "a" * 32}, {"id": "b" * 32}), "The first event: {"),
        (sse({"error": "index is empty"}), "no field looks like answer text"),
        ((403, HTML, ["<html>Forbidden</html>"]), "HTTP 403"),
        ((200, "image/png", ["PNG"]), "sent as image/png"),
    ],
)
@pytest.mark.parametrize("path", ["", "/ask"])
def test_what_is_no_stream_ends_with_advice(
    reply: Reply, advice: str, path: str, tmp_path: Path
) -> None:
    with served(lambda asked: reply) as (url, requests):
        ended = init(tmp_path, f"{url}{path}")
    assert ended.status == 1
    assert advice in ended.err, ended.err
    assert len(requests) <= 32
    assert not (tmp_path / "monitor.toml").exists()


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize(
    ("path", "flags"),
    [
        ("", ()),
        ("/ask", ()),
        ("/v1/chat/completions", ("--model", "gpt-4o-mini")),
        ("/ask", ("--body", '{"question": "{query}"}')),
        ("/v1", ("--dialect", "openai_chat")),
    ],
)
def test_a_gateway_without_a_service_is_asked_three_times_at_most(
    status: int, path: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    with served(lambda asked: (status, HTML, ["<html>Bad gateway</html>"])) as (url, requests):
        ended = init(tmp_path, f"{url}{path}", *flags)
    assert ended.status == 1
    said = f"the gateway answers HTTP {status}: start the service, then run init again"
    assert said in ended.err, ended.err
    assert "was not recognised" not in ended.err
    assert 1 <= len(requests) <= 3


def test_a_gateway_that_knows_some_addresses_only_is_named_too(tmp_path: Path) -> None:
    def service(asked: Asked) -> Reply:
        return (502, HTML, ["<html>Bad gateway</html>"]) if len(requests) > 1 else MISSING

    with served(service) as (url, requests):
        ended = init(tmp_path, f"{url}/ask")
    assert "the gateway answers HTTP 502: start the service, then run init again" in ended.err


def test_a_service_that_streams_on_request_is_asked_to(tmp_path: Path) -> None:
    def service(asked: Asked) -> Reply:
        if (asked["body"] or {}).get("stream") is True:
            return DELTAS
        return 200, JSON, [json.dumps({"answer": ANSWER})]

    with served(service) as (url, _):
        ended = init(tmp_path, f"{url}/ask")
    assert ended.status == 0, ended.said
    body = settings(tmp_path).targets["service"].options["body"]
    assert body["stream"] is True


def test_the_only_model_that_a_service_lists_is_asked_for(tmp_path: Path) -> None:
    stream = (TRANSCRIPTS / "openai_chat" / "openai.txt").read_text(encoding="utf-8")

    def service(asked: Asked) -> Reply:
        if asked["path"] == "/v1/models":
            return 200, JSON, ['{"data":[{"id":"llama-4-scout"}]}']
        if asked["path"] != "/v1/chat/completions":
            return MISSING
        if not asked["body"].get("model"):
            return 400, JSON, ['{"error":{"message":"you must provide a model parameter"}}']
        return 200, SSE, [stream]

    with served(service) as (url, _):
        assert init(tmp_path, f"{url}/v1").status == 0
    assert settings(tmp_path).targets["service"].model == "llama-4-scout"


def openai(name: str) -> Service:
    """An OpenAI-compatible service whose answers carry this name."""
    stream = (TRANSCRIPTS / "openai_chat" / "openai.txt").read_text(encoding="utf-8")
    named = re.sub(r'"model":\s*"[^"]*"', f'"model":"{name}"', stream)
    return lambda asked: (200, SSE, [named]) if asked["path"] == "/v1/chat/completions" else MISSING


@pytest.mark.parametrize("name", ["my-model", "default", "helpdesk-v1", "gpt", "acme/desk-2"])
def test_a_name_of_the_service_itself_is_no_disclosure(name: str, tmp_path: Path) -> None:
    with served(openai(name)) as (url, _):
        ended = init(tmp_path, f"{url}/v1", "--model", "any")
        named = init(tmp_path, f"{url}/v1", "--model", "any", "--expected", name,
                     "--output", str(tmp_path / "named.toml"))  # fmt: skip
    for one in (ended, named):
        assert one.status == 0, one.said
        assert f"{name} is not the name of a model that the monitor knows." in one.out
        assert "a silent fallback is not detected by it." in one.out
        assert "baseline capture service --model NAME` while you know" in one.out
    assert settings(tmp_path).targets["service"].expected_models == ()
    written = (tmp_path / "monitor.toml").read_text()
    assert f'# Answers name "{name}", which is no known model' in written
    assert "expected_models = [" in (tmp_path / "named.toml").read_text(), "as the user named it"


def test_an_alias_that_is_only_repeated_is_called_so(tmp_path: Path) -> None:
    """A gateway repeats the name that was asked for, whichever model answers."""
    for requested, kept in (("desk-rag", ()), ("gpt-4o-mini", ("gpt-4o-mini",))):
        home = tmp_path / requested
        home.mkdir()
        with served(openai(requested)) as (url, _):
            ended = init(home, f"{url}/v1", "--model", requested)
        assert ended.status == 0, ended.said
        said = f"who answered: the answer repeats the requested name {requested}, which may be"
        assert said in ended.out
        assert settings(home).targets["service"].expected_models == kept
    written = (home / "monitor.toml").read_text()
    assert 'expected_models = ["gpt-4o-mini"]  # answers repeat the requested name' in written
    assert re.search(r"limit_ms = 1000  # proposed: 3 × the \d+ ms of one answer", written)


def test_fields_that_a_refusal_names_are_sent(tmp_path: Path) -> None:
    def service(asked: Asked) -> Reply:
        body = asked["body"] or {}
        faults = [
            {"type": "missing", "loc": ["body", *place], "msg": "Field required"}
            for place in (["chat", "utterance"], ["session_id"])
            if not (body.get("chat") or {}).get("utterance" if place[0] == "chat" else "")
            and (place[0] == "chat" or "session_id" not in body)
        ]
        return (422, JSON, [json.dumps({"detail": faults})]) if faults else DELTAS

    with served(service) as (url, _):
        ended = init(tmp_path, f"{url}/v9/talk/now")
    assert ended.status == 0, ended.said
    assert 'had to guess: session_id = "rag-monitor"' in ended.out
    assert settings(tmp_path).targets["service"].options["body"] == {
        "chat": {"utterance": "{query}"},
        "session_id": "rag-monitor",
    }


@pytest.mark.parametrize(
    ("url", "more"), [("/ask?q=Hi&lang=en", ()), ("/ask", ("--param", "q={query}"))]
)
def test_a_question_in_the_address_is_a_parameter(
    url: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    def service(asked: Asked) -> Reply:
        return DELTAS if asked["method"] == "GET" and asked["parameters"].get("q") else MISSING

    with served(service) as (host, requests):
        ended = init(tmp_path, host + url, *more)
    assert ended.status == 0, ended.said
    # the first question, and two whose answers show what marks the end of each
    assert len(requests) == 3
    assert settings(tmp_path).targets["service"].options["query"]["q"] == "{query}"


def test_an_echoed_key_is_written_and_shown_nowhere(tmp_path: Path) -> None:
    def service(asked: Asked) -> Reply:
        key = asked["headers"]["x-desk-key"]
        return sse(*({"t": word, "model": f"desk {key}"} for word in WORDS), {"end": True})

    with served(service) as (url, _):
        flags = ("--header", "X-Desk-Key: ${DESK_KEY}")
        ended = init(tmp_path, f"{url}/ask", *flags, DESK_KEY="s3cret-key-0815")
    assert ended.status == 0, ended.said
    assert "s3cret" not in ended.said + (tmp_path / "monitor.toml").read_text()


def test_a_redirect_is_followed_within_the_host_only(tmp_path: Path) -> None:
    def service(asked: Asked) -> Reply:
        if asked["path"] == "/ask":
            return 307, "text/plain", [""]
        return DELTAS

    with served(service) as (url, requests):
        ended = init(tmp_path, f"{url}/ask")
    assert ended.status == 1
    assert "redirects elsewhere (HTTP 307)" in ended.err
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "--url is missing"),
        (("--url", "ftp://x"), "--url: write a whole address"),
        (("--url", "http://u:p@x"), "must not contain credentials"),
        (("--url", "http://127.0.0.1:9"), "Start the service, or correct host and port"),
        (("--url", "http://x", "--key-variable", "sk-or-v1-0123456789abcdef0123"), "never the key"),
        (("--url", "http://x", "--key-variable", "UNSET_KEY"), "UNSET_KEY is not set"),
        (("--url", "http://x", "--header", "X-API-Key: abc"), "looks like a key"),
        (("--url", "http://x/a?api_key=abc123"), "the parameter api_key looks like a key"),
        (("--url", "http://x", "--dialect", "morse"), "--dialect: unknown; known: bali_zero"),
        (("--url", "http://x", "--price", "m=free"), "--price: "),
        (("--url", "http://x", "--price", "m"), "--price: "),
        (("--url", "http://x", "--every", "5"), "--every: write a duration"),
        (("--url", "http://x", "--body", "{"), "--body is not JSON"),
        (("--url", "http://x", "--param", "q"), "write NAME=VALUE"),
        (("--url", "http://x", "--name", "Über"), "--name"),
        (("--url", "http://x", "--spend-limit", "much"), "--spend-limit: "),
    ],
)
def test_a_wrong_flag_ends_with_its_name_and_a_remedy(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    ended = call(("init", *arguments), home=tmp_path)
    assert ended.error is None
    assert ended.status in (1, 2)
    assert sentence in ended.err
    assert "sk-or" not in ended.said
    assert not (tmp_path / "monitor.toml").exists()


def test_a_person_at_a_terminal_is_asked(tmp_path: Path) -> None:
    reading, writing = pty.openpty()
    answers = ["", "acme/desk-1", "", "10m", "How long are returns accepted?", *[""] * 10]
    with served(fastapi("question", DELTAS)) as (url, _):
        lines = "\n".join([f"{url}/ask", "NOT_SET_KEY", *answers, ""])
        os.write(reading, lines.encode())
        ended = subprocess.run(
            [sys.executable, "-m", "monitor", "init"],
            stdin=writing,
            stdout=writing,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env={**os.environ, "MONITOR_HOME": str(tmp_path), "MONITOR_CONFIG": "monitor.toml"},
            timeout=120,
            check=False,
        )
    shown = os.read(reading, 100_000).decode()
    os.close(reading)
    os.close(writing)
    assert ended.returncode == 0, shown + ended.stderr.decode()
    assert "NOT_SET_KEY is not set" in shown
    assert "Which model should answer" in shown
    target = settings(tmp_path).targets["service"]
    assert target.expected_models == ("acme/desk-1",)
    assert target.every == timedelta(minutes=10)
    assert target.queries[-1].text == "How long are returns accepted?"


def test_an_end_of_any_name_is_found_by_comparing_answers(tmp_path: Path) -> None:
    """Only the last event is the same in all answers; sources come last in the first alone."""

    def service(asked: Asked) -> Reply:
        if asked["path"] != "/ask" or not isinstance((asked["body"] or {}).get("question"), str):
            return MISSING
        question = asked["body"]["question"]
        sources = ['event: cites\ndata: {"docs": ["a.pdf"]}\n\n'] if "two" in question else []
        words = [
            f'event: w\ndata: {{"t": "{word} "}}\n\n' for word in f"I heard {question}".split()
        ]
        return 200, SSE, [*words, *sources, 'event: fin\ndata: {"ms": 12}\n\n']

    with served(service) as (host, _):
        ended = init(tmp_path, f"{host}/ask")
    assert ended.status == 0, ended.said
    assert """done = "_event == 'fin'\"""" in (tmp_path / "monitor.toml").read_text()
    assert 'asked "Hi" to compare the ends of answers: answered' in ended.out


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "monitor.toml").write_text("mine")
    ended = init(tmp_path, "http://127.0.0.1:9")
    assert ended.status == 2
    assert "exists, and init overwrites no file: name another with --output" in ended.err
    assert "or add a target to it with --add" in ended.err
    assert (tmp_path / "monitor.toml").read_text() == "mine"


def test_the_file_passes_check(tmp_path: Path, database_url: str) -> None:
    flags = (
        *("--expected", "acme/desk-1", "--fallback", "anthropic/claude-haiku-4-5"),
        *("--price", "acme/desk-1=0.20/0.80", "--question", "How long are returns accepted?"),
        *("--prompt-tokens", "900", "--daily-queries", "400", "--every", "10m"),
        *("--ttft-limit", "1500", "--spend-limit", "3", "--name", "desk"),
    )
    with served(fastapi("question", DELTAS)) as (url, requests):
        assert init(tmp_path, f"{url}/ask", *flags).status == 0
        assert requests[0]["body"] != {}, "the user's own question is asked first"
        checked = call(("check",), home=tmp_path, DATABASE_URL=database_url)
    assert checked.status == 0, checked.said
    assert "expected acme/desk-1: probes $" in checked.out
    found = settings(tmp_path)
    assert [query.id for query in found.targets["desk"].queries] == ["hi", "sum", "who", "own1"]
    assert found.targets["desk"].daily_queries == 400


def test_prompt_tokens_that_the_service_does_not_report_are_not_written(tmp_path: Path) -> None:
    def service(asked: Asked) -> Reply:
        words = [{"choices": [{"delta": {"content": word}}]} for word in WORDS]
        found = asked["path"] == "/v1/chat/completions"
        return sse(*words, end="data: [DONE]\n\n") if found else MISSING

    with served(service) as (url, _):
        ended = init(tmp_path, f"{url}/v1")
    assert ended.status == 0, ended.said
    assert "prompt_tokens" not in (tmp_path / "monitor.toml").read_text()
