"""Finish reasons of every vendor in our words.

Sources: the API references of OpenAI, Anthropic, Google (FinishReason), Mistral, Cohere, Ollama,
DeepSeek, Z.ai, Bedrock and vLLM; the AI SDK's unified finish reasons.
"""

from collections.abc import Mapping

from monitor.domain import Finish

_SPELLINGS: Mapping[Finish, tuple[str, ...]] = {
    Finish.STOP: (
        *("stop", "stopped", "end", "end_turn", "end_of_turn", "stop_sequence", "stop_token"),
        *("eos", "eos_token", "eos_found", "complete", "completed", "finish", "finished"),
        *("done", "success", "succeeded"),
    ),
    Finish.LENGTH: (
        *("length", "max_tokens", "max_token", "max_output_tokens", "max_completion_tokens"),
        *("max_length", "model_length", "token_limit", "incomplete"),
        *("model_context_window_exceeded", "context_length_exceeded", "length_limit"),
    ),
    Finish.CONTENT_FILTER: (
        *("content_filter", "content_filtered", "contentfilter", "safety", "refusal", "refused"),
        *("recitation", "blocklist", "prohibited_content", "spii", "language", "image_safety"),
        *("guardrail", "guardrail_intervened", "guardrails", "sensitive", "error_toxic", "toxic"),
        *("content_policy", "content_policy_violation", "blocked"),
    ),
    Finish.TOOL_CALLS: (
        "tool_calls",
        "tool_call",
        "tool_use",
        "function_call",
        "unexpected_tool_call",
    ),
    Finish.ERROR: (
        *("error", "failed", "failure", "network_error", "engine_overloaded", "timeout"),
        *("insufficient_system_resource", "malformed_function_call", "malformed_response"),
        *("abort", "aborted", "error_limit", "user_cancel", "cancelled", "canceled"),
        *("server_error", "internal_error"),
    ),
}
_NONE = frozenset({
    *("", "null", "none", "unspecified", "in_progress", "not_finished", "unfinished"),
    *("continue", "continuing", "ongoing", "running", "pending", "generating", "streaming"),
    *("processing", "not_completed", "not_stopped", "undefined"),
})  # fmt: skip
_BY_SPELLING = {spelling: word for word, names in _SPELLINGS.items() for spelling in names}


def finish(reason: object) -> Finish | None:
    """A vendor's finish reason; None while the answer goes on.

    Reads upper and lower case, `-` for `_`, and Google's `FINISH_REASON_` before the word.
    """
    if not isinstance(reason, str):
        return None
    word = reason[:100].strip().lower().replace("-", "_").replace(" ", "_")
    word = word.removeprefix("finish_reason_")
    return None if word in _NONE else _BY_SPELLING.get(word, Finish.OTHER)
