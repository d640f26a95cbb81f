"""The requests that `monitor init` tries on a service of unknown format, most likely first.

Each is a target whose dialect builds the request. Forms of `custom` use one common field name each;
missing fields that a refusal names lead to the next form.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from monitor.dialects import DIALECTS
from monitor.dialects.requests import is_whole
from monitor.domain import Dialect, Query, Target

PLACE = "{query}"
PLACEHOLDER = "rag-monitor"
FIELDS = ("question", "query", "message", "prompt", "input", "text", "q", "content", "user_input",
          "user_message", "userMessage", "chatInput")  # fmt: skip
PATHS = ("chat/stream", "api/chat/stream", "chat", "api/chat", "ask", "api/ask", "query",
         "api/query", "stream", "api/stream", "generate")  # fmt: skip
PATIENCE: Mapping[str, Any] = {
    "connect_deadline": timedelta(seconds=10),
    "first_token_deadline": timedelta(seconds=30),
    "stall_deadline": timedelta(seconds=10),
    "deadline": timedelta(seconds=60),
}
# In the order in which they are tried; `custom` has its own forms.
_BUILT_IN = sorted(
    (dialect for dialect in DIALECTS.values() if isinstance(dialect, Dialect)),
    key=lambda dialect: dialect.of_one_service,
)
_KEY_HEADERS = {dialect.name: dialect.key_header for dialect in _BUILT_IN}
_NEED_MODEL = [dialect.name for dialect in _BUILT_IN if dialect.needs_model]
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_WORDS = re.compile(r"[A-Za-z_]+")
# Quoted words of refusals that are not fields of the request.
_NO_FIELDS = {"error", "detail", "message", "msg", "code", "status", "type", "loc", "input",
              "body", "success", "ok", "title", "errors", "timestamp", "path", "model",
              "request"}  # fmt: skip
_NAMES = re.compile(r"[\"'`]([A-Za-z_][A-Za-z0-9_]{0,30})[\"'`]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAddress:
    """What is known of a service before the first request. `headers` hold `${NAME}`, not keys.

    `dialect` None: any. `key`: the name of the variable that holds the key; its header follows from
    the dialect unless `headers` are given.
    """

    url: str
    model: str | None = None
    dialect: str | None = None
    options: Mapping[str, Any]
    headers: Mapping[str, str]
    key: str | None = None

    @property
    def has_path(self) -> bool:
        """Whether the address names an endpoint, not only a host or the base of an API."""
        parts = [part for part in urlsplit(self.url).path.split("/") if part]
        return bool(parts) and not re.fullmatch(r"v[0-9]+[a-z0-9]*", parts[-1])


def header_templates(service: ServiceAddress, dialect: str, *, alternative: bool) -> dict[str, str]:
    """The headers of a target as written in the file."""
    if service.key is None:
        return dict(service.headers)
    name = _KEY_HEADERS.get(dialect, "Authorization")
    if alternative and name == "Authorization":
        name = "X-API-Key"
    value = f"${{{service.key}}}"
    return {**service.headers, name: f"Bearer {value}" if name == "Authorization" else value}


def held_secrets(service: ServiceAddress, variables: Mapping[str, str]) -> list[str]:
    """The values of all variables that the headers of a service name."""
    texts = (*service.headers.values(), f"${{{service.key}}}" if service.key else "")
    named = (name for text in texts for name in _REFERENCE.findall(text))
    return [value for name in named if (value := variables.get(name, "").strip())]


def built_in(service: ServiceAddress, query: Query) -> tuple[list[Target], list[Target]]:
    """Targets of the built-in dialects, most likely first: before and after the forms of `custom`.

    An address whose path suggests no dialect is tried as it is first.
    """
    url = service.url.lower()
    telling = [d.name for d in _BUILT_IN if d.address_words and re.search(d.address_words, url)]
    others = [d.name for d in _BUILT_IN if d.name not in telling]
    if service.dialect:
        telling, others = [service.dialect], []
    elif not service.has_path:
        telling, others = [*telling, *others], []
    first = [target for name in telling for target in _addressed(service, query, name)]
    return first, [target for name in others for target in _addressed(service, query, name)]


def _addressed(service: ServiceAddress, query: Query, name: str) -> Iterator[Target]:
    """A dialect's request with its path behind the address, and at the address itself."""
    target = _target(service, query, dialect=name, options=service.options)
    whole = is_whole([part for part in urlsplit(service.url).path.split("/") if part])
    if name in _NEED_MODEL and not service.model and not whole:
        return
    if "path" in service.options or not service.has_path:
        yield target
        return
    if not whole:
        yield target
    yield replace(target, options={**service.options, "path": ""})


