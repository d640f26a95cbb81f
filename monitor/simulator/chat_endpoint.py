"""The service's endpoint that answers in one piece, with its lying `ai_used`.

Its routing differs from the stream's: a client that passes tools gets the fallback model
by design. It is no witness for who answers the stream.
"""

import json
import re
from typing import Any

from monitor.simulator.answer_plan import AnswerRequest
from monitor.simulator.canned_answers import answer, first_token_s, gap_s, sources, topic
from monitor.simulator.http_messages import HttpReply, json_reply
from monitor.simulator.situations import MODELS, AnswerCourse, ModelTurn, SimulatedModel

SILENT_S = 60.0  # after which the router gives up on a silent model
_SYSTEM_WORDS = 451
_HAIKU_SYSTEM_TOKENS = 640
_SMALL_TALK = ("greeting", "identity")


def body_fault(body: bytes) -> HttpReply | None:
    """A 422 where the body is no JSON object with a textual `query`."""
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
    """Exact for the fallback; for the expected model a guess of 1.3 tokens a word."""
    if speaker is SimulatedModel.HAIKU:
        spent = _HAIKU_SYSTEM_TOKENS + len(query) // 4, len(text) // 4
    else:
        spent = (
            int((_SYSTEM_WORDS + len(query.split())) * 1.3),
            int(len(text.split()) * 1.3),
        )
    return {"input_tokens": spent[0], "output_tokens": spent[1]}
