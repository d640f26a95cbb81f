"""The simulated service's other pages: constants, refusals, rate limit.

Most of them report success whatever happens, as the real ones do.
"""

import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor.simulator.answer_plan import (
    AnswerRequest,
    answer,
    first_token_s,
    gap_s,
    sources,
    topic,
)
from monitor.simulator.http_server import HttpReply, HttpRequest, json_reply
from monitor.simulator.situations import (
    MODELS,
    AnswerCourse,
    ModelTurn,
    ServiceSituation,
    SimulatedModel,
)

STREAM = "/bali-zero/chat-stream"
CHAT = "/bali-zero/chat"
UNLIMITED = "/health"
LIMIT, WINDOW_S = 30, 60

NO_ROUTER = json_reply(503, {"detail": "Intelligent Router not available - Claude AI required"})


def page(request: HttpRequest, situation: ServiceSituation) -> HttpReply | None:
    """The reply to anything but a valid request for an answer; None for that."""
    path, method = request.path, request.method
    if path == STREAM + "/":
        host, query = request.headers.get("host", ""), request.target.partition("?")[2]
        location = f"http://{host}{STREAM}" + (f"?{query}" if query else "")
        return HttpReply(307, headers={"location": location})
    if path == STREAM and method == "OPTIONS":
        return _preflight(request)
    allowed = "POST" if path == CHAT else "GET"
    if path not in (STREAM, CHAT, *_CONSTANTS, "/health", "/warmup/stats"):
        return json_reply(404, {"detail": "Not Found"})
    if method != allowed:
        return json_reply(405, {"detail": "Method Not Allowed"}, {"allow": allowed})
    if path in (STREAM, CHAT):
        return NO_ROUTER if situation is ServiceSituation.UNAVAILABLE else None
    if path == "/health":
        return json_reply(200, _health(situation))
    if path == "/warmup/stats":
        return json_reply(200, _warmup(situation))
    return _CONSTANTS[path]


_CONSTANTS: Mapping[str, HttpReply] = {
    "/": json_reply(200, {"ai": "Llama 4 Scout ACTIVE"}),
    "/cache/stats": json_reply(200, {"hits": 0, "misses": 0}),
    "/metrics": HttpReply(500, b"# Error generating metrics", "text/plain; charset=utf-8"),
}


def _health(situation: ServiceSituation) -> dict[str, Any]:
    keyed = situation is not ServiceSituation.UNAVAILABLE
    return {
        "status": "healthy",
        "version": "v100-perfect",
        "ai": {"claude_haiku_available": keyed, "has_ai": keyed},
        "postgresql": True,
    }


def _warmup(situation: ServiceSituation) -> dict[str, Any]:
    routed = situation is not ServiceSituation.UNAVAILABLE
    return {
        "isRunning": False,
        "isComplete": True,
        "healthy": True,
        "error": None,
        "services": {"chromadb": True, "intelligent_router": routed},
    }


def _preflight(request: HttpRequest) -> HttpReply:
    if not {"origin", "access-control-request-method"} <= request.headers.keys():
        return HttpReply(204)
    allowed = {"access-control-allow-origin": "*", "access-control-allow-methods": "GET"}
    return HttpReply(200, b"OK", "text/plain; charset=utf-8", allowed)


@dataclass(slots=True)
class RateLimit:
    """Thirty requests in sixty seconds for each client and path; every method counts."""

    on: bool = True
    _seen: dict[tuple[str, str], deque[float]] = field(default_factory=dict)

    def admit(self, request: HttpRequest, now_s: float) -> tuple[HttpReply | None, dict[str, str]]:
        """A refusal or None, and the headers that go with any other reply."""
        if request.path == UNLIMITED:
            return None, {}
        client = request.headers.get("x-user-id") or request.peer
        seen = self._seen.setdefault((client, request.path), deque())
        while seen and seen[0] <= now_s - WINDOW_S:
            seen.popleft()
        reset = int(now_s) + WINDOW_S
        if self.on and len(seen) >= LIMIT:
            return _too_many(reset), {}
        if self.on:
            seen.append(now_s)
        return None, {
            "x-ratelimit-limit": str(LIMIT),
            "x-ratelimit-remaining": str(LIMIT - len(seen)),
            "x-ratelimit-reset": str(reset),
        }