def at_address(service: ServiceAddress, query: Query, dialects: Sequence[str]) -> list[Target]:
    """Targets of these dialects whose requests go to the address as it is."""
    options = {**service.options, "path": ""}
    return [_target(service, query, dialect=name, options=options) for name in dialects]


def skipped(service: ServiceAddress) -> list[str]:
    """Dialects that are not tried because they must name a model."""
    return [name for name in _NEED_MODEL if not service.model and service.dialect in (None, name)]


def described(service: ServiceAddress, query: Query) -> Target | None:
    """The one request that the user described by options; None if the options leave it open."""
    known = {"query", "body", "path", "method"} & service.options.keys()
    if not known or service.dialect not in (None, "custom"):
        return None
    return custom_form(service, query, service.options)


def custom_forms(service: ServiceAddress, query: Query) -> Iterator[Target]:
    """Requests in the common forms of services without a known dialect."""
    url, parameters = _own_parameters(service.url)
    if parameters:
        yield custom_form(replace(service, url=url), query, {"query": parameters})
        return
    paths = ("",) if service.has_path else PATHS
    for path in paths:
        for field in FIELDS[: 4 if path else None]:
            yield custom_form(service, query, {"path": path, "body": {field: PLACE}})
    for field in FIELDS[:7] if service.has_path else ():
        yield custom_form(service, query, {"query": {field: PLACE}})
    if service.has_path:
        messages = [{"role": "user", "content": PLACE}]
        yield custom_form(service, query, {"body": {"messages": messages, "stream": True}})


def custom_form(service: ServiceAddress, query: Query, form: Mapping[str, Any]) -> Target:
    """A target of dialect `custom` that uses this form and reads the body as plain text."""
    options = {key: value for key, value in form.items() if value not in ("", None)}
    kept = {k: v for k, v in options.items() if k in ("method", "path", "query", "body")}
    return _target(service, query, dialect="custom", options={**kept, "framing": "text"})


def _target(
    service: ServiceAddress, query: Query, *, dialect: str, options: Mapping[str, Any]
) -> Target:
    return Target(
        name="init",
        url=service.url,
        dialect=dialect,
        queries=(query,),
        model=service.model,
        options=options,
        **PATIENCE,
    )


def without_parameters(url: str) -> str:
    """An address without its parameters."""
    return url.partition("?")[0]


def _own_parameters(url: str) -> tuple[str, dict[str, str]]:
    """An address whose query string holds a question, and its parameters with the placeholder."""
    scheme, host, path, query, _ = urlsplit(url)
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    asking = [name for name, value in pairs.items() if PLACE in value or name in FIELDS]
    if not asking:
        return url, {}
    first = next((name for name in asking if PLACE in pairs[name]), asking[0])
    return urlunsplit((scheme, host, path, "", "")), {**pairs, first: PLACE}


# What a refusal reveals about the request that the service expects.


def corrected(target: Target, status: int, body: str, allow: str) -> dict[str, Any] | None:
    """The form of a request, corrected by what its refusal names as missing or wrong.

    None if it names nothing new. Understands FastAPI's list of errors and quoted names.
    """
    form = {k: target.options[k] for k in ("path", "query", "body") if k in target.options}
    if status == 405:
        if "body" not in form and "POST" in allow:
            return {"path": form.get("path", ""), "body": form.get("query", {})}
        if "body" in form and "GET" in allow and _flat(form["body"]):
            return {"path": form.get("path", ""), "query": form["body"]}
        return None
    if status not in (400, 422):
        return None
    faults = _faults(body)
    if faults:
        return _completed(form, faults)
    asked = form.get("body", form.get("query", {}))
    named = [*_NAMES.findall(body), *(name for name in _WORDS.findall(body) if name in FIELDS)]
    for name in named:
        if name not in asked and len(name) > 1 and name.lower() not in _NO_FIELDS:
            part = "body" if "body" in form else "query"
            return {**form, part: {name: PLACE}}
    return None


