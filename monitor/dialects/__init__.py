"""The wire formats, one per file: how a request is built and how its stream is parsed.

To add one, write a module with a constant of type `Dialect` and add its line here.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from typing import Any

from monitor.dialects.answer_text import stream_parser
from monitor.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from monitor.dialects.bali_zero import BALI_ZERO
from monitor.dialects.bali_zero_typed import BALI_ZERO_TYPED
from monitor.dialects.cohere import COHERE
from monitor.dialects.custom import custom
from monitor.dialects.dify import DIFY
from monitor.dialects.gemini import GEMINI
from monitor.dialects.langgraph import LANGGRAPH
from monitor.dialects.ollama import OLLAMA
from monitor.dialects.openai_chat import OPENAI_CHAT
from monitor.dialects.openai_responses import OPENAI_RESPONSES
from monitor.dialects.ragflow import RAGFLOW
from monitor.dialects.reader import parse_event, read, unread
from monitor.dialects.reasoning_tags import TagSet
from monitor.dialects.tag_pairs import DEFAULT_PAIRS, tag_pairs
from monitor.dialects.vercel_ai import VERCEL_AI
from monitor.domain import Dialect, Target

__all__ = ["DIALECTS", "dialect_of", "parse_event", "read", "unread"]

USUAL_TAGS = TagSet(DEFAULT_PAIRS, usual=True)
DIALECTS: Mapping[str, Dialect | Callable[[Mapping[str, Any]], Dialect]] = {
    "bali_zero": BALI_ZERO,
    "bali_zero_typed": BALI_ZERO_TYPED,
    "openai_chat": OPENAI_CHAT,
    "openai_responses": OPENAI_RESPONSES,
    "anthropic_messages": ANTHROPIC_MESSAGES,
    "ollama": OLLAMA,
    "gemini": GEMINI,
    "cohere": COHERE,
    "vercel_ai": VERCEL_AI,
    "langgraph": LANGGRAPH,
    "dify": DIFY,
    "ragflow": RAGFLOW,
    "custom": custom,  # built from the target's options
}


def dialect_of(target: Target) -> Dialect:
    """The dialect of a target. Call it once per target: `custom` is compiled here.

    A trial request is built for each query. Raises ValueError with key, value and remedy when the
    dialect is unknown or the target's options do not fit it.
    """
    entry = DIALECTS.get(target.dialect)
    if entry is None:
        close = get_close_matches(target.dialect.strip().lower(), DIALECTS, n=1)
        meant = f'did you mean "{close[0]}"? ' if close else ""
        known = ", ".join(DIALECTS)
        raise ValueError(f"no dialect is called {target.dialect!r}; {meant}known: {known}")
    dialect = entry if isinstance(entry, Dialect) else entry(target.options)
    given = target.reasoning_tags
    tags = USUAL_TAGS if given is None else TagSet(tag_pairs(given), usual=False)
    dialect = replace(dialect, stateful=partial(stream_parser, dialect, tags))
    for query in target.queries:
        dialect.build_request(query, target)
    return dialect