def _too_many(reset: int) -> HttpReply:
    reported = {
        "error": "Rate limit exceeded",
        "message": f"Too many requests. Limit: {LIMIT} per {WINDOW_S}s",
        "limit": LIMIT,
        "remaining": 0,
        "reset": reset,
    }
    return json_reply(429, reported, {"retry-after": str(WINDOW_S)})


# The service's endpoint that answers in one piece, with its incorrect `ai_used`.
#
# Its routing differs from the stream's: a client that passes tools gets the fallback model by
# design. It does not show which model answers the stream.


SILENT_S = 60.0  # after which the router gives up on a silent model
_SYSTEM_WORDS = 451
_HAIKU_SYSTEM_TOKENS = 640
_SMALL_TALK = ("greeting", "identity")


def body_fault(body: bytes) -> HttpReply | None:
    """A 422 if the body is not a JSON object with a text `query`."""
    try:
        reported = json.loads(body)
    except ValueError:
        return _unfit("json_invalid", ["body", 0], "JSON decode error")
    if not isinstance(reported, dict):
        return _unfit("model_attributes_type", ["body"], "Input should be a valid dictionary")
    if "query" not in reported:
        return _unfit("missing", ["body", "query"], "Field required")
    if not isinstance(reported["query"], str):
        return _unfit("string_type", ["body", "query"], "Input should be a valid string")
    return None


def _unfit(kind: str, where: list[str | int], message: str) -> HttpReply:
    return json_reply(422, {"detail": [{"type": kind, "loc": where, "msg": message}]})


def chat(
    reported: dict[str, Any], course: AnswerCourse, requested: AnswerRequest
) -> tuple[HttpReply, float]:
    """The reply to one question, and the seconds it takes."""
    if reported.get("tools"):
        course = AnswerCourse((ModelTurn(SimulatedModel.HAIKU),))
    if course.silent_s:
        return _failed("504: AI response timeout - please try again"), SILENT_S
    if course.error is not None:
        return _failed(f"Routing failed: {course.error}"), course.after_s
    turn = course.turns[-1]
    query = str(reported["query"])
    chunks = answer(turn.speaker, query, draw=requested.draw, candour=requested.candour)
    text = "" if turn.stop == 0 else "".join(chunks)
    took_s = course.after_s + sum(earlier.after_s for earlier in course.turns)
    took_s += turn.slowness * first_token_s(turn.speaker, query, requested.draw)
    took_s += sum(gap_s(turn.speaker, chunk, requested.draw) for chunk in chunks)
    small = topic(query) in _SMALL_TALK
    found = [] if small or not course.search else sources(query)
    notified = {
        "success": True,
        "response": _polished(text, small, known_user=requested.known_user),
        "model_used": MODELS[turn.speaker],
        "ai_used": "haiku",
        "sources": found or None,
        "usage": _usage(turn.speaker, query, text),
        "used_rag": bool(found),
        "tools_used": None,
    }
    return json_reply(200, notified), took_s


def _failed(reason: str) -> HttpReply:
    return json_reply(500, {"detail": f"Chat failed: {reason}"})


def _polished(text: str, small: bool, *, known_user: bool) -> str:
    if not small:
        return f"{text}\n\nNeed help? Contact us on WhatsApp."
    sentences = re.split(r"(?<=[.!?])\s+", text)[:3]
    if known_user:
        sentences[0] = "Hello Seeker!"
    return " ".join(" ".join(sentences).split()[:30])


def _usage(speaker: SimulatedModel, query: str, text: str) -> dict[str, int]:
    """Exact for the fallback; for the expected model an estimate of 1.3 tokens a word."""
    if speaker is SimulatedModel.HAIKU:
        spent = _HAIKU_SYSTEM_TOKENS + len(query) // 4, len(text) // 4
    else:
        spent = (
            int((_SYSTEM_WORDS + len(query.split())) * 1.3),
            int(len(text.split()) * 1.3),
        )
    return {"input_tokens": spent[0], "output_tokens": spent[1]}