def streaming(target: Target) -> dict[str, Any] | None:
    """The same form with the common field that requests a stream; None if it has it."""
    form = {k: target.options[k] for k in ("path", "query", "body") if k in target.options}
    part = "body" if "body" in form else "query"
    asked = form.get(part)
    if not isinstance(asked, dict) or "stream" in asked:
        return None
    return {**form, part: {**asked, "stream": True if part == "body" else "true"}}


def _flat(body: object) -> bool:
    return isinstance(body, dict) and all(isinstance(value, str) for value in body.values())


def _faults(body: str) -> list[tuple[list[str], str]]:
    """Place and kind of each error in FastAPI's format."""
    try:
        listed = json.loads(body).get("detail")
    except (ValueError, AttributeError, RecursionError):
        return []
    return [
        ([str(part) for part in fault["loc"]], str(fault.get("type", "")))
        for fault in (listed if isinstance(listed, list) else [])
        if isinstance(fault, dict) and isinstance(fault.get("loc"), list)
    ]


def _completed(
    form: Mapping[str, Any], faults: Sequence[tuple[list[str], str]]
) -> dict[str, Any] | None:
    """The form with every missing field; the most likely one holds the question."""
    parts: dict[str, dict[str, Any]] = {"query": {}, "body": {}}
    wrong = {tuple(loc) for loc, _ in faults}
    for part in parts:
        given = form.get(part, {})
        if isinstance(given, dict):
            parts[part] = {k: v for k, v in given.items() if (part, k) not in wrong}
    missing = [loc for loc, kind in faults if len(loc) > 1 and loc[0] in parts]
    if not missing:
        return None
    texts = [loc for loc, kind in faults if "missing" in kind and loc in missing]
    asking = min(texts, key=_likelihood, default=None)
    if asking is not None and PLACE in json.dumps(form):
        for part in parts:  # not the field that was tried first
            parts[part] = {k: v for k, v in parts[part].items() if v != PLACE}
    for loc, kind in faults:
        if loc in missing:
            _put(parts[loc[0]], loc[1:], PLACE if loc is asking else _placeholder(loc[-1], kind))
    completed = {k: v for k, v in parts.items() if v}
    if PLACE not in json.dumps(completed) or completed == {k: form[k] for k in parts if k in form}:
        return None
    return {"path": form.get("path", ""), **completed}


def _likelihood(loc: Sequence[str]) -> int:
    """Sort key: how unlikely a field is to hold the question."""
    name = loc[-1].lower()
    exact = [field.lower() for field in FIELDS]
    if name in exact:
        return exact.index(name)
    near = [number for number, field in enumerate(exact) if len(field) > 1 and field in name]
    return 20 + near[0] if near else 90 if "id" in name or "user" in name else 50


def _placeholder(name: str, kind: str) -> Any:
    """A value for a required field that does not hold the question."""
    for words, value in (
        ("bool", True), ("list", []), ("dict", {}), ("int", 1), ("float", 1.0),
    ):  # fmt: skip
        if kind.startswith(words):
            return value
    lower = name.lower()
    if lower == "model":
        return "default"
    if lower in ("history", "chat_history", "messages"):
        return [{"role": "user", "content": PLACE}] if lower == "messages" else []
    if lower in ("lang", "language", "locale"):
        return "en"
    return True if lower in ("stream", "streaming") else PLACEHOLDER


def guessed(options: Mapping[str, Any]) -> list[str]:
    """The fields of a request whose values were guessed, with their values."""
    found = []
    for part in ("body", "query"):
        fields = options.get(part)
        for name, value in fields.items() if isinstance(fields, Mapping) else ():
            if PLACE not in json.dumps(value) and name not in ("stream", "streaming"):
                found.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return found


def _put(table: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict):
            return
        table = inner
    table[path[-1]] = value
