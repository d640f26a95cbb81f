"""The simulated service's pages beside its answers: constants, refusals, rate limit.

Most of them say that all is well whatever happens: that, too, is as seen.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor.simulator.http_messages import HttpReply, HttpRequest, json_reply
from monitor.simulator.situations import ServiceSituation

STREAM = "/bali-zero/chat-stream"
CHAT = "/bali-zero/chat"
UNLIMITED = "/health"
LIMIT, WINDOW_S = 30, 60

NO_ROUTER = json_reply(503, {"detail": "Intelligent Router not available - Claude AI required"})


def page(request: HttpRequest, situation: ServiceSituation) -> HttpReply | None:
    """The reply to anything but a well-formed request for an answer: for that, None."""
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
