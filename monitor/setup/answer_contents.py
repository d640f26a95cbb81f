"""What the first answer of a service contains besides its text, and how to configure the rest."""

from collections.abc import Iterator

from monitor.dialects.event_rules import compiled
from monitor.domain import Framing, Usage, usd_text
from monitor.setup.answer_text_fields import kinds_of, leaves_of, seen_in
from monitor.setup.attempt_log import RecognizedService
from monitor.setup.event_kinds import session_path, sources_path

_OPTIONS = "docs/dialects.md#custom"
_QUESTION = "ask a question that needs documents, with --question"


def answer_contents(service: RecognizedService) -> Iterator[str]:
    """Token counts, sources and session in sentences: what was found, and else what to do."""
    usage = _usage(service.reply.usage)
    remedy = _configured(service, "it counts tokens", 'usage.prompt_tokens = "EXPRESSION"')
    yield f"usage: {usage or f'not found; tokens are estimated from the text. {remedy}'}"
    yield f"sources: {_sources(service)}"
    yield f"session: {_session(service)}"


def unnamed(service: RecognizedService) -> str:
    """That the first answer names no model, and what to do."""
    remedy = _configured(service, "it names the model", 'model = "EXPRESSION"')
    return f"the answer does not say. {remedy}; otherwise capture a baseline"


def _usage(usage: Usage) -> str:
    counted = ((usage.prompt_tokens, "prompt tokens"), (usage.answer_tokens, "answer tokens"))
    found = [f"{number:,} {what}" for number, what in counted if number is not None]
    if usage.cost_usd is not None:
        found.append(usd_text(usage.cost_usd))
    return ", ".join(found)


def _sources(service: RecognizedService) -> str:
    sources = service.reply.sources
    if sources is not None and sources.count:
        return f"{sources.count:,} in this answer"
    if sources is not None or "sources" in service.target.options:
        return f"none in this answer. If it needed none, {_QUESTION}"
    if listed := _unread(service):
        return listed
    remedy = _configured(service, "it lists retrieved documents", 'sources = "EXPRESSION"')
    return f"not found. If the service retrieves documents, {_QUESTION}. {remedy}"


def _unread(service: RecognizedService) -> str | None:
    """That a built-in dialect does not read a list that is in the answer."""
    dialect = service.target.dialect
    seen = seen_in(service.transcript.events, ())
    found = None if dialect == "custom" else sources_path(seen, kinds_of(seen, leaves_of(seen)))
    if found is None:
        return None
    return f"not read by dialect {dialect}, but found at {found[0]}: --dialect custom reads them"


def _configured(service: RecognizedService, condition: str, option: str) -> str:
    """How to configure by hand what was not found in the answer."""
    dialect, options = service.target.dialect, service.target.options
    if dialect != "custom":
        return f"If {condition}, describe it with --dialect custom ({_OPTIONS})"
    if options.get("framing") == Framing.TEXT:
        return f"A plain text stream has no fields for it ({_OPTIONS})"
    return f"If {condition}, set {option} in the options ({_OPTIONS})"


def _session(service: RecognizedService) -> str:
    """Whether the answer has the id of a session, and what that means for probes."""
    seen = seen_in(service.transcript.events, service.target.options.get("prefix", ()))
    leaves = leaves_of(seen)
    path = session_path(list(leaves.values()), kinds_of(seen, leaves))
    if path is None:
        return "no id in this answer"
    expression = compiled("session", path)
    value = next((found for one in seen if (found := expression.find(one))), None)
    field = path.rpartition(" && ")[2]
    if value is not None and str(value) in str(service.target.options):
        return f"{field}, which the request states: all probes are one conversation"
    return f"{field}, which requests do not repeat: each probe is a new conversation"
